"""Where the functions are measured: the local cloud, prepared so that each delivery has its way."""

import compileall
import itertools
import json
import py_compile
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from sandbox.catalogue.image import Image
from sandbox.demo.case import NAMESPACE_BODY
from sandbox.function_process import FunctionProcess
from sandbox.local_cloud import ROOT, LocalCloud
from tools.bench.calls import Call, CountedCalls
from tools.bench.measuring import FailedDeliveryError, Sample, measure, post
from tools.bench.rates import SENDERS, measure_rate
from tools.bench.scenarios import (
    BLANK,
    KNOWN,
    NAIVE,
    NODE,
    POD,
    Scenario,
    make_pod,
    make_reference,
)

PYTHON = ROOT / "build" / "deployed" / "bin" / "python"
"""An environment of what is deployed, and nothing else."""

ARCHIVES = ROOT / "build" / "functions"

RATE_S: Final = 1.0
WARM_UP: Final = 40
"""Deliveries before the rate is measured."""

FEW: Final = 40
"""Deliveries whose rate is measured where each must be of a new image."""

_BASES = (BLANK, NAIVE)
_NAMESPACE = "prestream"
_USER = "bench@example.com"
_LINE_S = 10.0
_ERROR = 400
_LONGEST_S = 540.0
"""The limit of a sweep, which is the platform's limit."""
_LAYERS = (30_000_000, 2_100_000_000)
_PLATFORMS = ("linux/amd64", "linux/arm64")


@dataclass(frozen=True, slots=True)
class CallsOfADelivery:
    """The calls that one delivery costs: to an instance that is new, and to one that is not."""

    scenario: Scenario
    cold: tuple[Call, ...]
    warm: tuple[Call, ...]


