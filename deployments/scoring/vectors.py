"""The feature stage: a range of user buckets becomes questions with their vectors.

Runs in Ray tasks. What comes out depends on the range alone, so a task that is run again writes the same.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import ray

from common.catalog import ContinuedHistory
from common.clock import to_iso
from common.eventlog import CANONICAL
from common.events import NAME_BY_KIND, Decision, Event, EventKind
from common.features import vector
from common.replay import X_FIELD, UserEvents, points_of, users_of, x_column
from common.window import window_at
from deployments.scoring.context import History, Question
from deployments.scoring.partition import Range, read_range
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
"""Vectors held as Python floats at once: some 20 MB."""


class Asked(NamedTuple):
    """A question whose decision is known, and what raised it (0 view, 1 cart, None unknown)."""

    decision: Decision
    kind: int | None


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
    users = users_of(read_range(inputs.events, share.low, share.high, CANONICAL))
    rejected: list[Question] = []
    if inputs.points is None:
        asked = _of_log(users)
    else:
        asked = _of_points(read_range(inputs.points, share.low, share.high, POINTS), users, rejected)
    rows: list[Asked] = []
    vectors: list[list[float]] = []
    first = 0
    for one, events in asked:
        as_of_us = one.decision.as_of_us
        rows.append(one)
        vectors.append(vector(one.decision, window_at(events, as_of_us), catalogs.as_of(as_of_us)))
        if len(rows) == BLOCK_ROWS:
            yield _block(share.number, first, rows, vectors)
            first += len(rows)
            rows, vectors = [], []
    if rows:
        yield _block(share.number, first, rows, vectors)
    if rejected:
        pq.write_table(_without_context(rejected), Path(inputs.rejected) / f"range-{share.number:05d}.parquet")


def _of_log(users: UserEvents) -> Iterator[tuple[Asked, Sequence[Event]]]:
    for user, events in users.items():
        for point in points_of(user, events):
            yield Asked(point.decision, point.kind), events


def _of_points(table: pa.Table, users: UserEvents, rejected: list[Question]) -> Iterator[tuple[Asked, Sequence[Event]]]:
    questions: dict[str, list[Question]] = {}
    for fields in zip(*(table[name].to_pylist() for name in Question._fields), strict=True):
        questions.setdefault(fields[0], []).append(Question(*fields))
    for user, of_user in questions.items():
        events = users.get(user, [])
        history = History(events)
        for question in of_user:
            decision = history.decision(question)
            if decision is None:
                rejected.append(question)
            else:
                yield Asked(decision, question.kind), events


def _block(number: int, first: int, rows: Sequence[Asked], vectors: Sequence[Sequence[float]]) -> pa.Table:
    decisions = [row.decision for row in rows]
    columns: Iterable[pa.Array] = (
        pa.array([number] * len(rows), pa.int32()),
        pa.array(range(first, first + len(rows)), pa.int64()),
        pa.array([decision.user for decision in decisions], pa.string()),
        pa.array([decision.session for decision in decisions], pa.string()),
        pa.array([decision.product for decision in decisions], pa.string()),
        pa.array([decision.as_of_us for decision in decisions], pa.int64()),
        pa.array([row.kind for row in rows], pa.int8()),
        x_column(vectors),
    )
    return pa.table(list(columns), schema=FEATURED)


def _without_context(questions: Sequence[Question]) -> pa.Table:
    kinds = [None if question.kind is None else NAME_BY_KIND[EventKind(question.kind)] for question in questions]
    columns = {
        "user_id": pa.array([question.user for question in questions], pa.string()),
        "user_session": pa.array([question.session for question in questions], pa.string()),
        "product_id": pa.array([question.product for question in questions], pa.string()),
        "as_of": pa.array([to_iso(question.as_of_us) for question in questions], pa.string()),
        "category_code": pa.array([question.category for question in questions], pa.string()),
        "brand": pa.array([question.brand for question in questions], pa.string()),
        "kind": pa.array(kinds, pa.string()),
    }
    return rejected_rows(["no_context"] * len(questions), columns)


@lru_cache(maxsize=1)
def _catalogs(reference: "ray.ObjectRef[ContinuedHistory]") -> ContinuedHistory:
    """The catalogs, unpacked once in the life of a worker process; what they work out lazily stays too."""
    catalogs: ContinuedHistory = ray.get(reference)
    return catalogs
