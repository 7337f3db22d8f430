"""From a log of events to the matrix that models are fitted on, made on Ray Data user by user."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray
from numpy.typing import NDArray
from ray.data import Dataset

from common.catalog import Catalog, ContinuedHistory
from common.daycounts import DayCounts, from_table, merge, to_table
from common.replay import EXAMPLE_SCHEMA, day_counts_of, example_table, users_of, x_matrix


@dataclass(frozen=True)
class Examples:
    """The uncensored decision points of a log, in order of time.

    `X` float32 (n, f) · `y` int8 (n,), 1 where the user bought · `as_of_us` int64 (n,) · `kind` int8 (n,), 0 view and
    1 cart · `user`, `session`, `product` str (n,) · `category`, `brand` str and `price` float64 (n,): the request's.
    """

    X: NDArray[np.float32]
    y: NDArray[np.int8]
    as_of_us: NDArray[np.int64]
    kind: NDArray[np.int8]
    user: NDArray[np.object_]
    session: NDArray[np.object_]
    product: NDArray[np.object_]
    category: NDArray[np.object_]
    brand: NDArray[np.object_]
    price: NDArray[np.float64]
    censored: int
    catalog: Catalog

    def __len__(self) -> int:
        return len(self.y)


def make_examples(
    events: Dataset, *, horizon_us: int, log_end_us: int, partitions: int = 8, known: Catalog | None = None
) -> Examples:
    """Replay a canonical log (see `common.eventlog`) into examples.

    Two passes: the counts of each day, which become the catalogs; then, users hashed into `partitions`, each user's
    history in turn. Only the counts and the finished examples reach the driver.

    Args:
        events: canonical events; materialised or cheap to read twice.
        horizon_us: how long after as_of a purchase counts.
        log_end_us: the time of the log's last event.
        partitions: parallel tasks; one partition's users must fit in a worker's memory.
        known: a bundle's catalog, where that bundle is to see what it would see when it serves these events.
    """
    history = ContinuedHistory(known or Catalog.empty(), _count_days(events))
    shared = ray.put(history)
    replayed = events.repartition(partitions, keys=["user"]).map_batches(
        _replay_block,
        batch_format="pyarrow",
        batch_size=None,
        # in a list, so that Ray hands the reference over instead of a copy for each task
        fn_kwargs={"history": [shared], "horizon_us": horizon_us, "log_end_us": log_end_us},
    )
    blocks = [ray.get(block) for block in replayed.to_arrow_refs()]
    table = pa.concat_tables([block for block in blocks if block.num_rows] or [EXAMPLE_SCHEMA.empty_table()])
    return _examples_of(table, history.last)


def _count_days(events: Dataset) -> dict[int, DayCounts]:
    days: dict[int, DayCounts] = {}
    counted = events.map_batches(_count_block, batch_format="pyarrow", batch_size=None)
    for reference in counted.to_arrow_refs():
        merge(days, from_table(ray.get(reference)))
    return days


def _count_block(block: pa.Table) -> pa.Table:
    return to_table(day_counts_of(block))


def _replay_block(
    block: pa.Table, *, history: list["ray.ObjectRef[ContinuedHistory]"], horizon_us: int, log_end_us: int
) -> pa.Table:
    if not block.num_rows:
        return EXAMPLE_SCHEMA.empty_table()
    return example_table(users_of(block), ray.get(history[0]), horizon_us=horizon_us, log_end_us=log_end_us)


def _examples_of(table: pa.Table, catalog: Catalog) -> Examples:
    known = table.filter(pc.invert(table["censored"])) if table.num_rows else table
    # ties are broken by content, so that the order never depends on how users were hashed
    ordered = known.sort_by([(name, "ascending") for name in ("as_of_us", "user", "session", "product", "kind")])
    texts = {name: ordered[name].to_numpy() for name in ("user", "session", "product", "category", "brand")}
    return Examples(
        X=x_matrix(ordered),
        y=ordered["label"].to_numpy(),
        as_of_us=ordered["as_of_us"].to_numpy(),
        kind=ordered["kind"].to_numpy(),
        price=ordered["price"].to_numpy(),
        censored=table.num_rows - known.num_rows,
        catalog=catalog,
        **texts,
    )
