"""One self-contained page: the sections in order, their figures as data, Plotly and the style inlined."""

import gzip
import json
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]

from training.evaluation import BASE_RATE, ENSEMBLE
from training.reporting.content import ReportData
from training.reporting.data_figures import log_table, parts_table, timeline_figure
from training.reporting.decisions import Decisions, profit_figure, threshold_table
from training.reporting.difference_figures import difference_figure
from training.reporting.feature_figures import dependence_figure, feature_table, importance_figure, summary_figure
from training.reporting.figure import Cell, Figure, Section, Table
from training.reporting.outcome_figures import cost_figure, weights_figure, winners_table
from training.reporting.quality_tables import HOW_TO_READ, quality_tables
from training.reporting.ranking_figures import lift_figure, pr_figure, rankings_of, reliability_figure, roc_figure
from training.reporting.search_figures import curves_figure, history_figure, parallel_figure
from training.reporting.verdict import verdict
from training.reporting.wording import DIGITS, METRIC_TITLES, bounds, duration, number

_TEMPLATE = Path(__file__).parent / "template"


@dataclass(frozen=True)
class Tile:
    """A figure that is read first: its name, value, interval, and the same without a model."""

    title: str
    value: str
    interval: str
    reference: str


def render(report: ReportData, decisions: Decisions) -> str:
    """The page's HTML. It needs nothing but itself: no network, no other file."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    sections = list(_sections(report, decisions))
    return environment.get_template("page.html").render(
        report=report,
        verdict=verdict(report),
        tiles=_tiles(report),
        sections=sections,
        style=(_TEMPLATE / "page.css").read_text(encoding="utf-8"),
        script=(_TEMPLATE / "page.js").read_text(encoding="utf-8"),
        figures=_figures_json(sections),
        plotly=b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode(),
    )


def _figures_json(sections: list[Section]) -> str:
    """The charts by id; `<` is escaped, so that no text in them can end the script element."""
    panels = {
        panel.id: {"data": panel.traces, "layout": panel.layout}
        for section in sections
        for figure in section.figures
        for panel in figure.panels
    }
    text = json.dumps(panels, separators=(",", ":"), default=_plain, allow_nan=False)
    return text.replace("<", "\\u003c")


def _plain(value: Any) -> Any:
    """A NumPy number as Python's own."""
    return value.item()


def _tiles(report: ReportData) -> list[Tile]:
    overall = report.metrics["slices"]["all"]
    return [
        Tile(
            METRIC_TITLES[metric],
            number(overall["quality"][ENSEMBLE][metric], digits),
            bounds(overall["intervals"][metric], digits),
            f"base rates: {number(overall['quality'][BASE_RATE][metric], digits)}",
        )
        for metric, digits in DIGITS.items()
    ]


def _sections(report: ReportData, decisions: Decisions) -> Iterator[Section]:
    slices, rankings = report.metrics["slices"], rankings_of(report.held_out)
    yield Section(
        "quality",
        "Quality",
        "Every candidate on the same points of the untouched last part. Log loss judges the probability itself, "
        "ROC AUC and PR-AUC the order, the calibration error how far forecasts are from frequencies. " + HOW_TO_READ,
        quality_tables(slices),
        [difference_figure(slices)],
    )
    yield Section(
        "gates",
        "Gates",
        "What a bundle must show before it may serve; docs/promotion.md says how each is defined, and why.",
        [_gates_table(report)],
    )
    yield Section(
        "curves",
        "Curves",
        "Click on an entry of a legend to show or hide it.",
        figures=[
            roc_figure(rankings),
            pr_figure(rankings),
            reliability_figure(report.held_out),
            lift_figure(rankings),
        ],
    )
    yield Section(
        "decisions",
        "Decisions",
        "From which probability on to act.",
        [threshold_table(decisions)],
        [profit_figure(report, decisions.profit)],
    )
    yield Section(
        "explanations",
        "Explanations",
        f"SHAP values of the ensemble's own probability for {len(report.explained.X):,} decisions.",
        [feature_table(report.explained, report.specs)],
        [
            summary_figure(report.explained, report.specs),
            dependence_figure(report.explained, report.specs),
            importance_figure(report.explained, report.specs),
        ],
        tables_first=False,
    )
    yield _search(report)
    yield Section(
        "data",
        "Data",
        "What it was made from.",
        [log_table(report.data), parts_table(report.data)],
        [timeline_figure(report.data)],
    )
    yield Section(
        "leakage",
        "Leakage checks",
        "Whether the run could have known its answers. Each of these can fail; passing is evidence, not proof.",
        [_checks_table(report)],
    )
    yield Section("run", "The run", "Where the time went.", [_seconds_table(report)])


def _search(report: ReportData) -> Section:
    weights = weights_figure(report.weights, report.baseline_weights)
    if not report.trials:
        return Section("search", "Search", "There was no search: parameters were given.", figures=[weights])
    figures: list[Figure | None] = [
        history_figure(report.trials),
        curves_figure(report.trials),
        parallel_figure(report.trials),
        cost_figure(report.trials),
        weights,
    ]
    return Section(
        "search",
        "Search",
        f"{len(report.trials):,} trials, judged by their log loss on the tuning part.",
        [winners_table(report.trials, report.params, report.weights)],
        [figure for figure in figures if figure is not None and figure.panels],
    )


def _gates_table(report: ReportData) -> Table:
    rows = [
        [_passed(gate.passed), Cell(gate.name.capitalize(), f"{gate.message}. {gate.remedy}".strip(" "))]
        for gate in report.gates
    ]
    return Table("", ("", "Gate"), rows, texts=(0, 1))


def _passed(passed: bool) -> Cell:
    return Cell("passed" if passed else "failed", tone="good" if passed else "bad")


def _checks_table(report: ReportData) -> Table:
    rows = [[_passed(check.passed), Cell(check.name.capitalize(), check.detail)] for check in report.checks]
    return Table("", ("", "Check"), rows, texts=(0, 1))


def _seconds_table(report: ReportData) -> Table:
    longest = max(report.seconds.values(), default=1.0) or 1.0
    rows = [[Cell(stage), Cell(duration(took), bar=took / longest)] for stage, took in report.seconds.items()]
    return Table("", ("Stage", "Time"), rows, f"Together {duration(sum(report.seconds.values()))}.")