class Stage:
    """
    A local cloud in which nothing acts, and the processes that are started on it.

    Its cluster keeps what is written to it, so that every call is a function's, and warmups rest
    while functions are measured.
    """

    def __init__(self, config: str = "") -> None:
        self.calls = CountedCalls()
        self.cloud = LocalCloud(scale=1.0, config=config, faults=self.calls, acts=False)
        self._numbers = itertools.count(1)
        self._pod_uid = ""

    def __enter__(self) -> Self:
        self.cloud.start()
        self.cloud.apply_manifests()
        self.cloud.gke.add_node(NODE, pool="l4-spot", accelerator="nvidia-l4")
        self._built.mkdir()
        api = self.cloud.kubernetes.api
        api.create("namespaces", dict(NAMESPACE_BODY), user=_USER)
        self._pod_uid = api.create("pods", make_pod(), user=_USER)["metadata"]["uid"]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.cloud.stop()

    def prepare(self, *functions: str) -> None:
        """
        Make the mirror, and the warmup that these functions find for the known image.

        Raises:
            FailedDeliveryError: That did not succeed.
        """
        for function in functions:
            is_naive = function == NAIVE
            disposition, evidence = (None, "done") if is_naive else ("handled", "created")
            first = Scenario(
                function, "known reference", make_reference(KNOWN), disposition, evidence
            )
            process = self.start(function)
            try:
                self.deliver(process, first)
            finally:
                process.stop()

    def measure(self, scenario: Scenario) -> Sample:
        """
        Measure a cold start of a scenario, and its rate after that; put back what was changed.

        Raises:
            FailedDeliveryError: The delivery did not end as the scenario demands.
        """
        process = self._process(scenario.function)
        first = self.next_of(scenario)
        try:
            sample = measure(process, self._body(first))
            _find_line(process, first, 0)
            if scenario.is_new:
                bodies = [self._body(self.next_of(scenario)) for _ in range(FEW)]
                rate = measure_rate(process, bodies, seconds=None, senders=SENDERS)
            else:
                bodies = [self._body(scenario)]
                measure_rate(process, bodies * WARM_UP, seconds=None, senders=SENDERS)
                rate = measure_rate(process, bodies, seconds=RATE_S, senders=SENDERS)
        finally:
            process.stop()
            self.clear(but=KNOWN)
        return replace(sample, rate=rate.per_second, cpu_s=rate.cpu_s / rate.deliveries)

    def count(self, scenario: Scenario, *, index: bool = False) -> CallsOfADelivery:
        """
        Count the calls of a delivery to a new instance, and of another one to the same.

        Raises:
            FailedDeliveryError: One did not end as the scenario demands.
        """
        process = self.start(scenario.function)
        counted: list[tuple[Call, ...]] = []
        try:
            for _ in range(2):
                each = self.next_of(scenario, index=index)
                self.calls.take()
                self.deliver(process, each)
                counted.append(tuple(self.calls.take()))
        finally:
            process.stop()
            self.clear(but=KNOWN)
        return CallsOfADelivery(scenario, *counted)

    def start(self, function: str) -> FunctionProcess:
        """Start a function, and return at once."""
        return self._process(function).start()

    def deliver(self, process: FunctionProcess, scenario: Scenario) -> dict[str, Any]:
        """
        Send one delivery, and return the line that was written of it.

        Raises:
            FailedDeliveryError: It did not end as the scenario demands.
        """
        before = len(process.lines)
        status = post(process, self._body(scenario), _LONGEST_S)
        if status >= _ERROR:
            raise FailedDeliveryError(
                f"{scenario.name} was answered {status}: {process.lines[-3:]}"
            )
        return _find_line(process, scenario, before)

    def next_of(self, scenario: Scenario, *, index: bool = False) -> Scenario:
        """Return a scenario with an image that nobody has named yet, if it needs one."""
        return scenario.of_image(self.add_image(index=index)) if scenario.is_new else scenario

    def add_image(self, *, index: bool = False, layers: tuple[int, ...] = _LAYERS) -> str:
        """Publish a new image upstream, and return its reference."""
        name = f"bench/app-{next(self._numbers)}"
        platforms = _PLATFORMS if index else _PLATFORMS[:1]
        image = Image(layers, platforms, build=name)
        self.cloud.catalogue.add(f"docker.io/{name}", "1", image)
        return f"{name}:1"

    def bodies(self, scenarios: Sequence[Scenario]) -> list[bytes]:
        """Return the pushes of several deliveries."""
        return [self._body(each) for each in scenarios]

    def clear(self, *, but: str = "") -> None:
        """Delete the warmups, except those of an image."""
        api = self.cloud.kubernetes.api
        for job in api.list("jobs.batch", _NAMESPACE):
            annotations = job["metadata"].get("annotations") or {}
            image = annotations.get("prestream.dev/image")
            if image != but and not (but and image is None and _names(job, but)):
                api.delete("jobs.batch", job["metadata"]["name"], _NAMESPACE, user=_USER)

    def _process(self, function: str) -> FunctionProcess:
        folder = Path(tempfile.mkdtemp(prefix=f"{function}-", dir=self.cloud.folder))
        # The naive one does the work of image_reference among others, and needs its rights.
        identity = "image_reference" if function in _BASES else function
        return FunctionProcess(
            self._archive(function),
            folder,
            python=PYTHON,
            environ=self.cloud.environ(identity),
        )

    def _archive(self, function: str) -> Path:
        """Return what is served: an archive with its bytecode, built when it is first needed."""
        built = self._built / f"{function}.zip"
        if not built.exists():
            plain = ARCHIVES / built.name
            if function in _BASES:
                plain = self.cloud.folder / built.name
                with zipfile.ZipFile(plain, "w") as archive:
                    archive.write(ROOT / "tools" / "bench" / function / "main.py", "main.py")
            build(plain, self._built)
        return built

    @property
    def _built(self) -> Path:
        return self.cloud.folder / "built"

    def _body(self, scenario: Scenario) -> bytes:
        about = scenario.data.get("jsonPayload", {}).get("involvedObject", {})
        if about.get("name") == POD:
            # The API server gives the pod its uid, by which the function recognizes it.
            text = json.dumps(scenario.data).replace(about["uid"], self._pod_uid)
            scenario = replace(scenario, data=json.loads(text))
        return scenario.body(f"bench-{next(self._numbers)}", datetime.now(UTC))


def build(archive: Path, folder: Path) -> None:
    """
    Write an archive again with its bytecode, as the platform's build leaves it.

    https://github.com/GoogleCloudPlatform/buildpacks compiles the whole source before a function
    first starts. Unpacking changes the times of files, so bytecode must not depend on them.
    """
    with tempfile.TemporaryDirectory(dir=folder) as name:
        unpacked = Path(name)
        with zipfile.ZipFile(archive) as content:
            content.extractall(unpacked)
        compileall.compile_dir(
            unpacked,
            quiet=1,
            stripdir=name,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
        with zipfile.ZipFile(folder / archive.name, "w") as built:
            for path in sorted(unpacked.rglob("*")):
                built.write(path, path.relative_to(unpacked))


def _names(job: dict[str, Any], image: str) -> bool:
    containers = job["spec"]["template"]["spec"]["containers"]
    return any(each["image"] == image for each in containers)


def _find_line(process: FunctionProcess, scenario: Scenario, before: int) -> dict[str, Any]:
    """Return the log line of a delivery; an empty one where none is to be written."""
    if scenario.disposition is None and scenario.evidence is None:
        return {}
    process.wait_for_line(
        lambda _: any(map(scenario.is_written_in, process.lines[before:])), _LINE_S
    )
    line = next(filter(scenario.is_written_in, process.lines[before:]), None)
    if line is None or not scenario.is_proven_by(line):
        raise FailedDeliveryError(f"{scenario.name} did not end as it should: {line}")
    return line
