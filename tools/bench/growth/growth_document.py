"""The table of docs/scale.md, from figures that are kept beside it."""

from collections.abc import Mapping
from typing import Any, Final

from sandbox.local_cloud import ROOT
from tools.bench.documents import make_table

DOCUMENT: Final = ROOT / "docs" / "scale.md"
DATA: Final = ROOT / "docs" / "growth.json"
PICTURE: Final = ROOT / "docs" / "growth.svg"

_MILLION = 1e6


def render(content: Mapping[str, Any]) -> str:
    """Return the curves of a run, as Markdown."""
    said = (
        f"Measured {content['measured_at'][:10]}; the machine's load was {content['load'][0]:g} at"
        " the end. *Power* is that of the size between the last two points: 1 is in proportion, 0"
        " not at all, 2 with the square."
    )
    lines = [said, ""]
    for curve in content["curves"]:
        powers = curve["exponents"]
        rows: list[tuple[str, ...]] = [
            (
                f"{each['size']:,}",
                f"{each['calls']:,.0f}",
                f"{each['seconds']:.2f}",
                f"{each['bytes'] / _MILLION:.0f} MB",
            )
            for each in curve["points"]
        ]
        rows.append(
            (
                "power",
                *(f"{round(powers[key], 1) + 0.0:.1f}" for key in ("calls", "seconds", "bytes")),
            )
        )
        lines.append(f"**{curve['title'].capitalize()}.** Calls and seconds of {curve['per']}.")
        lines.append("")
        headings = (curve["size"], "calls", "seconds", f"memory, {curve['memory']}")
        lines.extend(make_table(headings, rows))
        lines.append("")
    return "\n".join(lines)
