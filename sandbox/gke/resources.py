"""What pods ask for and what nodes have."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from kubernetes.utils.quantity import parse_quantity

Body = Mapping[str, Any]
Amounts = dict[str, Decimal]


def requests_of(pod: Body) -> Amounts:
    """
    Return what a pod takes from its node.

    Init containers run one after the other, so the greatest of them counts where it is more
    than the sum of the containers.
    """
    spec = pod["spec"]
    amounts: Amounts = {"pods": Decimal(1)}
    for container in spec.get("containers") or []:
        for name, amount in _requests(container).items():
            amounts[name] = amounts.get(name, Decimal(0)) + amount
    for container in spec.get("initContainers") or []:
        for name, amount in _requests(container).items():
            amounts[name] = max(amounts.get(name, Decimal(0)), amount)
    return amounts


def sum_of(amounts: Iterable[Amounts]) -> Amounts:
    """Add up amounts by resource."""
    total: Amounts = {}
    for each in amounts:
        for name, amount in each.items():
            total[name] = total.get(name, Decimal(0)) + amount
    return total


def allocatable_of(node: Body) -> Amounts:
    """Return what a node has for pods; nothing before its kubelet has reported."""
    listed = (node.get("status") or {}).get("allocatable") or {}
    return {name: parse_quantity(quantity) for name, quantity in listed.items()}


def lacking(wanted: Amounts, used: Amounts, has: Amounts) -> list[str]:
    """Return the resources of which too little is left, in the scheduler's order."""
    order = {"pods": 0, "cpu": 1, "memory": 2, "ephemeral-storage": 3}
    short = [
        name
        for name, amount in wanted.items()
        if amount and amount + used.get(name, Decimal(0)) > has.get(name, Decimal(0))
    ]
    return sorted(short, key=lambda name: (order.get(name, 4), name))


def _requests(container: Body) -> Amounts:
    resources = container.get("resources") or {}
    listed = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return {name: parse_quantity(quantity) for name, quantity in listed.items()}
