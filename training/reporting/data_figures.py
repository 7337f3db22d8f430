"""Where the model comes from: the log's size and times, its parts, and how often was bought as time went on."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from training.reporting.curves import wilson
from training.reporting.figure import Cell, Figure, Key, Panel, Table, axis, line, listed, note
from training.reporting.wording import SLICE_TITLES, day, percent

_ROW_PX = 13
_MARGIN = {"l": 64, "r": 18, "t": 18 + _ROW_PX, "b": 8}
"""The same for all panels, so that days stand above each other."""

_BAND = {"type": "rect", "yref": "paper", "y0": 0, "y1": 1, "layer": "below", "line": {"width": 0}}

FEWEST_POINTS = 20
"""The share of fewer points is anything: its band would be as high as the chart."""

_CROWDED = 0.2
"""Where a part takes less than this share of the time, names in one row would overlap on a small screen."""

_KIND_COLOURS = {"view": "@view", "cart": "@cart"}


def log_table(data: Mapping[str, Any]) -> Table:
    """What was read."""
    rows, quarantine = data.get("rows", {}), data.get("quarantine", {})
    first, last = data.get("time_range", ("", ""))
    kinds = ", ".join(f"{count:,} {name}" for name, count in rows.get("kinds", {}).items())
    aside = sum(quarantine.values())
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in quarantine.items())
    learned = data.get("learned", {})
    entries = [
        ("Events", f"{rows.get('kept', 0):,}", kinds),
        ("Set aside", f"{aside:,}", reasons or "every row read was a valid event"),
        ("First event", _minute(first), ""),
        ("Last event", _minute(last), ""),
        ("Decision points", f"{data.get('points', 0):,}", "first views and first carts with a known outcome"),
        ("Censored", f"{data.get('censored', 0):,}", "too near to the log's end for their outcome to be known"),
        ("In outages", f"{data.get('unlabelled', 0):,}", "they look into times in which purchases are missing"),
    ]
    if learned:
        entries.append(("Served trees learned from", day(str(learned["from"])), f"until {day(str(learned['to']))}"))
    return Table("The log", ("", ""), [[Cell(name), Cell(text, small)] for name, text, small in entries], texts=(0, 1))


def parts_table(data: Mapping[str, Any]) -> Table:
    """How the log was cut."""
    rows = [
        [
            Cell(name),
            Cell(day(part["from"])),
            Cell(day(part["to"])),
            Cell(f"{part['points']:,}"),
            Cell(f"{part['bought']:,}"),
            Cell(percent(part["bought"] / part["points"] if part["points"] else None)),
        ]
        for name, part in data.get("parts", {}).items()
    ]
    columns = ("Part", "From", "To", "Points", "Bought", "Base rate")
    return Table("Its parts, in order of time", columns, rows, "Between parts lies one label horizon of silence.")


def timeline_figure(data: Mapping[str, Any]) -> Figure:
    """Base rates of views and carts over time, and how many points there were."""
    rates = data["base_rates_over_time"]
    per = {1: "day", 7: "week"}.get(rates["period_days"], f"{rates['period_days']} days")
    kinds = [name for name in _KIND_COLOURS if any(rates[name]["points"])]
    steady = [name for name in kinds if max(rates[name]["points"]) >= FEWEST_POINTS]
    backdrop = {"shapes": [*_parts(data), *_outages(data)], "margin": _MARGIN, "xaxis": _dates(rates)}
    panels = [_rate_panel(name, rates, backdrop | {"annotations": _part_names(data)}) for name in steady]
    return Figure(
        f"How often was bought, by {per}",
        "The line is the share of decision points that were followed by a purchase, its band a 95 % interval. Shaded "
        "are the parts of the log. A rate that drifts is what calibration has to follow, and where it must fail first. "
        f"Where a {per} had fewer than {FEWEST_POINTS} points no share is drawn.",
        [*panels, _count_panel(rates, kinds, backdrop, per)],
        [
            *(Key(SLICE_TITLES[name], _KIND_COLOURS[name], "line") for name in kinds),
            *([Key("purchases missing: no labels", "@outage", "swatch")] if data.get("outages") else []),
        ],
    )


def _middles(rates: Mapping[str, Any]) -> list[str]:
    """The middle of each period, where its mark stands."""
    half = timedelta(days=rates["period_days"]) / 2
    return [f"{_iso(start) + half:%Y-%m-%dT%H:%M}" for start in rates["from"]]


def _rate_panel(name: str, rates: Mapping[str, Any], backdrop: Mapping[str, Any]) -> Panel:
    points = np.array(rates[name]["points"], dtype=np.float64)
    met = points >= FEWEST_POINTS
    rate = np.array(rates[name]["bought"])[met] / points[met]
    low, high = wilson(rate, points[met])
    x = [middle for middle, has in zip(_middles(rates), met, strict=True) if has]
    colour, title = _KIND_COLOURS[name], SLICE_TITLES[name]
    outline: dict[str, Any] = {"width": 0, "color": colour}
    edge = {"type": "scatter", "mode": "lines", "x": x, "line": outline, "hoverinfo": "skip"}
    middle = line(title, [], rate, colour, customdata=points[met].tolist())
    middle |= {"x": x, "hovertemplate": "%{x|%d %b %Y}: %{y:.1%} of %{customdata:,} points<extra></extra>"}
    traces = [
        {**edge, "y": listed(low)},
        {**edge, "y": listed(high), "fill": "tonexty", "fillcolor": f"{colour}-band"},
        middle,
    ]
    top = min(1.0, float(np.quantile(high, 0.98)) * 1.15)
    digits = ".0%" if top > 0.05 else ".1%"
    layout = {**backdrop, "yaxis": axis("bought", tickformat=digits, range=[0, top], automargin=False)}
    return Panel(f"rate-{name}", title, traces, layout, f"base rate of {title.lower()} over time", 230)


def _count_panel(rates: Mapping[str, Any], kinds: Sequence[str], backdrop: Mapping[str, Any], per: str) -> Panel:
    x = _middles(rates)
    traces: list[dict[str, Any]] = [
        {
            "type": "bar",
            "name": SLICE_TITLES[name],
            "x": x,
            "y": rates[name]["points"],
            "marker": {"color": _KIND_COLOURS[name]},
            "hovertemplate": "%{x|%d %b %Y}: %{y:,}<extra>%{fullData.name}</extra>",
        }
        for name in kinds
    ]
    y = axis(f"points per {per}", tickformat=",", automargin=False)
    layout = {**backdrop, "yaxis": y, "barmode": "stack", "bargap": 0.15}
    return Panel("points", "Decision points", traces, layout, "decision points over time", 190)


def _dates(rates: Mapping[str, Any]) -> dict[str, Any]:
    """The same axis for all panels, so that days stand above each other."""
    end = _iso(rates["from"][-1]) + timedelta(days=rates["period_days"])
    return axis(type="date", range=[rates["from"][0], f"{end:%Y-%m-%d}"])


def _parts(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {**_BAND, "x0": part["from"], "x1": part["to"], "fillcolor": "@test" if name == "test" else f"@part{place % 2}"}
        for place, (name, part) in enumerate(data.get("parts", {}).items())
    ]


def _part_names(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The parts' names above the chart, every other one a row higher where there is too little room for one row."""
    spans = {name: (_iso(part["from"]), _iso(part["to"])) for name, part in data.get("parts", {}).items()}
    if not spans:
        return []
    whole = max(end for _, end in spans.values()) - min(start for start, _ in spans.values())
    crowded = any(end - start < _CROWDED * whole for start, end in spans.values())
    return [
        note(
            name,
            f"{start + (end - start) / 2:%Y-%m-%dT%H:%M}",
            1.0,
            yref="paper",
            yanchor="bottom",
            yshift=_ROW_PX * (place % 2) * crowded,
        )
        for place, (name, (start, end)) in enumerate(spans.items())
    ]


def _outages(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {**_BAND, "x0": outage["from"], "x1": outage["to"], "fillcolor": "@outage"}
        for outage in data.get("outages", ())
    ]


def _minute(iso: str) -> str:
    return f"{iso[:16].replace('T', ' ')} UTC"


def _iso(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
