"""How the members were found: the history of the search, learning curves, and which parameters did well."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from training.found import TrialRecord
from training.reporting.figure import COLOURS, Figure, Key, Panel, axis, dots, line, note
from training.reporting.trials import STATUS, SYMBOLS, best_trial, by_kind, in_words, loss_range, numeric
from training.reporting.wording import candidate_title, compact

_SHADES = 6
_MOST_CURVES = 30


def history_figure(trials: Sequence[TrialRecord]) -> Figure:
    """Every trial's log loss in order, and the best so far."""
    kinds = by_kind(trials)
    shown = loss_range([trial.log_loss for trial in trials])
    panels = [_history(kind, of_kind, shown) for kind, of_kind in kinds.items()]
    present = {trial.status for trial in trials}
    keys = [Key(said, "@ink", SYMBOLS[status]) for status, said in STATUS.items() if status in present]
    return Figure(
        "Search history",
        "Each mark is a trial: the log loss on the tuning part that its parameters reached. The line is the best so "
        "far; where it has long been flat, more trials would hardly help. Marks at the upper rim lie above it.",
        panels,
        [*keys, Key("best so far", "@ink", "line")],
        columns=min(len(panels), 4),
    )


def _history(kind: str, trials: Sequence[TrialRecord], shown: tuple[float, float]) -> Panel:
    colour = COLOURS[kind]
    losses = np.array([trial.log_loss for trial in trials])
    counted = np.array([trial.log_loss if trial.status == "done" else np.inf for trial in trials])
    best = np.minimum.accumulate(counted)
    marks = dots(
        candidate_title(kind),
        [trial.number for trial in trials],
        np.minimum(losses, shown[1] - 0.02 * (shown[1] - shown[0])),
        {"color": colour, "symbol": [SYMBOLS.get(trial.status, "circle") for trial in trials], "size": 7},
        text=[in_words(trial) for trial in trials],
        hovertemplate="%{text}<extra></extra>",
        cliponaxis=False,
    )
    falling = line("best so far", [trial.number for trial in trials], best, colour, width=1.6, hoverinfo="skip")
    falling["line"]["shape"] = "hv"
    layout = {
        "xaxis": axis("trial", range=[-0.7, trials[-1].number + 0.7]),
        "yaxis": axis("log loss", range=list(shown), nticks=6),
        "hovermode": "closest",
    }
    said = f"{len(trials)} trials of {kind}, best log loss {best[-1]:.4f}"
    return Panel(f"history-{kind}", candidate_title(kind), [falling, marks], layout, said, 270)


def curves_figure(trials: Sequence[TrialRecord]) -> Figure | None:
    """How the log loss fell with the rounds; None where trials did not report on the way."""
    kinds = {kind: found for kind, of_kind in by_kind(trials).items() if (found := [t for t in of_kind if t.curve])}
    if not kinds:
        return None
    shown = loss_range([loss for trial in trials for _, loss in trial.curve])
    return Figure(
        "Learning curves",
        "Log loss on the tuning part while trees are added: thin lines are trials, the thick one is the best. A curve "
        "that ends early was pruned or had stopped getting better; one that still falls at its end wants more rounds.",
        [_curves(kind, of_kind, shown) for kind, of_kind in kinds.items()],
        columns=min(len(kinds), 4),
    )


