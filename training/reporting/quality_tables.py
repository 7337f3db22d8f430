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
    is_nothing,
    number,
    percent,
)

HOW_TO_READ = (
    "Small print below the ensemble: 95 % intervals, users resampled (of the calibration error, which noise "
    "inflates, its spread). Below the others: the ensemble's figure minus theirs on the same points, green where the "
    "ensemble is better beyond chance, red where it is worse."
)


def quality_tables(slices: Mapping[str, Any]) -> list[Table]:
    """A table for all points, one for views, one for carts."""
    present = [name for name in ("all", "view", "cart") if slices[name]["rows"]]
    return [_table(name, slices[name]) for name in present]


def _table(name: str, of_slice: Mapping[str, Any]) -> Table:
    rate = of_slice["positives"] / of_slice["rows"]
    title = f"{SLICE_TITLES[name]}: {of_slice['rows']:,} points, {of_slice['positives']:,} bought ({percent(rate)})"
    rows = [_row(candidate, of_slice) for candidate in in_order(list(of_slice["quality"]))]
    columns = ("Candidate", *(METRIC_TITLES[metric] for metric in DIGITS))
    return Table(title, columns, rows, _beside(of_slice), strong=(0,))


def _beside(of_slice: Mapping[str, Any]) -> str:
    """The ensemble's figures that have no column, and what chance does to one that has."""
    f1 = f"{number(of_slice['balanced_f1'], 3)} {bounds(of_slice['balanced_f1_interval'], 3)}"
    expected, hardly_more = (number(figure, 4) for figure in of_slice["ece_by_chance"])
    return (
        f"The ensemble's F1, as if both outcomes were equally frequent (1:1), is {f1}; its accuracy at the threshold "
        f"of the best F1 is {number(of_slice['accuracy'], 3)}. Perfect probabilities would show a calibration error of "
        f"{expected} here by chance, and hardly more than {hardly_more}."
    )


def _row(candidate: str, of_slice: Mapping[str, Any]) -> list[Cell]:
    return [Cell(candidate_title(candidate)), *(_cell(candidate, metric, of_slice) for metric in DIGITS)]


def _cell(candidate: str, metric: str, of_slice: Mapping[str, Any]) -> Cell:
    digits = DIGITS[metric]
    text = number(of_slice["quality"][candidate][metric], digits)
    if candidate == ENSEMBLE:
        return Cell(text, bounds(of_slice["intervals"][metric], digits))
    pair = of_slice["differences"][candidate][metric]
    if is_nothing(pair, 4):
        return Cell(text, "equal")
    return Cell(text, bounds(pair, 4, signed=True), tone(metric, pair))
