"""What a training run ends with on the terminal: the figures of every candidate, slice by slice."""

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from common.quality import HIGHER_IS_BETTER
from training.evaluation import ENSEMBLE

_TITLES = {"roc_auc": "ROC AUC", "pr_auc": "PR-AUC", "log_loss": "log loss", "ece": "ECE"}
_DIGITS = {"roc_auc": 3, "pr_auc": 3, "log_loss": 4, "ece": 4}


def quality_table(metrics: Mapping[str, Any], *, title: str, threshold: float | None = None) -> Group:
    """The figures of `training.evaluation.evaluate`: a table for each slice, the ensemble with its intervals.

    Args:
        metrics: with `slices`.
        title: what stands above.
        threshold: at which accuracy was judged, where it is to be told.
    """
    tables = [_slice_table(name, of_slice) for name, of_slice in metrics["slices"].items()]
    return Group(Text(title, style="bold"), *tables, Text(_caption(metrics["slices"], threshold)))


def _slice_table(name: str, of_slice: Mapping[str, Any]) -> Table:
    counts = f"{of_slice['rows']:,} points, {of_slice['positives']:,} bought"
    table = Table(title=f"{name}: {counts}", title_justify="left", title_style="", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("model", min_width=16)
    for metric in HIGHER_IS_BETTER:
        table.add_column(_TITLES[metric], justify="right", no_wrap=True, min_width=12)
    for candidate, quality in of_slice["quality"].items():
        cells = [_figure(metric, quality[metric]) for metric in HIGHER_IS_BETTER]
        table.add_row(candidate, *cells, style="bold" if candidate == ENSEMBLE else None)
        if candidate == ENSEMBLE:
            bounds = [_bounds(metric, of_slice["intervals"][metric]) for metric in HIGHER_IS_BETTER]
            table.add_row("  95 % interval", *bounds, style="dim")
    return table


def _caption(slices: Mapping[str, Any], threshold: float | None) -> str:
    """What has no column: one line, and one on how much of the calibration error chance explains."""
    cart = slices["cart"]
    f1, bounds = _figure("roc_auc", cart["balanced_f1"]), _bounds("roc_auc", cart["balanced_f1_interval"])
    at = "the threshold of the best F1" if threshold is None else f"threshold {threshold:.3f}"
    accuracy = _figure("roc_auc", slices["all"]["accuracy"])
    lines = [f"accuracy {accuracy} at {at}; F1 of carts at 1:1 {f1} ({bounds}); intervals resample users"]
    chance = [
        f"{name} {_figure('ece', of_slice['ece_by_chance'][0])}"
        for name, of_slice in slices.items()
        if of_slice["rows"] and "ece_by_chance" in of_slice
    ]
    if chance:
        lines.append(f"ECE that perfect probabilities would show by chance: {', '.join(chance)}")
    return "\n".join(lines)


def _bounds(metric: str, bounds: list[float | None]) -> str:
    return "-".join(_figure(metric, bound).removeprefix("0") for bound in bounds)


def _figure(metric: str, value: float | None) -> str:
    return "-" if value is None else f"{value:.{_DIGITS[metric]}f}"
