"""What the ensemble looks at: SHAP summary, importance per member, dependence of the most important features."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from common.ensemble import Vector
from common.feature_specs import Spec
from training.reporting.content import Explained
from training.reporting.figure import COLOURS, Cell, Figure, Key, Panel, Table, axis, dots, listed, rule
from training.reporting.interaction import shown_rank, strongest_partner
from training.reporting.scales import scale_of
from training.reporting.wording import candidate_title, number

TOP = 20
DEPENDENCES = 6
_SWARM_ROWS = 300
_SWARM_BINS = 60


def most_important(explained: Explained, count: int) -> list[int]:
    """The columns with the largest mean |contribution|, largest first."""
    size = np.abs(explained.contributions).mean(axis=0)
    return [int(column) for column in np.argsort(-size, kind="stable")[:count]]


def summary_figure(explained: Explained, specs: Sequence[Spec]) -> Figure:
    """The top features as swarms of points, each point one decision."""
    columns = most_important(explained, TOP)
    rows = np.linspace(0, len(explained.X) - 1, min(len(explained.X), _SWARM_ROWS)).astype(np.intp)
    xs: list[Vector] = []
    ys: list[Vector] = []
    colours: list[Vector] = []
    texts: list[str] = []
    for place, column in enumerate(reversed(columns)):
        contribution = explained.contributions[rows, column]
        xs.append(contribution)
        ys.append(place + _swarm(contribution))
        colours.append(shown_rank(explained.X[rows, column]))
        texts.extend(f"{specs[column].name} = {value:.4g}" for value in explained.X[rows, column])
    marker = {
        "size": 4.5,
        "opacity": 0.85,
        "color": listed(np.concatenate(colours), 2),
        "colorscale": "@diverging",
        "cmin": 0,
        "cmax": 1,
    }
    trace = dots("", np.concatenate(xs), np.concatenate(ys), marker, text=texts)
    trace["x"], trace["y"] = listed(trace["x"], 3), listed(trace["y"], 4)
    trace["hovertemplate"] = "%{text}<br>moves the probability by %{x:+.3f}<extra></extra>"
    layout = {
        "xaxis": axis("contribution to the purchase probability", tickformat="+.2f"),
        "yaxis": axis(
            tickvals=list(range(len(columns))),
            ticktext=[specs[column].name for column in reversed(columns)],
            range=[-0.7, len(columns) - 0.3],
            showgrid=True,
        ),
        "shapes": [rule(x=0.0, colour="@muted", dash="solid")],
        "hovermode": "closest",
    }
    names = ", ".join(specs[column].name for column in columns[:5])
    return Figure(
        f"What moves the probability: the {len(columns)} most important features",
        "Each point is a decision. To the right the feature raised its probability, to the left it lowered it; the "
        f"colour says whether the feature's value was low or high. They start from {explained.base_value:.3f}, "
        "the mean probability, and add up to the answer exactly.",
        [Panel("shap-summary", "", [trace], layout, f"SHAP summary; first come {names}", 40 + 27 * len(columns))],
        [Key("low value", "@low", "circle"), Key("high value", "@high", "circle")],
    )


def _swarm(values: Vector) -> Vector:
    """Heights around 0 that keep points of about equal value apart: the denser, the higher the pile."""
    spread = float(np.ptp(values)) or 1.0
    bins = np.minimum(((values - values.min()) / spread * _SWARM_BINS).astype(np.intp), _SWARM_BINS - 1)
    order = np.argsort(bins, kind="stable")
    counts = np.bincount(bins, minlength=_SWARM_BINS)
    within = np.empty(len(values))
    within[order] = np.arange(len(values)) - np.repeat(np.cumsum(counts) - counts, counts)
    side = np.where(within % 2 == 0, 1.0, -1.0) * np.ceil(within / 2.0)
    result: Vector = side * min(0.08, 0.84 / max(int(counts.max()), 1))
    return result


def importance_figure(explained: Explained, specs: Sequence[Spec]) -> Figure:
    """Mean |contribution| of the top features for each member and for the ensemble."""
    columns = most_important(explained, TOP)
    names = [specs[column].name for column in reversed(columns)]
    of_all = np.abs(explained.contributions).mean(axis=0)
    bars = {
        "type": "bar",
        "orientation": "h",
        "name": "Ensemble",
        "x": listed([of_all[column] for column in reversed(columns)]),
        "y": names,
        "marker": {"color": "@band"},
        "hovertemplate": "%{x:.4f}<extra>Ensemble</extra>",
    }
    symbols = ("circle", "square", "diamond", "triangle-up")
    traces = [bars]
    keys = [Key("Ensemble", "@band", "swatch")]
    for symbol, (member, figures) in zip(symbols, explained.importance.items(), strict=False):
        colour, title = COLOURS.get(member, "@muted"), candidate_title(member)
        trace = dots(
            title, [figures.get(name, 0.0) for name in names], [], {"color": colour, "symbol": symbol, "size": 7}
        )
        traces.append({**trace, "y": names, "meta": member, "hovertemplate": "%{x:.4f}<extra>%{fullData.name}</extra>"})
        keys.append(Key(title, colour, symbol, member, True))
    layout = {
        "xaxis": axis("mean |contribution| to the probability", rangemode="tozero"),
        "yaxis": axis(showgrid=False),
        "bargap": 0.35,
        "hovermode": "closest",
    }
    return Figure(
        "Do the members look at the same things?",
        "The bar is a feature's mean influence on the ensemble's probability, the marks are that on each member's own. "
        "Marks far apart mean that members found different ways to the answer, which is what makes a vote worth it.",
        [Panel("importance", "", traces, layout, "importance per member", 40 + 25 * len(columns))],
        keys,
    )


def dependence_figure(explained: Explained, specs: Sequence[Spec]) -> Figure:
    """How the top features' values become contributions."""
    columns = most_important(explained, DEPENDENCES)
    return Figure(
        "How the most important features work",
        "Across is the feature's value, up what it added to the probability, each point one decision. The colour is "
        "the feature that most changes this effect: where colours separate at the same place, the two act together.",
        [_dependence(explained, specs, column) for column in columns],
        [Key("partner low", "@low", "circle"), Key("partner high", "@high", "circle")],
        columns=3,
    )