def _curves(kind: str, trials: Sequence[TrialRecord], shown: tuple[float, float]) -> Panel:
    best = best_trial(trials) or trials[0]
    others = [trial for trial in trials if trial is not best][:_MOST_CURVES]
    xs: list[float | None] = []
    ys: list[float | None] = []
    for trial in others:
        curve = trial.curve[:: max(1, len(trial.curve) // 40)]
        xs.extend([*(float(rounds) for rounds, _ in curve), None])
        ys.extend([*(float(f"{loss:.5g}") for _, loss in curve), None])
    thin = {"color": COLOURS[kind], "width": 1}
    traces: list[dict[str, Any]] = [
        {"type": "scatter", "mode": "lines", "x": xs, "y": ys, "line": thin, "opacity": 0.35, "hoverinfo": "skip"},
    ]
    if best.curve:
        rounds, losses = zip(*best.curve[:: max(1, len(best.curve) // 100)], strict=True)
        hover = "round %{x}: %{y:.5f}<extra></extra>"
        traces.append(line("best", rounds, losses, COLOURS[kind], width=2.6, hovertemplate=hover))
    unit = "trees" if kind == "random_forest" else "rounds"
    layout = {"xaxis": axis(unit, rangemode="tozero"), "yaxis": axis("log loss", range=list(shown), nticks=6)}
    return Panel(f"curves-{kind}", candidate_title(kind), traces, layout, f"learning curves of {kind}", 260)


def parallel_figure(trials: Sequence[TrialRecord]) -> Figure:
    """Every trial as a line across its parameters, coloured by its log loss."""
    panels = [panel for kind, of_kind in by_kind(trials).items() if (panel := _parallel(kind, of_kind))]
    return Figure(
        "Which parameters did well",
        "Each line is a trial that crosses every parameter at its value and ends, on the right, at its log loss. Where "
        "the dark lines meet, good trials agree; where they spread, the parameter hardly matters; where they crowd at "
        "an end of an axis, the space may be too small. Pruned trials are not drawn.",
        panels,
        [Key("lowest log loss", "@shade5", "line"), Key("highest", "@shade0", "line")],
    )


def _parallel(kind: str, trials: Sequence[TrialRecord]) -> Panel | None:
    done = [trial for trial in trials if trial.status in ("done", "over_budget")]
    names = [name for name in numeric(done[0].params) if len({t.params.get(name) for t in done}) > 1] if done else []
    if len(done) < 3 or not names:
        return None
    columns = [np.array([float(trial.params.get(name, np.nan)) for trial in done]) for name in names]
    columns.append(np.array([trial.log_loss for trial in done]))
    titles = [*names, "log loss"]
    places = [_placed(column) for column in columns]
    rank = np.argsort(np.argsort([-trial.log_loss for trial in done], kind="stable"), kind="stable")
    traces = []
    for shade in range(_SHADES):
        rows = np.flatnonzero(rank * _SHADES // len(done) == shade)
        if len(rows):
            traces.append(_crossing(rows, places, done, shade))
    layout = {
        "xaxis": axis(
            range=[-0.35, len(titles) - 0.65],
            tickvals=list(range(len(titles))),
            ticktext=titles,
            side="top",
            showline=False,
        ),
        "yaxis": axis(range=[-0.12, 1.1], visible=False),
        "hovermode": "closest",
        "annotations": _ends(columns),
    }
    said = f"{len(done)} trials of {kind} over {', '.join(names)}"
    return Panel(f"parallel-{kind}", candidate_title(kind), traces, layout, said, 250)


def _crossing(
    rows: np.ndarray, places: Sequence[np.ndarray], done: Sequence[TrialRecord], shade: int
) -> dict[str, Any]:
    xs: list[float | None] = []
    ys: list[float | None] = []
    texts: list[str] = []
    for row in rows:
        xs.extend([*map(float, range(len(places))), None])
        ys.extend([*(float(f"{place[row]:.3g}") for place in places), None])
        texts.extend([in_words(done[row])] * (len(places) + 1))
    style = {"color": f"@shade{shade}", "width": 1.2 + 0.25 * shade}
    return {
        "type": "scatter",
        "mode": "lines",
        "x": xs,
        "y": ys,
        "text": texts,
        "line": style,
        "hovertemplate": "%{text}<extra></extra>",
    }


def _placed(column: np.ndarray) -> np.ndarray:
    """Values as places from 0 to 1, on a logarithm where they span more than a factor of twenty."""
    if column.min() > 0.0 and column.max() > 20.0 * column.min():
        column = np.log(column)
    spread = float(np.ptp(column)) or 1.0
    result: np.ndarray = (column - column.min()) / spread
    return result


def _ends(columns: Sequence[np.ndarray]) -> list[dict[str, Any]]:
    return [
        note(compact(float(value)), place, at, yanchor=anchor)
        for place, column in enumerate(columns)
        for value, at, anchor in ((column.min(), -0.02, "top"), (column.max(), 1.02, "bottom"))
    ]
