"""A report on disk: index.html to look at and report.json to compute with."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from training.reporting.content import ReportData
from training.reporting.decisions import Decisions, decide
from training.reporting.page import render

PAGE = "index.html"
NUMBERS = "report.json"


def write_html(directory: Path, report: ReportData) -> Path:
    """Write `index.html` and `report.json` into `directory` (made if it is not there); the page's path."""
    decisions = decide(report)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / NUMBERS).write_text(json.dumps(numbers(report, decisions), indent=1), encoding="utf-8")
    page = directory / PAGE
    page.write_text(render(report, decisions), encoding="utf-8")
    return page


def numbers(report: ReportData, decisions: Decisions) -> dict[str, Any]:
    """The report's figures without its charts: no rows, and nobody's id."""
    sample = {name: value for name, value in report.data.items() if name != "sample_request"}
    return {
        "version": report.version,
        "created": report.created,
        "metrics": dict(report.metrics),
        "gates": [gate.as_dict() for gate in report.gates],
        "champion": report.champion_version,
        "weights": dict(report.weights),
        "baseline_weights": dict(report.baseline_weights),
        "threshold": report.served_threshold,
        "decisions": asdict(decisions),
        "importance": {name: dict(of_member) for name, of_member in report.explained.importance.items()},
        "base_value": report.explained.base_value,
        "data": sample,
        "leakage": [asdict(check) for check in report.checks],
        "trials": [asdict(trial) for trial in report.trials],
        "seconds": dict(report.seconds),
    }
