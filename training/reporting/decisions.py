"""What the probabilities are good for: thresholds and what each of them does on the untouched part."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from common.ensemble import Vector
from common.quality import UserResamples, interval
from training.evaluation import BASE_RATE, ENSEMBLE
from training.profit import NOBODY, Economics, Outcomes, ProfitCurve, ProfitReport, Rule, judge_profit, profit_curve
from training.reporting.content import CHAMPION, HeldOut, ReportData
from training.reporting.curves import POINTS
from training.reporting.figure import COLOURS, DASHES, Cell, Figure, Key, Panel, Table, axis, line, note, rule
from training.reporting.wording import bounds, candidate_title, number, percent

PER_POINTS = 1_000
"""Profit is shown for so many decision points: a figure for one is too small to read."""

DRAWS = 200


@dataclass(frozen=True)
class F1AtThreshold:
    """What the threshold of the best F1 does on the untouched part."""

    threshold: float
    f1: float
    interval: tuple[float, float]
    precision: float
    recall: float
    contacted: float


@dataclass(frozen=True)
class Decisions:
    """The two ways to a threshold, judged."""

    f1: F1AtThreshold
    profit: ProfitReport
    served_threshold: float


def decide(report: ReportData) -> Decisions:
    """Judge the thresholds of a run on its untouched part."""
    judged, chosen_on = _outcomes(report.held_out), _outcomes(report.chosen_on)
    profit = judge_profit(chosen_on, judged, report.economics, draws=DRAWS)
    return Decisions(_f1_at(judged, report.threshold), profit, report.served_threshold)


def _outcomes(rows: HeldOut) -> Outcomes:
    return Outcomes(rows.y, rows.probabilities[ENSEMBLE], rows.user)


def _f1_at(rows: Outcomes, threshold: float) -> F1AtThreshold:
    _, codes = np.unique(rows.user, return_inverse=True)
    codes, yes = codes.reshape(-1), rows.p >= threshold
    found, picked, bought = (
        np.bincount(codes, weights=values) for values in (yes & (rows.y > 0), yes, rows.y.astype(np.float64))
    )
    drawn = [
        _f1(float((w * found).sum()), float((w * picked).sum()), float((w * bought).sum()))
        for w in UserResamples(np.arange(len(found)), draws=DRAWS).weights()
    ]
    totals = float(found.sum()), float(picked.sum()), float(bought.sum())
    return F1AtThreshold(
        threshold,
        _f1(*totals),
        interval(np.array(drawn)),
        totals[0] / max(totals[1], 1.0),
        totals[0] / max(totals[2], 1.0),
        totals[1] / len(rows.y),
    )


def _f1(found: float, picked: float, bought: float) -> float:
    return 2.0 * found / (picked + bought) if picked + bought > 0.0 else 0.0


def threshold_table(decisions: Decisions) -> Table:
    """Each rule and what it does."""
    f1, profit = decisions.f1, decisions.profit
    gain, cost = profit.economics.gain, profit.economics.contact_cost
    f1_profit = f1.contacted * (gain * f1.precision - cost)
    f1_row = [
        Cell("Best F1", f"F1 {number(f1.f1, 3)} {bounds(f1.interval, 3)}, finds {percent(f1.recall)} of the buyers"),
        Cell(number(f1.threshold, 3), f"served with {number(decisions.served_threshold, 3)}"),
        Cell(percent(f1.contacted)),
        Cell(percent(f1.precision)),
        Cell(number(f1_profit * PER_POINTS, 1)),
    ]
    chosen_said = f"95 % of draws {bounds(profit.threshold_interval, 3)}"
    even_said = f"{cost:g} / {gain:g}: no data needed"
    rows = [
        f1_row,
        _rule_row("Best profit", "chosen on the calibration rows", profit.chosen, chosen_said),
        _rule_row("Break-even", "right where probabilities are", profit.break_even, even_said),
        _rule_row("Everybody", "no model needed", profit.everybody, ""),
    ]
    columns = ("Rule", "Contact from", "Contacted", "Buy when contacted", f"Profit per {PER_POINTS:,} points")
    return Table("Thresholds, judged on the untouched part", columns, rows, _assumption(profit.economics), strong=(1,))


def _rule_row(title: str, said: str, of_rule: Rule, threshold_said: str) -> list[Cell]:
    nobody = of_rule.threshold >= NOBODY
    return [
        Cell(title, said),
        Cell("nobody pays" if nobody else number(of_rule.threshold, 3), threshold_said),
        Cell(percent(of_rule.contacted)),
        Cell(percent(of_rule.bought_when_contacted)),
        Cell(
            number(of_rule.profit * PER_POINTS, 1),
            bounds([bound * PER_POINTS for bound in of_rule.interval], 1),
            "good" if of_rule.interval[0] > 0.0 else "bad" if of_rule.interval[1] < 0.0 else "",
        ),
    ]


def _assumption(economics: Economics) -> str:
    whole = economics.caused_share == 1.0
    share = "every purchase" if whole else f"{percent(economics.caused_share, 0)} of the purchases"
    caution = (
        " That is an upper bound: many would have bought anyway, and only an experiment can tell." if whole else ""
    )
    return (
        f"A contact costs {economics.contact_cost:g} (--contact-cost) and a purchase earns {economics.margin:g} "
        f"(--margin); {share} of contacted shoppers counts as caused by the contact.{caution}"
    )


def profit_figure(report: ReportData, profit: ProfitReport) -> Figure:
    """Profit over the threshold and over the share contacted."""
    curves = {
        name: profit_curve(report.held_out.y, p, report.economics)
        for name, p in report.held_out.probabilities.items()
        if name in (ENSEMBLE, CHAMPION, BASE_RATE)
    }
    earlier = profit_curve(report.chosen_on.y, report.chosen_on.probabilities[ENSEMBLE], report.economics)
    top = max([1e-6, *(float(curve.profit.max()) for curve in curves.values()), float(earlier.profit.max())])
    lowest = min(0.0, *(float(curve.profit.min()) for curve in curves.values()))
    shown = [PER_POINTS * max(1.1 * lowest, -0.6 * top) - 0.05 * top * PER_POINTS, 1.2 * top * PER_POINTS]
    return Figure(
        "What contacting shoppers is worth",
        f"Profit per {PER_POINTS:,} decision points when everyone from a threshold on is contacted (left), or the same "
        "by the share contacted (right). A flat top means that the exact threshold matters little.",
        [
            _by_threshold(curves[ENSEMBLE], earlier, profit, shown),
            _by_share(curves, shown),
        ],
        [
            *(Key(candidate_title(name), COLOURS[name], DASHES.get(name, "line"), name, True) for name in curves),
            Key("Ensemble on the calibration rows", "@muted", "line", "earlier", True),
        ],
        columns=2,
    )


def _by_threshold(curve: ProfitCurve, earlier: ProfitCurve, profit: ProfitReport, shown: Sequence[float]) -> Panel:
    hover = "from %{x:.3f} on: %{y:,.1f}<extra>%{fullData.name}</extra>"
    right = float(np.quantile(curve.threshold[1:], 0.995)) if len(curve.threshold) > 1 else 1.0
    right = min(1.0, max(right, 1.3 * profit.chosen.threshold if profit.chosen.threshold < NOBODY else 0.0, 0.05))
    traces = [
        line(
            "calibration rows", *_thin(earlier.threshold, earlier.profit), "@muted", meta="earlier", hovertemplate=hover
        ),
        line("untouched part", *_thin(curve.threshold, curve.profit), "@ensemble", width=2.6, meta=ENSEMBLE),
    ]
    traces[-1]["hovertemplate"] = hover
    marks = {"break-even": (profit.break_even.threshold, "bottom"), "chosen": (profit.chosen.threshold, "top")}
    within = {name: (at, edge) for name, (at, edge) in marks.items() if at <= right}
    layout = {
        "xaxis": axis("threshold", range=[0, right]),
        "yaxis": axis(f"profit per {PER_POINTS:,} points", range=list(shown), tickformat=","),
        "shapes": [rule(y=0.0, dash="solid"), *(rule(x=at, dash="dash") for at, _ in within.values())],
        "annotations": [
            note(
                f"{name} {at:.3f}",
                at,
                0.02 if edge == "bottom" else 0.98,
                yref="paper",
                xanchor="left",
                xshift=4,
                yanchor=edge,
            )
            for name, (at, edge) in within.items()
        ],
    }
    return Panel("profit-threshold", "By threshold", traces, layout, "profit over the threshold", 320)


def _by_share(curves: Mapping[str, ProfitCurve], shown: Sequence[float]) -> Panel:
    hover = "contacting %{x:.1%}: %{y:,.1f}<extra>%{fullData.name}</extra>"
    traces = []
    for name, curve in reversed(list(curves.items())):
        x, y = _thin(curve.contacted, curve.profit)
        style = {"width": 2.6 if name == ENSEMBLE else 1.6, "dash": DASHES.get(name), "meta": name}
        traces.append(line(candidate_title(name), x, y, COLOURS[name], hovertemplate=hover, **style))
    layout = {
        "xaxis": axis("share of points contacted", tickformat=".0%", range=[0, 1]),
        "yaxis": axis(range=list(shown), tickformat=","),
        "shapes": [rule(y=0.0, dash="solid")],
    }
    return Panel("profit-share", "By share contacted", traces, layout, "profit over the share contacted", 320)


def _thin(x: Vector, profit: Vector) -> tuple[Vector, Vector]:
    """At most about two points a pixel: a plain stride would step over the peak, so its place is kept."""
    step = max(1, len(x) // (2 * POINTS))
    rows = np.unique(np.concatenate([np.arange(0, len(x), step), [int(np.argmax(profit)), len(x) - 1]]))
    return x[rows], profit[rows] * PER_POINTS
