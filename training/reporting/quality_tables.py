"""Every candidate's figures in every slice, with intervals and what the ensemble is better by."""

from collections.abc import Mapping
from typing import Any

from training.evaluation import ENSEMBLE
from training.reporting.difference_figures import tone
from training.reporting.figure import Cell, Table
from training.reporting.wording import (
    DIGITS,
    METRIC_TITLES,
    SLICE_TITLES,
    bounds,
    candidate_title,
    in_order,
    number,
    percent,
)

_NOTE = (
    "Small print below the ensemble: 95 % intervals, users resampled. Below the others: the ensemble's figure minus "
    "theirs on the same points, green where the ensemble is better beyond chance, red where it is worse."
)


def quality_tables(slices: Mapping[str, Any]) -> list[Table]:
    """A table for all points, one for views, one for carts."""
    present = [name for name in ("all", "view", "cart") if slices[name]["rows"]]
    return [_table(name, slices[name], _NOTE if name == present[0] else "") for name in present]


def _table(name: str, of_slice: Mapping[str, Any], note: str) -> Table:
    rate = of_slice["positives"] / of_slice["rows"]
    title = f"{SLICE_TITLES[name]}: {of_slice['rows']:,} points, {of_slice['positives']:,} bought ({percent(rate)})"
    rows = [_row(candidate, of_slice) for candidate in in_order(list(of_slice["quality"]))]
    columns = ("Candidate", *(METRIC_TITLES[metric] for metric in DIGITS))
    return Table(title, columns, rows, note, strong=(0,))


def _row(candidate: str, of_slice: Mapping[str, Any]) -> list[Cell]:
    return [Cell(candidate_title(candidate)), *(_cell(candidate, metric, of_slice) for metric in DIGITS)]


def _cell(candidate: str, metric: str, of_slice: Mapping[str, Any]) -> Cell:
    digits = DIGITS[metric]
    text = number(of_slice["quality"][candidate][metric], digits)
    if candidate == ENSEMBLE:
        return Cell(text, bounds(of_slice["intervals"][metric], digits))
    pair = of_slice["differences"][candidate][metric]
    return Cell(text, bounds(pair, 4, signed=True), tone(metric, pair))
