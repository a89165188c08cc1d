"""
The entry points of the installed command.

A wheel holds this module as the package ``prestream``, and the repository's folders inside it. They
come first on the path, because other distributions install a package with the name ``cli``, too.
"""

import contextlib
import os
import shlex
import sys
from pathlib import Path

_KUBECTL_PLUGIN = "kubectl-prestream"
_CONFIG = "prestream.yaml"
_NO_FILES = ":4"
"""The directive of a kubectl completion: do not complete names of files."""


def main() -> None:
    """Run the command, also as a plugin of kubectl."""
    is_plugin = Path(sys.argv[0]).name == _KUBECTL_PLUGIN
    _run("kubectl prestream" if is_plugin else "prestream")


def complete() -> None:
    """
    Complete words for kubectl; the last argument is the word to complete.

    https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/#shell-completion-support
    """
    words = ["prestream", *sys.argv[1:]]
    os.environ |= {  # noqa: TID251  # this is an entry point
        "_PRESTREAM_COMPLETE": "complete_bash",
        "COMP_WORDS": shlex.join(words),
        "COMP_CWORD": str(len(words) - 1),
    }
    with contextlib.suppress(SystemExit):
        _run("prestream")
    sys.stdout.write(f"{_NO_FILES}\n")


def _run(name: str) -> None:
    """Run the command, with the configuration of the current folder unless another is named."""
    if Path(_CONFIG).is_file():
        os.environ.setdefault("PRESTREAM_CONFIG", _CONFIG)  # noqa: TID251  # this is an entry point
    sys.path.insert(0, str(Path(__file__).parent))
    from cli.__main__ import main as run

    run(name)
