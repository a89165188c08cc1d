"""Which parts of a pod break a Pod Security Standard, and how messages name them."""

from collections.abc import Callable, Iterable

from sandbox.kubernetes.bodies import Body, containers, mapping

Check = Callable[[Body], str | None]


def quoted(names: Iterable[str]) -> str:
    """Join names in quotes."""
    return ", ".join(f'"{name}"' for name in names)


def counted(word: str, names: list[str]) -> str:
    """Name one thing, or several."""
    return f"{word}{'s' if len(names) > 1 else ''} {quoted(names)}"


def context_of(part: Body) -> Body:
    """Return the security context of a container, or of the pod."""
    return mapping(part, "securityContext")


def offending(spec: Body, offends: Callable[[Body], bool]) -> list[str]:
    """Return the names of the containers that break a rule."""
    return [container["name"] for _, _, container in containers(spec) if offends(container)]


def setters(pod: bool, names: list[str]) -> str:  # noqa: FBT001
    """Name who sets something: the pod, containers, or both."""
    subjects = ["pod"] if pod else []
    if names:
        subjects.append(counted("container", names))
    return " and ".join(subjects)
