"""
The price table as a user overrides it, a YAML file.

::

    currency: USD
    accelerator_hour: {nvidia-l4: 0.28}      # what an hour of one costs you
    accelerators_per_node: {h100-pool: 8}    # by node pool or accelerator
    warming_hour: {any-node: 0.02}           # by rung of the ladder
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import msgspec
import yaml

from cli.input.yaml_documents import DocumentError, read_documents
from cli.report.prices import Prices

_Price = Annotated[float, msgspec.Meta(ge=0, le=1_000_000)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=1_000)]

_DOLLARS: Final = "USD"


class InvalidPricesError(ValueError):
    """A file is not a price table."""


class _PriceFile(msgspec.Struct, forbid_unknown_fields=True):
    currency: Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{3}$")] = _DOLLARS
    accelerator_hour: dict[str, _Price] = {}
    warming_hour: dict[str, _Price] = {}
    accelerators_per_node: dict[str, _Count] = {}


def read_prices(path: Path) -> Prices:
    """
    Read a price table; a missing entry keeps its list price, if the currency is the same.

    Raises:
        InvalidPricesError: It is not YAML, or says what no price table does.
        OSError: It cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        read_documents(text)  # It refuses depth, and aliases that expand too far.
        given = msgspec.convert(yaml.safe_load(text) or {}, _PriceFile)
    except DocumentError as exc:
        where = f"line {exc.line}: " if exc.line else ""
        raise InvalidPricesError(f"{where}not YAML: {exc}") from exc
    except (yaml.YAMLError, ValueError, TypeError, LookupError) as exc:
        raise InvalidPricesError(" ".join(str(exc).split())) from exc
    defaults = Prices()
    is_same = given.currency == defaults.currency
    return Prices(
        currency=given.currency,
        accelerator_hour=_over(defaults.accelerator_hour, given.accelerator_hour, kept=is_same),
        warming_hour=_over(defaults.warming_hour, given.warming_hour, kept=is_same),
        accelerators_per_node=given.accelerators_per_node,
        source=f"{path.name}, and {defaults.source}" if is_same else path.name,
    )


def _over(
    defaults: Mapping[str, float], given: Mapping[str, float], *, kept: bool
) -> dict[str, float]:
    """Merge a user's prices into the defaults; a price of zero is valid in any currency."""
    rest = {name: price for name, price in defaults.items() if kept or price == 0}
    return {**rest, **given}
