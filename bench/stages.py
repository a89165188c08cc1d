"""Where the functions are measured: the local cloud, prepared so that each delivery has its way."""

import itertools
import tempfile
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.measuring import FailedDeliveryError, Sample, measure, post
from bench.scenarios import KNOWN, NEW, NODE, Scenario
from sandbox.function_process import FunctionProcess
from sandbox.local_cloud import ROOT, LocalCloud

PYTHON = ROOT / "build" / "deployed" / "bin" / "python"
"""An environment of what is deployed, and nothing else."""

ARCHIVES = ROOT / "build" / "functions"

_BLANK = ROOT / "bench" / "blank" / "main.py"
_NAMESPACE = "prestream"
_USER = "bench@example.com"
_LINE_S = 10.0


class Stage:
    """
    A local cloud, and the processes that are started on it one after the other.

    Its clock is the world's: pulls take minutes, so that warmups rest while functions are
    measured.
    """

    def __init__(self) -> None:
        self._cloud = LocalCloud(scale=1.0)
        self._numbers = itertools.count(1)

    def __enter__(self) -> Self:
        self._cloud.start()
        self._cloud.apply_manifests()
        self._cloud.gke.add_node(NODE, pool="l4-spot", accelerator="nvidia-l4")
        with zipfile.ZipFile(self._archive("blank"), "w") as archive:
            archive.write(_BLANK, "main.py")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._cloud.stop()

    def prepare(self, scenarios: tuple[Scenario, ...]) -> None:
        """
        Make the mirror, and the warmup that one of the references will find.

        Raises:
            FailedDeliveryError: That did not succeed.
        """
        for scenario in scenarios:
            if scenario.data.get("image") == KNOWN:
                first = Scenario(
                    scenario.function, "first", scenario.data, "handled", evidence="created"
                )
                process = self._process(first).start()
                try:
                    status = post(process, self._body(first))
                    if status >= 400:  # noqa: PLR2004
                        raise FailedDeliveryError(f"cannot prepare: {process.lines[-3:]}")
                    _find_line(process, first)
                finally:
                    process.stop()

    def measure(self, scenario: Scenario) -> Sample:
        """
        Measure one cold start of a scenario, and put back what it changed.

        Raises:
            FailedDeliveryError: The delivery did not end as the scenario demands.
        """
        process = self._process(scenario)
        try:
            sample = measure(process, self._body(scenario))
            line = _find_line(process, scenario)
        finally:
            process.stop()
        if scenario.data.get("image") == NEW:
            for job in line["created"]:
                self._cloud.kubernetes.api.delete("jobs.batch", job, _NAMESPACE, user=_USER)
        return sample

    def _process(self, scenario: Scenario) -> FunctionProcess:
        folder = Path(tempfile.mkdtemp(prefix=f"{scenario.function}-", dir=self._cloud.folder))
        process = FunctionProcess(
            self._archive(scenario.function),
            folder,
            python=PYTHON,
            environ=self._cloud.environ(scenario.function),
        )
        process.compile()
        return process

    def _archive(self, function: str) -> Path:
        folder = self._cloud.folder if function == "blank" else ARCHIVES
        return folder / f"{function}.zip"

    def _body(self, scenario: Scenario) -> bytes:
        return scenario.body(f"bench-{next(self._numbers)}", datetime.now(UTC))


def _find_line(process: FunctionProcess, scenario: Scenario) -> dict[str, Any]:
    """Return the log line of the delivery; an empty one where none is to be written."""
    if scenario.disposition is None:
        return {}
    line = process.wait_for_line(lambda line: "disposition" in line, _LINE_S)
    if line is None or not scenario.is_proven_by(line):
        raise FailedDeliveryError(f"{scenario.name} did not end as it should: {line}")
    return line
