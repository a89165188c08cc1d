"""Which images the configuration wants, and until when a message is acted upon."""

from datetime import UTC, datetime, timedelta

import pytest

from shared.domain.disposition import is_too_old
from shared.domain.image_reference import parse_reference
from shared.domain.image_selection import Selection
from shared.domain.workload import find_pod_specs

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("include", "exclude", "image", "expected"),
    [
        pytest.param(("*",), (), "nginx", True, id="default"),
        pytest.param((), (), "nginx", False, id="nothing-included"),
        pytest.param(("docker.io/*",), (), "nginx", True, id="short-form-is-completed"),
        pytest.param(("nginx",), (), "nginx", False, id="pattern-is-not-completed"),
        pytest.param(("docker.io",), (), "nginx", False, id="the-whole-name"),
        pytest.param(("ghcr.io/acme/*",), (), "ghcr.io/acme/a/b:1", True, id="star-spans-slashes"),
        pytest.param(("ghcr.io/acme/?",), (), "ghcr.io/acme/a", True, id="one-character"),
        pytest.param(("ghcr.io/acme/[ab]",), (), "ghcr.io/acme/c", False, id="one-of-several"),
        pytest.param(("GHCR.io/*",), (), "ghcr.io/acme/a", False, id="case"),
        pytest.param(("*:1",), (), "ghcr.io/acme/a:1", False, id="no-tag"),
        pytest.param(("localhost:5000/*",), (), "localhost:5000/a", True, id="port"),
        pytest.param(("*",), ("*/library/*",), "nginx", False, id="excluded"),
        pytest.param(("docker.io/library/nginx",), ("*nginx",), "nginx", False, id="exclude-wins"),
        pytest.param(("a/*", "docker.io/*"), ("b/*",), "nginx", True, id="any-of-several"),
    ],
)
def test_patterns_are_matched_against_the_full_name(
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    image: str,
    expected: bool,  # noqa: FBT001
) -> None:
    selection = Selection(include, exclude)

    assert selection.admits(parse_reference(image)) is expected


@pytest.mark.parametrize(
    ("accelerators_only", "gpus", "expected"),
    [(True, "1", True), (True, "0", False), (False, "0", True), (False, "1", True)],
)
def test_only_pods_with_an_accelerator_are_selected_by_default(
    accelerators_only: bool,  # noqa: FBT001
    gpus: str,
    expected: bool,  # noqa: FBT001
) -> None:
    container = {"image": "nginx", "resources": {"limits": {"nvidia.com/gpu": gpus}}}
    (pod,) = find_pod_specs({"spec": {"containers": [container]}})

    selection = Selection(accelerators_only=accelerators_only)

    assert selection.wants(pod) is expected
    assert Selection().accelerators_only


@pytest.mark.parametrize(
    ("age", "max_age", "expected"),
    [
        pytest.param(timedelta(hours=23), timedelta(hours=24), False, id="young"),
        pytest.param(timedelta(hours=24), timedelta(hours=24), False, id="at-the-limit"),
        pytest.param(timedelta(hours=24, seconds=1), timedelta(hours=24), True, id="old"),
        pytest.param(timedelta(days=400), timedelta(0), False, id="no-limit"),
        pytest.param(timedelta(seconds=-5), timedelta(hours=24), False, id="ahead-of-our-clock"),
    ],
)
def test_message_grows_too_old(age: timedelta, max_age: timedelta, expected: bool) -> None:  # noqa: FBT001
    assert is_too_old(NOW - age, NOW, max_age) is expected
