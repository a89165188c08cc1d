"""Which repositories of an upstream may be mirrored."""

import pytest

from shared.domain.upstream import Upstream

LOGIN = Upstream(
    username="me",
    password_secret_version="projects/p/secrets/s/versions/1",  # noqa: S106
)


def with_login(*paths: str) -> Upstream:
    return Upstream(
        username=LOGIN.username, password_secret_version=LOGIN.password_secret_version, paths=paths
    )


@pytest.mark.parametrize(
    ("upstream", "repository", "expected"),
    [
        pytest.param(Upstream(), "acme/app", True, id="no-paths"),
        pytest.param(Upstream(paths=("acme/*",)), "acme/app", True, id="listed"),
        pytest.param(Upstream(paths=("acme/*",)), "acme/team/app", True, id="below"),
        pytest.param(Upstream(paths=("acme/*",)), "acme", False, id="the-folder-itself"),
        pytest.param(Upstream(paths=("acme/*",)), "acme-evil/app", False, id="longer-name"),
        pytest.param(Upstream(paths=("acme/*",)), "evil/acme/app", False, id="further-down"),
        pytest.param(Upstream(paths=("acme/app",)), "acme/app", True, id="exact"),
        pytest.param(Upstream(paths=("acme/app",)), "acme/app/secret", False, id="below-exact"),
        pytest.param(Upstream(paths=("a", "b/*")), "b/c", True, id="second-of-two"),
        pytest.param(LOGIN, "acme/app", False, id="credentials-without-paths"),
        pytest.param(with_login("acme/*"), "acme/app", True, id="credentials-and-listed"),
        pytest.param(with_login("acme/*"), "other/app", False, id="credentials-not-listed"),
    ],
)
def test_repository_is_covered(*, upstream: Upstream, repository: str, expected: bool) -> None:
    assert upstream.covers(repository) is expected


def test_credentials_are_a_username_with_a_secret() -> None:
    assert LOGIN.has_credentials
    assert not Upstream(paths=("acme/*",)).has_credentials
