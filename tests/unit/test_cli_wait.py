"""prestream wait: until when it looks, what it shows meanwhile, and how it ends."""

from datetime import timedelta

import pytest

from cli.exits import ExitCode
from cli.input.duration import parse_duration
from cli.status.poll import (
    LONGEST_PAUSE_S,
    describe,
    exit_code,
    follow,
    is_all_settled,
    is_decided,
)
from cli.status.wait_condition import Verdict, WaitResult, WaitTarget
from shared.domain.image_state import State
from shared.pipeline.resolved_request import name_aliases
from shared.settings.keys import make_settings
from shared.settings.yaml_file import Document

CLUSTER = "projects/demo/locations/us-central1/clusters/gpu"


class Time:
    """A clock that only pauses move."""

    def __init__(self) -> None:
        self.now = 100.0
        self.pauses: list[float] = []

    def clock(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def answer(
    verdict: Verdict, state: State | None = None, image: str = "nginx", reason: str | None = None
) -> WaitResult:
    wish = WaitTarget(image=image, place="us-central1", clusters=(CLUSTER,))
    return WaitResult(wish=wish, verdict=verdict, state=state, reason=reason, hint="Do so.")


def follow_all(
    looks: list[list[WaitResult]], *, minutes: float = 10, fails_fast: bool = False
) -> tuple[list[WaitResult], Time]:
    """Follow answers, the last of which stay."""
    time, left = Time(), list(looks)
    answers = follow(
        lambda: left.pop(0) if len(left) > 1 else left[0],
        timeout=timedelta(minutes=minutes),
        is_settled=is_decided if fails_fast else is_all_settled,
        pause=time.pause,
        clock=time.clock,
    )
    return answers, time


def test_wait_polls_until_the_image_is_warm() -> None:
    warm = [answer("warm", "warm")]

    answers, time = follow_all([[answer("pending")], [answer("pending", "warming")], warm])

    assert answers == warm
    assert len(time.pauses) == 2
    assert exit_code(answers) == ExitCode.DONE


def test_wait_polls_once_more_at_the_timeout() -> None:
    answers, time = follow_all([[answer("pending", "waiting")]], minutes=2)

    assert time.now == pytest.approx(100 + 120)
    assert exit_code(answers) == ExitCode.DIFFERENT


def test_wait_without_time_polls_once() -> None:
    _, time = follow_all([[answer("pending")]], minutes=0)

    assert time.pauses == []


def test_pauses_grow_up_to_a_limit() -> None:
    _, time = follow_all([[answer("pending")]], minutes=30)

    assert time.pauses[:-1] == sorted(time.pauses[:-1])
    assert max(time.pauses) == LONGEST_PAUSE_S


def test_gate_ends_at_the_first_failure_and_a_warmup_is_followed_to_its_end() -> None:
    looks = [
        [answer("failed", "failed"), answer("pending", "warming", "redis")],
        [answer("failed", "failed"), answer("warm", "warm", "redis")],
    ]

    at_once, _ = follow_all(looks, fails_fast=True)
    to_the_end, _ = follow_all(looks)

    assert (at_once, to_the_end) == (looks[0], looks[1])
    assert exit_code(at_once) == exit_code(to_the_end) == ExitCode.FAILED


def test_wait_without_a_terminal_prints_each_change(capsys: pytest.CaptureFixture[str]) -> None:
    pending = [answer("pending", "warming")]

    follow_all([[answer("pending")], pending, pending, [answer("warm", "warm")]])

    lines = [line for line in capsys.readouterr().err.splitlines() if "nginx" in line]
    assert [line.split()[1] for line in lines] == ["nothing", "warming", "warm"]


def test_failure_is_printed_with_its_hint_and_without_control_characters() -> None:
    text = describe(answer("failed", "failed", reason="a\x1b[2Jb")).plain

    assert text.startswith("failed  nginx in us-central1")
    assert "\x1b" not in text
    assert text.endswith("Do so.")


def test_targets_are_known_by_the_names_in_the_configuration() -> None:
    values = {
        "targets": {"l4": {"nodeSelector": {"cloud.google.com/gke-accelerator": "nvidia-l4"}}}
    }
    settings = make_settings(Document(values), {"GOOGLE_CLOUD_PROJECT": "demo"}, name="file")

    (name,) = name_aliases(settings)

    assert name.startswith("nvidia-l4-")
    assert name_aliases(settings)[name] == "l4"


@pytest.mark.parametrize("text", ["", "5", "5x", "m5", "1h 5m", f"{10**12}d", "-5m"])
def test_invalid_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)