def _dependence(explained: Explained, specs: Sequence[Spec], column: int) -> Panel:
    values, contribution = explained.X[:, column], explained.contributions[:, column]
    partner = strongest_partner(explained.X, contribution, column)
    scale = scale_of(values, specs[column])
    marker = {
        "size": 5,
        "opacity": 0.75,
        "color": listed(shown_rank(explained.X[:, partner]), 2),
        "colorscale": "@diverging",
        "cmin": 0,
        "cmax": 1,
    }
    trace = dots("", scale.at, contribution, marker)
    trace["x"], trace["y"] = listed(scale.at, 4), listed(contribution, 3)
    trace["customdata"] = [
        [float(f"{value:.4g}"), float(f"{other:.4g}")]
        for value, other in zip(values, explained.X[:, partner], strict=True)
    ]
    said = f"{specs[column].name} = %{{customdata[0]}}<br>{specs[partner].name} = %{{customdata[1]}}"
    trace["hovertemplate"] = f"{said}<br>%{{y:+.3f}}<extra></extra>"
    layout = {
        "xaxis": scale.axis,
        "yaxis": axis("contribution", tickformat="+.2f"),
        "shapes": [rule(y=0.0, dash="solid")],
        "hovermode": "closest",
    }
    title = f"{specs[column].name}, by {specs[partner].name}"
    return Panel(f"dependence-{specs[column].name}", title, [trace], layout, f"dependence of {title}", 280)


def feature_table(explained: Explained, specs: Sequence[Spec]) -> Table:
    """What the top features mean."""
    size = np.abs(explained.contributions).mean(axis=0)
    columns = most_important(explained, TOP)
    largest = float(size[columns[0]]) or 1.0
    rows: list[list[Any]] = [
        [
            Cell(specs[column].name, specs[column].meaning),
            Cell(specs[column].unit.replace(" ", "\u00a0")),
            Cell(number(float(size[column]), 4), bar=float(size[column]) / largest),
        ]
        for column in columns
    ]
    return Table("What they mean", ("Feature", "Unit", "Mean |contribution|"), rows, texts=(0, 1))
