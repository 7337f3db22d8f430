"""How well candidates rank and how true their probabilities are: ROC, PR, lift, reliability, and all differences."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from training.evaluation import BASE_RATE, ENSEMBLE, SLICES
from training.reporting.content import CHAMPION, HeldOut
from training.reporting.curves import Curve, Ranking, reliability
from training.reporting.figure import COLOURS, DASHES, Figure, Key, Panel, axis, dots, line, listed, rule
from training.reporting.wording import (
    SLICE_TITLES,
    candidate_title,
    in_order,
    members_of,
)

_WHOLE: dict[str, Any] = {"range": [0, 1.005], "tickvals": [0, 0.25, 0.5, 0.75, 1], "tickformat": ".0%"}

Rankings = Mapping[str, Mapping[str, Ranking]]
"""Slice -> candidate -> its rows in order, for slices with both outcomes."""


def rankings_of(held_out: HeldOut) -> dict[str, dict[str, Ranking]]:
    """Every candidate's ranking in every slice that has buyers and others."""
    found: dict[str, dict[str, Ranking]] = {}
    for name, kind in SLICES.items():
        rows = slice(None) if kind is None else held_out.kind == kind
        y = held_out.y[rows]
        if len(y) and 0 < y.sum() < len(y):
            found[name] = {
                candidate: Ranking(y, held_out.probabilities[candidate][rows])
                for candidate in in_order(list(held_out.probabilities))
            }
    return found


def roc_figure(rankings: Rankings) -> Figure:
    """ROC per slice."""
    layout = {
        "xaxis": axis("Non-buyers disturbed", **_WHOLE),
        "yaxis": axis("Buyers found", **_WHOLE),
        "shapes": [{"type": "line", "x0": 0, "y0": 0, "x1": 1, "y1": 1, "line": {"color": "@muted", "dash": "dot"}}],
    }
    return Figure(
        "ROC: buyers found against non-buyers disturbed",
        "Each point of a curve is one threshold: the further up and to the left, the better; the dotted diagonal is "
        "guessing. The area below the curve is the chance that a buyer is ranked above a non-buyer.",
        _panels("roc", rankings, Ranking.roc, layout, "%{y:.1%} of buyers at %{x:.1%} of the others"),
        _legend(rankings),
        columns=3,
    )


def pr_figure(rankings: Rankings) -> Figure:
    """Precision over recall per slice."""
    layout = {
        "xaxis": axis("Buyers found (recall)", **_WHOLE),
        "yaxis": axis("Buyers among those picked (precision)", rangemode="tozero", tickformat=".0%"),
    }
    return Figure(
        "Precision and recall: how pure the pick stays as it grows",
        "To find that share of all buyers (across), what share of those picked will buy (up)? Higher is better; a "
        "model that knows nothing stays at the base rate, the dotted line.",
        _panels("pr", rankings, Ranking.precision_recall, layout, "%{y:.1%} precise at %{x:.0%} found", base=1.0),
        _legend(rankings),
        columns=3,
    )


def lift_figure(rankings: Rankings) -> Figure:
    """Lift per slice."""
    layout = {
        "xaxis": axis("Share of points picked, most probable first", tickformat=".0%", type="log", dtick="D2"),
        "yaxis": axis("Times the average rate", rangemode="tozero", ticksuffix="×"),
    }
    return Figure(
        "Lift: how much richer in buyers the top of the list is",
        "Among the most probable share of points (across, logarithmic), how many times the average rate buys? "
        "1× is picking at random.",
        _panels("lift", rankings, Ranking.lift, layout, "%{y:.2f}× in the top %{x:.1%}", level=1.0),
        _legend(rankings),
        columns=3,
    )


