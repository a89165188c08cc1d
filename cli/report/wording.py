"""Figures in words, the same in the terminal and in the page."""

from typing import Final

from cli.report.figures import VERDICTS, Group, Spread
from cli.report.reports import Report, show_time
from cli.terminal import count

NONE: Final = "\N{EN DASH}"
"""The text for a figure that was not measured."""

VERDICT_WORDS: Final = {
    "streamed": "streamed",
    "likely_streamed": "likely streamed",
    "cached_on_node": "cached on node",
    "not_streamed": "not streamed",
    "unknown": "unknown",
}

_TENTHS_BELOW: Final = 20
_MINUTE: Final = 60
_MINUTES_FROM: Final = 120
_HOUR: Final = 3600
_CENT: Final = 0.01
_HUNDRED: Final = 100


def show_seconds(seconds: float | None) -> str:
    """
    Return a duration in a readable form.

    >>> [show_seconds(each) for each in (7.931, 84.2, 316.9, 8040.0, -30.0)]
    ['7.9 s', '84 s', '5 min 17 s', '2 h 14 min', '-30 s']
    """
    if seconds is None:
        return NONE
    sign, size = ("-", -seconds) if seconds < 0 else ("", seconds)
    if size < _TENTHS_BELOW and size != round(size):
        return f"{sign}{size:.1f} s"
    whole = round(size)
    if whole < _MINUTES_FROM:
        return f"{sign}{whole} s"
    if whole < _HOUR:
        return f"{sign}{whole // _MINUTE} min {whole % _MINUTE} s".removesuffix(" 0 s")
    hours, rest = divmod(whole // _MINUTE, _MINUTE)
    return f"{sign}{hours:,} h {rest} min".removesuffix(" 0 min")


def show_money(money: float | None, currency: str) -> str:
    """
    Return an amount, without cents if it is large.

    >>> [show_money(each, "USD") for each in (0.004, 1.5, 1234.56, 0.0, -0.2)]
    ['< $0.01', '$1.50', '$1,235', '$0.00', '-$0.20']
    >>> show_money(3.0, "EUR")
    'EUR 3.00'
    """
    if money is None:
        return NONE
    unit = "$" if currency == "USD" else f"{currency} "
    sign, size = ("-", -money) if money < 0 else ("", money)
    if 0 < size < _CENT:
        return f"{sign}< {unit}0.01" if not sign else f"> -{unit}0.01"
    return f"{sign}{unit}{size:,.0f}" if size >= _HUNDRED else f"{sign}{unit}{size:,.2f}"


def show_spread(spread: Spread | None) -> str:
    """
    Return median and 90th percentile.

    >>> from cli.report.figures import spread_of
    >>> [show_spread(spread_of(each)) for each in ([2.0, 4.1, 6.0], [4.1])]
    ['4.1 s (p90 5.6 s)', '4.1 s']
    """
    if spread is None:
        return NONE
    if spread.count == 1:
        return show_seconds(spread.median)
    return f"{show_seconds(spread.median)} (p90 {show_seconds(spread.p90)})"


def show_saving(figures: Group) -> str:
    """Return the accelerator seconds that streaming saved for an image, or the reason for none."""
    saving = figures.saving
    if figures.streamed is not None and figures.baseline is None:
        return "no baseline"
    if saving.counted_pulls and saving.accelerator_seconds is None:
        return "no accelerator"
    return show_seconds(saving.accelerator_seconds)


def times_as_fast(report: Report) -> float | None:
    """Return the ratio of cold to streamed pulls, for images with measurements of both."""
    cold, streamed = report.compared
    if cold is None or streamed is None or streamed.median <= 0:
        return None
    return cold.median / streamed.median


def show_scale(report: Report) -> str:
    """Return the numbers of images, pulls and warmups."""
    total = report.total
    verdicts = ", ".join(
        f"{total.verdicts[each]} {VERDICT_WORDS[each]}" for each in VERDICTS if total.verdicts[each]
    )
    images = count(len(report.images), "image")
    pulls = count(total.pulls, "pull") + (f" ({verdicts})" if verdicts else "")
    return f"{images}, {pulls}, {count(total.warmups, 'warmup')}"


def show_period(report: Report) -> str:
    """Return the period of the facts."""
    if report.period is None:
        return NONE
    first, last = (show_time(each)[:16].replace("T", " ") for each in report.period)
    return f"{first} to {last} UTC"


def simulation_notice(report: Report) -> str | None:
    """Return the notice that must come before figures of simulated nodes."""
    if not report.simulated:
        return None
    total = sum(report.facts.values())
    some = "All" if report.simulated == total else f"{report.simulated} of {total}"
    return (
        f"SIMULATED. {some} facts are about simulated nodes: no duration, factor or sum here is"
        " measured."
    )


def label_simulated(report: Report, text: str) -> str:
    """Return a text about durations or money, marked if nodes are simulated."""
    return f"Simulated: {text}" if report.simulated else text


def headline(report: Report) -> str:
    """Return the main result, in one sentence."""
    return label_simulated(report, _headline(report)) if report.facts else _headline(report)


def _headline(report: Report) -> str:
    cold, streamed = report.compared
    if not report.facts:
        return "No facts were found: nothing was warmed, and no pull was seen."
    if cold is not None and streamed is not None:
        return (
            f"Pulls that streamed took {show_seconds(streamed.median)},"
            f" instead of {show_seconds(cold.median)}."
        )
    if report.total.streamed is not None:
        return (
            f"{count(report.total.streamed.count, 'pull')} streamed, and took"
            f" {show_seconds(report.total.streamed.median)}; no cold pull was measured to compare"
            " with."
        )
    return "No workload's pull is known to have streamed yet."


def money_sentence(report: Report) -> str | None:
    """Return the value of the saving, with its prices; None without a known price."""
    saving, prices = report.total.saving, report.prices
    if saving.money is None:
        return None
    return label_simulated(
        report,
        f"About {show_money(saving.net_money, prices.currency)} saved:"
        f" {show_money(saving.money, prices.currency)} of accelerators that did not wait, less"
        f" {show_money(saving.warming_money or 0.0, prices.currency)} for warming"
        f" ({prices.source}).",
    )


def show_to_fix(report: Report) -> str:
    """Return the number of causes to fix, and the cost of the waiting that they caused."""
    if not report.findings:
        return "Nothing to fix was found."
    waited = sum(each.waited_seconds for each in report.findings)
    money = sum(each.waited_money for each in report.findings)
    text = f"{count(len(report.findings), 'thing')} to fix"
    if waited:
        text += f": accelerators waited {show_seconds(waited)} for pulls"
    if money:
        text += f", worth {show_money(money, report.prices.currency)}"
    return f"{label_simulated(report, text) if waited else text}."


def caveats(report: Report) -> list[str]:
    """Return notes on pulls that the saving excludes, and on unreadable lines."""
    saving = report.total.saving
    said = []
    if saving.without_baseline:
        said.append(
            f"{count(saving.without_baseline, 'streamed pull')} of images without a cold"
            " measurement: no baseline, and not counted as a saving."
        )
    if saving.without_accelerator:
        said.append(
            f"{count(saving.without_accelerator, 'streamed pull')} on nodes without a known"
            " accelerator: no accelerator waited there."
        )
    if likely := report.total.verdicts["likely_streamed"]:
        said.append(f"{count(likely, 'pull')} likely streamed: never counted as a saving.")
    if saving.unpriced_seconds:
        waited = show_seconds(saving.unpriced_seconds)
        said.append(f"{waited} saved on accelerators that the price table does not have.")
    if saving.unpriced_warmups:
        said.append(f"{count(saving.unpriced_warmups, 'warmup')} whose cost is not known.")
    if any(each.figures.baseline == "warmups" and each.figures.streamed for each in report.images):
        said.append(
            "Where no workload's cold pull was measured, the warmups' own pulls are the baseline:"
            " they fill the cache, which can take longer than a pull without streaming."
        )
    said += map(str, report.hub_pulls)
    if report.malformed:
        said.append(f"{count(report.malformed, 'malformed line')} could not be read.")
    return said
