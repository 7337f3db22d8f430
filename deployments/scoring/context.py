"""What a question is about: price, category and brand as the shopper last saw them."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from common.encoding import Codes
from common.event_columns import Asked, Log
from common.replay_points import shown


def legible(questions: pa.Table) -> pa.Table:
    """Questions (`deployments.scoring.points.POINTS`) as `common.event_columns.columns_of` takes them."""
    for name in ("category", "brand"):
        at = questions.column_names.index(name)
        questions = questions.set_column(at, name, pc.fill_null(questions[name], ""))
    return questions


def in_full(log: Log, questions: pa.Table, codes: dict[str, Codes]) -> tuple[Asked, NDArray[np.bool_]]:
    """Questions in full, and which of them can be asked: of the others nothing shows what they are about.

    The log is believed before a question's own price, category and brand (`common.replay_points.shown`).

    Args:
        log: the events of the questions' users.
        questions: `legible` ones.
        codes: those of their texts.
    """
    as_of_us = questions["as_of_us"].to_numpy()
    at = shown(log, codes, as_of_us)
    told = pc.fill_null(questions["price"], np.nan).to_numpy()
    asked = Asked(
        user=codes["user"],
        session=codes["session"],
        product=codes["product"],
        category=_seen_or_told(at, log.events.category, codes["category"]),
        brand=_seen_or_told(at, log.brand, codes["brand"]),
        as_of_us=as_of_us,
        price=_seen_or_told(at, log.events.price, told),
    )
    return asked, ~np.isnan(asked.price)


def _seen_or_told(at: NDArray[np.int64], seen: NDArray[Any], told: NDArray[Any]) -> NDArray[Any]:
    values = told.copy()
    values[at >= 0] = seen[at[at >= 0]]
    return values