def _panels(
    name: str,
    rankings: Rankings,
    curve_of: Callable[[Ranking], Curve],
    layout: Mapping[str, Any],
    hover: str,
    *,
    base: float | None = None,
    level: float | None = None,
) -> list[Panel]:
    panels = []
    for slice_name, candidates in rankings.items():
        traces = [
            _curve_line(candidate, curve_of(ranking), hover)
            for candidate, ranking in reversed(list(candidates.items()))
            if candidate != BASE_RATE
        ]
        of_all = candidates[ENSEMBLE]
        height = of_all.bought[-1] / of_all.shown[-1] if base else level
        shapes = {"shapes": [rule(y=float(height))]} if height else {}
        title = SLICE_TITLES[slice_name]
        panels.append(Panel(f"{name}-{slice_name}", title, traces, {**layout, **shapes}, f"{name} curves, {title}"))
    return panels


def _curve_line(candidate: str, curve: Curve, hover: str) -> dict[str, Any]:
    is_member = bool(members_of([candidate]))
    return line(
        candidate_title(candidate),
        curve.x,
        curve.y,
        COLOURS.get(candidate, "@muted"),
        width=2.6 if candidate == ENSEMBLE else 1.6,
        dash=DASHES.get(candidate),
        meta=candidate,
        visible=not is_member,
        customdata=listed(curve.threshold, 3),
        hovertemplate=hover + "<br>threshold %{customdata:.3f}<extra>%{fullData.name}</extra>",
    )


def _legend(rankings: Rankings) -> list[Key]:
    names = [name for name in next(iter(rankings.values()), {}) if name != BASE_RATE]
    return [
        Key(
            candidate_title(name),
            COLOURS.get(name, "@muted"),
            DASHES.get(name, "line"),
            meta=name,
            shown=name not in members_of(names),
        )
        for name in names
    ]


def reliability_figure(held_out: HeldOut) -> Figure:
    """Forecast against frequency per slice, for the ensemble and the champion."""
    _, user = np.unique(held_out.user, return_inverse=True)
    panels = []
    compared = [name for name in (CHAMPION, ENSEMBLE) if name in held_out.probabilities]
    for name, kind in SLICES.items():
        rows = np.ones(len(held_out.y), dtype=bool) if kind is None else held_out.kind == kind
        if rows.any():
            traces = [_reliability_dots(candidate, held_out, rows, user.reshape(-1)) for candidate in compared]
            top = 1.05 * max(max(t["x"][-1], max(t["y"]), t["y"][-1] + t["error_y"]["array"][-1]) for t in traces)
            layout = {
                "xaxis": axis("Forecast", tickformat=".0%", range=[0, top]),
                "yaxis": axis("Bought", tickformat=".0%", range=[0, top]),
                "shapes": [
                    {"type": "line", "x0": 0, "y0": 0, "x1": top, "y1": top, "line": {"color": "@muted", "dash": "dot"}}
                ],
            }
            panels.append(Panel(f"reliability-{name}", SLICE_TITLES[name], traces, layout, "reliability curve"))
    return Figure(
        "Reliability: does 20 % mean 20 %?",
        "Points are put into 15 bins of equal size by their forecast. On the dotted diagonal, as many bought as were "
        "forecast; above it more, below it fewer. Bars are 95 % intervals that allow for shoppers with many points.",
        panels,
        [Key(candidate_title(name), COLOURS[name], "circle", name, True) for name in reversed(compared)],
        columns=3,
    )


def _reliability_dots(candidate: str, held_out: HeldOut, rows: np.ndarray, user: np.ndarray) -> dict[str, Any]:
    bins = reliability(held_out.y[rows], held_out.probabilities[candidate][rows], user[rows])
    trace = dots(
        candidate_title(candidate),
        bins.forecast,
        bins.observed,
        {"color": COLOURS[candidate], "size": 7 if candidate == ENSEMBLE else 5},
        meta=candidate,
        customdata=[int(count) for count in bins.rows],
        error_y={
            "type": "data",
            "symmetric": False,
            "array": listed(bins.high - bins.observed),
            "arrayminus": listed(bins.observed - bins.low),
            "thickness": 1,
            "width": 0,
            "color": COLOURS[candidate],
        },
        hovertemplate="forecast %{x:.1%}, bought %{y:.1%}<br>%{customdata:,} points<extra>%{fullData.name}</extra>",
    )
    return {**trace, "mode": "lines+markers", "line": {"color": COLOURS[candidate], "width": 1}}
