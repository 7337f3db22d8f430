"""The log read once more, as it stood at the instants of some points: the leakage check that trusts no stored file.

Events are read from the log's own files again, so what is checked is the whole way from a row to a vector: reading,
sorting, the catalog, the replay, and the store that examples were learned from.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from common.catalog import Catalog, CatalogHistory
from common.clock import DAY_US, day_of
from common.counting import day_counts_of
from common.daycounts import merged
from common.eventlog import ANY_TIME, Bounds, kept
from common.log_files import plan_parts, read_parts
from common.replay import POINT_SCHEMA, X_FIELD, example_table, x_column
from training.examples import Examples
from training.leakage import Check, future_check

DAYS, POINTS_PER_DAY = 4, 6
"""Each day costs a catalog of its own, each point a moment: a few days with a few points each say enough."""


def sampled_points(examples: Examples, *, seed: int) -> pa.Table:
    """A few points of a few days with their stored vectors: `POINT_SCHEMA` and `x`."""
    rows = _rows_of_some_days(examples.as_of_us, np.random.default_rng(seed))
    return examples.table(POINT_SCHEMA.names, rows).append_column(X_FIELD, x_column(examples.x(rows)))


def _rows_of_some_days(as_of_us: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    days = as_of_us // DAY_US
    chosen = rng.permutation(np.unique(days))[:DAYS]
    return np.sort(np.concatenate([rng.permutation(np.flatnonzero(days == day))[:POINTS_PER_DAY] for day in chosen]))


def check_against_log(points: pa.Table, events: Sequence[Path], *, horizon_us: int, bounds: Bounds = ANY_TIME) -> Check:
    """`training.leakage.future_check` of some points against the files of their log.

    Args:
        points: `sampled_points`.
        events: the log's files, as they were given.
        horizon_us: how long after as_of a purchase counts; no vector depends on it.
        bounds: which times the run has read.

    Raises:
        EventLogError: a file is gone or damaged.
    """
    of_users, days = _read_again(events, points["user"].combine_chunks().unique(), bounds)

    @cache
    def history_before(day: int) -> CatalogHistory:
        return CatalogHistory(Catalog.empty(), days.filter(pc.less(days["day"], day)))

    def replay(past: pa.Table, as_of_us: int) -> pa.Table:
        return example_table(past, history_before(day_of(as_of_us)), horizon_us=horizon_us, log_end_us=as_of_us)

    return future_check(points, of_users, replay)


def _read_again(events: Sequence[Path], users: pa.Array, bounds: Bounds) -> tuple[pa.Table, pa.Table]:
    """The events of some users, and the counts of each day of the whole log."""
    parts = pa.Table.from_pylist([part._asdict() for part in plan_parts(events)])
    of_users: list[pa.Table] = []
    counts: pa.Table | None = None
    for block in map(kept, read_parts(parts, bounds=bounds)):
        if block.num_rows:
            of_users.append(block.filter(pc.is_in(block["user"], users)))
            counts = merged([day_counts_of(block), *([] if counts is None else [counts])])
    return pa.concat_tables(of_users), merged([] if counts is None else [counts])
