"""What came of the search: the members that were found, what they cost to serve, and what their votes weigh."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from training.found import TrialRecord
from training.reporting.figure import COLOURS, Cell, Figure, Key, Panel, Table, axis, dots, listed
from training.reporting.trials import SYMBOLS, best_trial, by_kind, in_words, loss_range, numeric
from training.reporting.wording import candidate_title, compact, duration, number

_TICKS_MS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)

_SERVED_ROUNDS = (
    "Served rounds differ from those of the trial: they are chosen once more by later parts of the log, since more "
    "examples carry more rounds."
)


def cost_figure(trials: Sequence[TrialRecord]) -> Figure | None:
    """Log loss against what a prediction costs; None where it was not measured."""
    measured = [trial for trial in trials if trial.latency_32_ms is not None and np.isfinite(trial.log_loss)]
    if len(measured) < 2:
        return None
    shown = loss_range([trial.log_loss for trial in measured])
    kinds = by_kind(measured)
    panels = []
    for rows in (1, 32):
        traces = [
            dots(
                candidate_title(kind),
                [getattr(trial, f"latency_{rows}_ms") or np.nan for trial in of_kind],
                np.minimum([trial.log_loss for trial in of_kind], shown[1]),
                {"color": COLOURS[kind], "size": 7, "symbol": [SYMBOLS.get(t.status, "circle") for t in of_kind]},
                meta=kind,
                text=[in_words(trial) for trial in of_kind],
                hovertemplate="%{x:.3f} ms<br>%{text}<extra>%{fullData.name}</extra>",
            )
            for kind, of_kind in kinds.items()
        ]
        layout = {
            "xaxis": _milliseconds([getattr(trial, f"latency_{rows}_ms") for trial in measured]),
            "yaxis": axis("log loss", range=list(shown)),
            "hovermode": "closest",
        }
        title = f"{rows} row{'s' if rows > 1 else ''} at once"
        panels.append(Panel(f"cost-{rows}", title, traces, layout, f"log loss over latency, {title}"))
    return Figure(
        "What a trial costs to serve",
        "Median time of one prediction on one thread, logarithmic, against the log loss: the lower left corner is both "
        "fast and good. A latency budget cuts off the right; trials beyond it are crossed and cannot win.",
        panels,
        [Key(candidate_title(kind), COLOURS[kind], "circle", kind, True) for kind in kinds],
        columns=2,
    )


def _milliseconds(taken: Sequence[float | None]) -> dict[str, Any]:
    """A logarithmic axis whose ticks are whole numbers to read, with one at or beyond either end of the data."""
    known = [ms for ms in taken if ms] or [1.0]
    low = max((tick for tick in _TICKS_MS if tick <= min(known)), default=_TICKS_MS[0])
    high = min((tick for tick in _TICKS_MS if tick >= max(known)), default=_TICKS_MS[-1])
    return axis(
        "ms per call, logarithmic",
        type="log",
        tickvals=list(_TICKS_MS),
        ticktext=[f"{tick:g}" for tick in _TICKS_MS],
        range=[float(np.log10(0.9 * min(low, *known))), float(np.log10(1.1 * max(high, *known)))],
    )


def weights_figure(weights: Mapping[str, float], baseline: Mapping[str, float]) -> Figure:
    """What each member's vote weighs, beside what it weighed before learning."""
    kinds = list(reversed(list(weights)))
    names = [candidate_title(kind) for kind in kinds]
    was = {"color": "@muted", "symbol": "line-ns-open", "size": 22, "line": {"width": 2}}
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": listed([weights[kind] for kind in kinds], 4),
        "y": names,
        "marker": {"color": [COLOURS.get(kind, "@muted") for kind in kinds]},
        "text": [number(weights[kind], 3) for kind in kinds],
        "textposition": "outside",
        "cliponaxis": False,
        "hovertemplate": "%{x:.3f}<extra>learned</extra>",
    }
    ticks = dots("default", [baseline.get(kind, 0.0) for kind in kinds], [], was)
    layout = {
        "xaxis": axis("weight of the vote", range=[0, 1.12 * max([*weights.values(), *baseline.values()])]),
        "yaxis": axis(showgrid=False),
        "bargap": 0.4,
    }
    ticks |= {"y": names, "hovertemplate": "%{x:.3f}<extra>default</extra>"}
    return Figure(
        "Weights",
        "How much each member's probability counts: the bar is what was learned, the upright stroke the default. "
        "Weights leave the default only as far as the rows show that it pays.",
        [Panel("weights", "", [bars, ticks], layout, "weights of the members", 60 + 44 * len(kinds))],
        [Key("learned", "@muted", "swatch"), Key("default", "@muted", "tick")],
    )


def winners_table(
    trials: Sequence[TrialRecord], params: Mapping[str, Mapping[str, Any]], weights: Mapping[str, float]
) -> Table:
    """What the search found for each member.

    Args:
        trials: of the search.
        params: of each served member; what it has as `rounds` is told as the rounds that are served.
        weights: of the votes.
    """
    rows = []
    for kind, of_kind in by_kind(trials).items():
        best = best_trial(of_kind)
        of_member = numeric(params.get(kind, {}))
        served = of_member.pop("rounds", None)
        chosen = ", ".join(f"{name} {compact(value)}" for name, value in of_member.items())
        latency = f"{best.latency_1_ms:.2f} / {best.latency_32_ms:.2f}" if best and best.latency_32_ms else "–"
        rows.append(
            [
                Cell(candidate_title(kind), chosen),
                Cell(str(len(of_kind)), f"{sum(trial.status == 'pruned' for trial in of_kind)} pruned"),
                Cell(number(best.log_loss if best else None, 4)),
                Cell(f"{best.rounds:,}" if best else "–", f"served {served:,.0f}" if served is not None else ""),
                Cell(latency),
                Cell(duration(sum(trial.seconds for trial in of_kind))),
                Cell(number(weights.get(kind, 0.0), 3)),
            ]
        )
    columns = (
        "Member",
        "Trials",
        "Best log loss",
        "Rounds of the trial",
        "ms for 1 / 32 rows",
        "Time in trials",
        "Weight",
    )
    told = any("rounds" in of_member for of_member in params.values())
    return Table("What was found", columns, rows, _SERVED_ROUNDS if told else "")
