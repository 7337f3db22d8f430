"""How the ensemble stands to everything it is measured against: paired differences with their intervals."""

from collections.abc import Mapping
from typing import Any

from common.quality import HIGHER_IS_BETTER
from training.evaluation import BASE_RATE, TRUTH
from training.reporting.figure import Figure, Key, Panel, axis, note, rule
from training.reporting.wording import DIGITS, METRIC_TITLES, SLICE_TITLES, bounds, candidate_title, in_order, number

_SYMBOLS = {"all": "circle", "view": "square", "cart": "diamond"}
_OFFSETS = {"view": 0.24, "cart": 0.0, "all": -0.24}
_COLOURS = {"good": "@good", "bad": "@bad", "": "@undecided"}
_FAR = (BASE_RATE, TRUTH)
"""Candidates so far off that the others' differences would shrink to a point beside them."""


def tone(metric: str, pair: tuple[float | None, float | None] | list[float | None]) -> str:
    """`good` where the ensemble is better beyond chance, `bad` where it is worse, nothing where that is open.

    Args:
        metric: what is compared.
        pair: the interval of the ensemble's figure minus the other's.
    """
    low, high = pair
    if low is None or high is None or low <= 0.0 <= high:
        return ""
    return "good" if (low > 0.0) == HIGHER_IS_BETTER[metric] else "bad"


def difference_figure(slices: Mapping[str, Any]) -> Figure:
    """A forest plot for each of the four figures."""
    candidates = in_order(list(slices["all"]["differences"]))
    panels = [_panel(metric, slices, candidates) for metric in ("log_loss", "roc_auc", "pr_auc", "ece")]
    return Figure(
        "The ensemble minus each alternative",
        "Each mark is a difference on the same points, its bar the 95 % interval with users resampled. Green: better "
        "beyond chance. Red: worse beyond chance. Grey: these points cannot tell. The arrow in a title shows the side "
        "that favours the ensemble; triangles at the rim lie beyond it, with their value.",
        panels,
        [
            *(Key(SLICE_TITLES[name], "@ink", symbol) for name, symbol in _SYMBOLS.items()),
            Key("better", "@good", "swatch"),
            Key("worse", "@bad", "swatch"),
            Key("open", "@undecided", "swatch"),
        ],
        columns=2,
    )


def _panel(metric: str, slices: Mapping[str, Any], candidates: list[str]) -> Panel:
    limit = _limit(metric, slices, candidates)
    marks = [
        mark
        for name, of_slice in slices.items()
        for row, candidate in enumerate(reversed(candidates))
        if (mark := _mark(metric, name, candidate, row, of_slice, limit))
    ]
    arrow = "right →" if HIGHER_IS_BETTER[metric] else "← left"
    rows = list(range(len(candidates)))
    layout = {
        "xaxis": axis(f"difference in {METRIC_TITLES[metric]}", range=[-limit, limit], zeroline=False),
        "yaxis": axis(
            tickvals=rows,
            ticktext=[f"{candidate_title(name)}  " for name in reversed(candidates)],
            range=[-0.6, len(candidates) - 0.4],
            showgrid=False,
        ),
        "shapes": [rule(x=0.0, colour="@ink", dash="solid")],
        "annotations": [annotation for _, annotation in marks if annotation],
        "hovermode": "closest",
    }
    title = f"{METRIC_TITLES[metric]} ({arrow} is better)"
    said = f"differences in {METRIC_TITLES[metric]} to {', '.join(map(candidate_title, candidates))}"
    return Panel(f"difference-{metric}", title, [trace for trace, _ in marks], layout, said, 60 + 46 * len(candidates))


def _limit(metric: str, slices: Mapping[str, Any], candidates: list[str]) -> float:
    ends = [
        abs(bound)
        for of_slice in slices.values()
        for name in candidates
        if name not in _FAR
        for bound in of_slice["differences"][name][metric]
        if bound is not None
    ]
    return 1.15 * max(ends, default=1.0) or 1.0


def _mark(
    metric: str, name: str, candidate: str, row: int, of_slice: Mapping[str, Any], limit: float
) -> tuple[dict[str, Any], dict[str, Any] | None] | None:
    low, high = of_slice["differences"][candidate][metric]
    ours, theirs = of_slice["quality"]["ensemble"][metric], of_slice["quality"][candidate][metric]
    if low is None or high is None or ours is None or theirs is None:
        return None
    value, digits = ours - theirs, DIGITS[metric]
    colour, y = _COLOURS[tone(metric, (low, high))], row + _OFFSETS[name]
    said = f"{number(value, digits + 1, signed=True)} {bounds((low, high), digits + 1, signed=True)}"
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": "markers",
        "cliponaxis": False,
        "y": [y],
        "hovertemplate": f"{SLICE_TITLES[name]}: {said}<extra>{candidate_title(candidate)}</extra>",
    }
    if abs(value) >= limit:
        side = 1 if value > 0 else -1
        symbol = "triangle-right" if side > 0 else "triangle-left"
        where = {"xanchor": "right" if side > 0 else "left", "xshift": -8 * side}
        beside = note(number(value, digits, signed=True), side * limit, y, **where)
        return {**trace, "x": [side * limit], "marker": {"color": colour, "symbol": symbol, "size": 9}}, beside
    bar = {"type": "data", "symmetric": False, "array": [high - value], "arrayminus": [value - low]}
    return {
        **trace,
        "x": [value],
        "marker": {"color": colour, "symbol": _SYMBOLS[name], "size": 8},
        "error_x": {**bar, "color": colour, "thickness": 1.6, "width": 0},
    }, None
