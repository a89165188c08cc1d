"""What containers ask for: CPU, memory and counted devices."""

from collections.abc import Iterator

from sandbox.kubernetes.bodies import Body, mapping
from sandbox.kubernetes.fields import FieldError, invalid, required
from sandbox.kubernetes.quantities import parse_quantity
from sandbox.kubernetes.validation.names import qualified_problem

_STANDARD = ("cpu", "memory", "ephemeral-storage")
_HUGE_PAGES = "hugepages-"


def is_extended(name: str) -> bool:
    """
    Whether a resource is counted in whole devices, such as ``nvidia.com/gpu``.

    >>> is_extended("nvidia.com/gpu"), is_extended("cpu")
    (True, False)
    """
    prefix, slash, _ = name.partition("/")
    return bool(slash) and not prefix.endswith("kubernetes.io")


def validate_requirements(resources: Body, path: str) -> Iterator[FieldError]:
    """Check a container's requests and limits."""
    requests, limits = mapping(resources, "requests"), mapping(resources, "limits")
    for field, listed in (("limits", limits), ("requests", requests)):
        for name, text in listed.items():
            yield from _name(name, f"{path}.{field}")
            yield from validate_amount(name, text, f"{path}.{field}[{name}]")
    for name, text in requests.items():
        yield from _against_limit(name, text, limits.get(name), path)


def _name(name: str, path: str) -> Iterator[FieldError]:
    if problem := qualified_problem(name):
        yield invalid(path, name, problem)
    elif "/" not in name and name not in _STANDARD and not name.startswith(_HUGE_PAGES):
        yield invalid(path, name, "must be a standard resource for containers")


def validate_amount(name: str, text: str, path: str) -> Iterator[FieldError]:
    """Check that an amount is not negative, and whole where devices are counted."""
    amount = parse_quantity(text)
    if amount < 0:
        yield invalid(path, text, "must be greater than or equal to 0")
    if is_extended(name) and amount.denominator != 1:
        yield invalid(path, text, "must be an integer")


def _against_limit(name: str, text: str, limit: str | None, path: str) -> Iterator[FieldError]:
    whole = is_extended(name) or name.startswith(_HUGE_PAGES)
    if limit is None:
        if whole:
            yield required(f"{path}.limits", "Limit must be set for non overcommitable resources")
        return
    amount, most = parse_quantity(text), parse_quantity(limit)
    if whole and amount != most:
        yield invalid(f"{path}.requests", text, f"must be equal to {name} limit of {limit}")
    elif amount > most:
        yield invalid(
            f"{path}.requests", text, f"must be less than or equal to {name} limit of {limit}"
        )
