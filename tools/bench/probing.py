"""Count what a delivery costs, where seconds would depend on the machine."""

import json
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sandbox.local_cloud import ROOT
from tools.bench.calls import Call
from tools.bench.measuring import FailedDeliveryError
from tools.bench.scenarios import BLANK, Scenario
from tools.bench.stages import ARCHIVES, PYTHON, Stage

_PROBE = ROOT / "tools" / "bench" / "probe.py"
_OK = 200


@dataclass(frozen=True, slots=True)
class Counted:
    """The cost of the first delivery to a new instance, and of the next one."""

    started: frozenset[str]
    """Modules that the function imports when it starts, beyond those of the blank one."""
    imported: frozenset[str]
    """Modules that its first delivery imports."""
    imported_next: frozenset[str]
    cold: tuple[Call, ...]
    warm: tuple[Call, ...]
    python_calls: int
    """Functions in Python that the second delivery calls."""
    python: str
    """The version of the interpreter."""


class Probe:
    """A function in an interpreter of its own that reports its work."""

    def __init__(self, stage: Stage, function: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix=f"{function}-")
        if function == BLANK:
            source = ROOT / "tools" / "bench" / BLANK / "main.py"
            Path(self._folder.name, "main.py").write_bytes(source.read_bytes())
        else:
            with zipfile.ZipFile(ARCHIVES / f"{function}.zip") as content:
                content.extractall(self._folder.name)
        identity = "image_reference" if function == BLANK else function
        self._process = subprocess.Popen(
            [str(PYTHON), str(_PROBE), function],
            cwd=self._folder.name,
            env=stage.cloud.environ(identity) | {"PYTHONPATH": self._folder.name},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._lines: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process.wait()
        self._folder.cleanup()

    def started(self) -> frozenset[str]:
        """Return the modules that are there before any delivery."""
        return frozenset(self._read()["modules"])

    def send(self, scenario: Scenario, body: bytes) -> dict[str, Any]:
        """
        Send a delivery, and return what it cost.

        Raises:
            FailedDeliveryError: It did not end as the scenario demands.
        """
        self._lines.clear()
        if self._process.stdin is not None:
            self._process.stdin.write(body.decode() + "\n")
            self._process.stdin.flush()
        answer = self._read()
        lines = [line for line in self._lines if scenario.is_written_in(line)]
        if answer["status"] != _OK or not any(map(scenario.is_proven_by, lines)):
            raise FailedDeliveryError(f"{scenario.name} did not end as it should: {self._lines}")
        return answer

    def _read(self) -> dict[str, Any]:
        for text in self._process.stdout or ():
            try:
                line: dict[str, Any] = json.loads(text)
            except ValueError:
                continue
            if "probe" in line:
                found: dict[str, Any] = line["probe"]
                return found
            self._lines.append(line)
        raise FailedDeliveryError(f"a probe ended: {self._lines[-3:]}")


def count_blank(stage: Stage) -> frozenset[str]:
    """Return the modules of the framework alone."""
    with Probe(stage, BLANK) as probe:
        return probe.started()


def count_delivery(stage: Stage, scenario: Scenario, blank: frozenset[str]) -> Counted:
    """
    Count what two deliveries of a scenario cost, one after the other.

    Raises:
        FailedDeliveryError: One did not end as the scenario demands.
    """
    with Probe(stage, scenario.function) as probe:
        started = probe.started()
        answers, calls = [], []
        for _ in range(2):
            each = stage.next_of(scenario)
            (body,) = stage.bodies([each])
            stage.calls.take()
            answers.append(probe.send(each, body))
            calls.append(tuple(stage.calls.take()))
    return Counted(
        started=frozenset(started - blank),
        imported=frozenset(answers[0]["modules"]),
        imported_next=frozenset(answers[1]["modules"]),
        cold=calls[0],
        warm=calls[1],
        python_calls=answers[1]["python_calls"],
        python=answers[1]["python"],
    )


def group_modules(names: Iterable[str]) -> dict[str, int]:
    """
    Count modules by their package.

    >>> group_modules(["google.api_core.retry", "google.api_core", "json.decoder", "shared.errors"])
    {'google.api_core': 2, 'shared': 1, 'standard library': 1}
    """
    return dict(sorted(Counter(map(package_of, names)).items()))


def package_of(name: str) -> str:
    """Return the package of a module; the standard library counts as one, and so does ours."""
    first, _, rest = name.partition(".")
    if first in sys.stdlib_module_names:
        return "standard library"
    return f"{first}.{rest.partition('.')[0]}" if first == "google" and rest else first


def name_growth(names: Iterable[str], budget: Mapping[str, int]) -> dict[str, list[str]]:
    """Return the modules of each package that has more of them than the budget says."""
    known = sorted(names)
    counted = group_modules(known)
    return {
        package: [name for name in known if package_of(name) == package]
        for package, count in counted.items()
        if count > budget.get(package, 0)
    }
