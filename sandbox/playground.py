"""
The local cloud, which stays up for commands in a second terminal: ``make playground``.

It ends at Ctrl-C or SIGTERM, and removes what it created.
"""

import shlex
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import yaml
from rich.console import Console

from sandbox.demo.case import CASES, NAMESPACE, NAMESPACE_BODY
from sandbox.local_cloud import CLUSTER, LOCATION, PROJECT, ROOT, LocalCloud
from sandbox.messaging import SCHEDULE

SCALE = 10.0
"""Fast enough for a cold pull in half a minute, and slow enough to watch it."""

_NODES = tuple(f"gke-gpu-l4-spot-{letter}" for letter in "abcdef")
_SWEEP_EVERY_S = 3_600.0
_USER = "dev@example.com"
_GUIDE = """
In a second terminal, in this folder:

  . {path}

  prestream status                         # or ./prestream, without an installation
  prestream wait anyscale/ray-ml:2.7.0
  prestream warm alpine:3.20 --wait
  prestream doctor --image anyscale/ray-ml:2.7.0
  kubectl get pods,jobs -A
  kubectl patch deployment test -n {namespace} -p '{{"spec": {{"replicas": 2}}}}'
  prestream report

Six functions serve one cluster ({cluster}) with {count} workloads. The cloud is simulated, and
{scale:.0f} times as fast as the world. End with Ctrl-C.
"""


def main(path: Path) -> int:
    """Serve until a signal, with the exports in a file, and return the exit status."""
    # SIGTERM ends it as Ctrl-C does, also when a shell started it in the background.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.default_int_handler)
    console = Console(highlight=False)
    console.print("Starting a local cloud, and the functions from their archives …")
    cloud = LocalCloud(scale=SCALE)
    try:
        _start(cloud, ROOT / "build")
        exports = make_exports(cloud)
        write_exports(path, exports)
        _deploy(cloud)
        for name, value in exports.items():
            console.print(f"export {name}={shlex.quote(value)}", soft_wrap=True)
        console.print(
            _GUIDE.format(
                path=path,
                namespace=NAMESPACE,
                cluster=CLUSTER,
                count=len(CASES),
                scale=SCALE,
            ),
            soft_wrap=True,
        )
        _serve(cloud)
    except KeyboardInterrupt:
        pass
    finally:
        console.print("Stopping …")
        path.unlink(missing_ok=True)
        cloud.stop()
    return 0


def make_exports(cloud: LocalCloud) -> dict[str, str]:
    """Return the variables with which commands find the cloud; kubectl is an administrator."""
    kubeconfig = cloud.folder / "kubeconfig"
    content = cloud.kubernetes.kubeconfig(f"gke_{PROJECT}_{LOCATION}_{CLUSTER}")
    kubeconfig.write_text(yaml.safe_dump(content), encoding="utf-8")
    return {**cloud.environ("image_reference"), "KUBECONFIG": str(kubeconfig)}


def write_exports(path: Path, exports: Mapping[str, str]) -> None:
    """Write a file for the shell, which only its owner can read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    lines = (f"export {name}={shlex.quote(value)}\n" for name, value in exports.items())
    path.write_text("".join(lines), encoding="utf-8")


def _start(cloud: LocalCloud, build: Path) -> None:
    cloud.start()
    cloud.apply_manifests()
    for node in _NODES:
        cloud.gke.add_node(node, pool="l4-spot", accelerator="nvidia-l4", spot=True)
    cloud.gke.add_node("gke-gpu-cpu-a", pool="cpu")
    cloud.serve(build / "functions", build / "deployed" / "bin" / "python")


def _deploy(cloud: LocalCloud) -> None:
    cloud.kubernetes.api.create("namespaces", dict(NAMESPACE_BODY), user=_USER)
    for case in CASES:
        if case.is_build:
            case.build(cloud)
        else:
            cloud.kubernetes.api.create(
                "deployments.apps", case.deployment(), NAMESPACE, user=_USER
            )


def _serve(cloud: LocalCloud) -> NoReturn:
    """Send the ticks of Cloud Scheduler."""
    while True:
        time.sleep(_SWEEP_EVERY_S / SCALE)
        cloud.messaging.publish(SCHEDULE, b"{}")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
