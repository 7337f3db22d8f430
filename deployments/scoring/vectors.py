"""The feature stage: a range of user buckets becomes questions with their vectors.

Runs in Ray tasks. What comes out depends on the range alone, so a task that is run again writes the same.
"""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray

from common.catalog import ContinuedHistory
from common.clock import to_iso
from common.event_columns import Asked, Log, columns_of
from common.eventlog import CANONICAL
from common.events import NAME_BY_KIND
from common.partition import Range, read_range
from common.replay import X_FIELD, asked_at, vectors_of, x_column
from common.replay_points import asking
from deployments.scoring.context import in_full, legible
from deployments.scoring.points import POINTS, rejected_rows

FEATURED = pa.schema(
    [
        ("range", pa.int32()),
        ("row", pa.int64()),
        ("user", pa.string()),
        ("session", pa.string()),
        ("product", pa.string()),
        ("as_of_us", pa.int64()),
        ("kind", pa.int8()),
        X_FIELD,
    ]
)
"""A question with its vector; `range` and `row` (its place among the range's rows) are unique."""

BLOCK_ROWS = 8_192
"""Questions of one block: what the members are asked at once."""


class Inputs(NamedTuple):
    """What every range is read from; `points` is None where the log asks its own questions."""

    events: list[str]
    points: list[str] | None
    rejected: str
    catalogs: "ray.ObjectRef[ContinuedHistory]"


def featured(ranges: pa.Table, *, inputs: Inputs) -> Iterator[pa.Table]:
    """The questions of some ranges (columns of `Range`) in the schema `FEATURED`; made for `map_batches`."""
    yield FEATURED.empty_table()
    catalogs = _catalogs(inputs.catalogs)
    for fields in ranges.to_pylist():
        yield from of_range(Range(**fields), inputs, catalogs)


def of_range(share: Range, inputs: Inputs, catalogs: ContinuedHistory) -> Iterator[pa.Table]:
    """The questions of one range of user buckets, a block at a time; writes the rejected ones to their own file."""
    events = read_range(inputs.events, share.low, share.high, CANONICAL)
    if inputs.points is None:
        log, _ = columns_of(events)
        at = asking(log)
        asked, kinds = asked_at(log, at), pa.array(log.events.kind[at])
    else:
        questions = legible(read_range(inputs.points, share.low, share.high, POINTS))
        log, codes = columns_of(events, questions)
        asked, can_be_asked = in_full(log, questions, codes)
        if not can_be_asked.all():
            rejected = _without_context(questions.filter(pa.array(~can_be_asked)))
            pq.write_table(rejected, Path(inputs.rejected) / f"range-{share.number:05d}.parquet")
        asked = Asked._make(column[can_be_asked] for column in asked)
        kinds = questions["kind"].combine_chunks().filter(pa.array(can_be_asked))
    for start in range(0, len(asked.user), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        yield _block(share.number, start, log, Asked._make(column[rows] for column in asked), kinds[rows], catalogs)


def _block(number: int, first: int, log: Log, asked: Asked, kinds: pa.Array, catalogs: ContinuedHistory) -> pa.Table:
    n = len(asked.user)
    columns = [
        pa.array(np.full(n, number, np.int32)),
        pa.array(np.arange(first, first + n, dtype=np.int64)),
        log.text("user", asked.user),
        log.text("session", asked.session),
        log.text("product", asked.product),
        pa.array(asked.as_of_us),
        kinds,
        x_column(vectors_of(log, asked, catalogs)),
    ]
    return pa.table(columns, schema=FEATURED)


def _without_context(questions: pa.Table) -> pa.Table:
    columns = {
        "user_id": questions["user"],
        "user_session": questions["session"],
        "product_id": questions["product"],
        "as_of": pa.array([to_iso(as_of_us) for as_of_us in questions["as_of_us"].to_pylist()], pa.string()),
        "category_code": questions["category"],
        "brand": questions["brand"],
        "kind": pa.array(
            [None if kind is None else NAME_BY_KIND[kind] for kind in questions["kind"].to_pylist()], pa.string()
        ),
    }
    return rejected_rows(["no_context"] * len(questions), columns)


@lru_cache(maxsize=1)
def _catalogs(reference: "ray.ObjectRef[ContinuedHistory]") -> ContinuedHistory:
    """The catalogs, unpacked once in the life of a worker process; what they work out lazily stays too."""
    catalogs: ContinuedHistory = ray.get(reference)
    return catalogs
