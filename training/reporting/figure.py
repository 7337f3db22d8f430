"""Figures as plain data: Plotly traces and layouts whose colours are roles, which the page gives a value by theme.

A colour is written as `@role`; page.js replaces it, in light, dark and print. The figures of one group share one
legend and stand side by side where there is room.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from training.evaluation import BASE_RATE, DEFAULT_VOTE, ENSEMBLE, TRUTH
from training.reporting.content import CHAMPION

COLOURS = {
    ENSEMBLE: "@ensemble",
    CHAMPION: "@champion",
    TRUTH: "@truth",
    DEFAULT_VOTE: "@default",
    BASE_RATE: "@base",
    "catboost": "@catboost",
    "xgboost": "@xgboost",
    "lightgbm": "@lightgbm",
    "random_forest": "@forest",
}
DASHES = {CHAMPION: "dash", TRUTH: "dot", DEFAULT_VOTE: "dashdot", BASE_RATE: "dot"}


class Key(NamedTuple):
    """An entry of a legend: what it says, its colour's role, its mark (line, dash, dot, or a symbol's name).

    `shown` is None where it cannot be switched; else whether the traces of that `meta` are visible at first.
    """

    title: str
    colour: str
    mark: str = "line"
    meta: str = ""
    shown: bool | None = None


@dataclass(frozen=True)
class Panel:
    """One chart: `traces` and `layout` as Plotly has them, `said` what a reader who cannot see it is told."""

    id: str
    title: str
    traces: list[dict[str, Any]]
    layout: dict[str, Any]
    said: str
    height: int = 300


@dataclass(frozen=True)
class Figure:
    """Charts that are read together, and a sentence that says how."""

    title: str
    reading: str
    panels: Sequence[Panel]
    legend: Sequence[Key] = field(default_factory=tuple)
    columns: int = 1


@dataclass(frozen=True)
class Cell:
    """What a table says in one place: a line, a smaller line below it, and whether that is good or bad news."""

    text: str
    small: str = ""
    tone: str = ""
    bar: float | None = None


@dataclass(frozen=True)
class Table:
    """Rows of cells below column titles; the first column names the row. `strong` rows stand out."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    strong: Sequence[int] = ()
    texts: Sequence[int] = (0,)


@dataclass(frozen=True)
class Section:
    """A chapter of the page: tables first where `tables_first`, then figures, or the other way round."""

    id: str
    title: str
    intro: str
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()
    tables_first: bool = True


def listed(values: ArrayLike, digits: int = 5) -> list[float | None]:
    """Numbers for JSON with so many significant digits: a screen shows no more, and the file stays small."""
    return [None if not np.isfinite(value) else float(f"{value:.{digits}g}") for value in np.asarray(values).tolist()]


def axis(title: str = "", **more: Any) -> dict[str, Any]:
    """An axis; page.js adds grid, colours and fonts."""
    return {"title": {"text": title}, **more} if title else dict(more)


def line(name: str, x: ArrayLike, y: ArrayLike, colour: str, **more: Any) -> dict[str, Any]:
    """A line; `dash`, `width` and `meta` (its legend entry) among `more`."""
    style = {"color": colour, "width": more.pop("width", 2)}
    if dash := more.pop("dash", None):
        style["dash"] = dash
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": listed(x),
        "y": listed(y),
        "line": style,
        "hovertemplate": "%{y}<extra>%{fullData.name}</extra>",
        **more,
    }


def dots(name: str, x: ArrayLike, y: ArrayLike, marker: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Points without a line."""
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": listed(x),
        "y": listed(y),
        "marker": marker,
        **more,
    }


def rule(*, x: float | str | None = None, y: float | None = None, colour: str = "@muted", dash: str = "dot") -> Any:
    """A straight line across the chart at x or at y."""
    place = {"x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "paper"} if x is not None else {}
    level = {"y0": y, "y1": y, "x0": 0, "x1": 1, "xref": "paper"} if y is not None else {}
    style = {"color": colour, "width": 1.2, "dash": dash}
    return {"type": "line", "layer": "below", "line": style, **place, **level}


def note(text: str, x: Any, y: Any, **more: Any) -> dict[str, Any]:
    """Words in a chart, without an arrow."""
    return {"text": text, "x": x, "y": y, "showarrow": False, "font": {"color": "@muted", "size": 11}, **more}
