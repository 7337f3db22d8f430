"""One log, three ways: training's replay, batch scoring and Redis give the same vectors, bit for bit.

Training replays each user's history at once; batch scoring sorts the log into partitions on disk and finds its
questions again; serving gets the events one by one, in any order, and the counts of days from Redis.
"""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from common.catalog import Catalog, CatalogHistory, ContinuedHistory
from common.clock import DAY_US, day_of
from common.daycounts import DayCounts
from common.eventlog import CANONICAL
from common.events import Decision
from common.feature_specs import SPECS
from common.features import vectors
from common.partition import BUCKETS, Range, buckets_of, write_partition
from common.replay import UserEvents, example_table, x_matrix
from deployments.scoring.points import POINTS
from deployments.scoring.vectors import Inputs, of_range
from deployments.state.connection import StateRedis
from deployments.state.daycounts import DayCountStore
from deployments.state.windows import StoredEvent, WindowStore
from tests.logs import canonical, sample_of, simulated_users, store_table
from tests.reference_counts import count

KEY = ["user", "session", "product", "as_of_us", "kind"]
Key = tuple[str, str, str, int, int]
"""What names a decision point."""

Vectors = dict[Key, NDArray[np.float32]]


class Log(NamedTuple):
    """A log and what training makes of it."""

    users: UserEvents
    days: dict[int, DayCounts]
    examples: pa.Table

    @property
    def trained(self) -> Vectors:
        """Training's own vectors."""
        return vectors_of(self.examples)

    @property
    def through_day(self) -> int:
        """A day in the middle: as if a bundle had been trained on the log up to its end."""
        return sorted(self.days)[len(self.days) // 2]

    @property
    def of_bundle(self) -> Catalog:
        """The catalog of that bundle."""
        return CatalogHistory(Catalog.empty(), self.days).as_of((self.through_day + 1) * DAY_US)


def replayed(users: UserEvents) -> Log:
    """A log as training sees it."""
    days = count(event for events in users.values() for event in events)
    history = CatalogHistory(Catalog.empty(), days)
    return Log(users, days, example_table(canonical(users), history, horizon_us=DAY_US, log_end_us=0))


@pytest.fixture(scope="module", params=["simulated", "real"])
def log(request: pytest.FixtureRequest) -> Log:
    """A simulated shop, and a sample of the real one's users where it is present."""
    return replayed(simulated_users(21) if request.param == "simulated" else sample_of(store_table(), 40))


def vectors_of(table: pa.Table) -> Vectors:
    """Vectors by decision point."""
    keys = zip(*(table[name].to_pylist() for name in KEY), strict=True)
    return dict(zip(keys, x_matrix(table), strict=True))


def assert_same_bits(found: Vectors, expected: Vectors) -> None:
    """The same decision points, with vectors equal to the last bit."""
    assert found.keys() == expected.keys()
    moved = {
        SPECS[column].name
        for key in expected
        for column in np.flatnonzero(found[key].view(np.int32) != expected[key].view(np.int32))
    }
    assert moved == set()


def partitions(table: pa.Table, directory: Path, rows: int) -> list[str]:
    """A table in partition files of some rows each."""
    return [
        write_partition(table.slice(at, rows), buckets_of(table["user"].slice(at, rows)), directory).path
        for at in range(0, table.num_rows, rows)
    ]


def in_batch(log: Log, directory: Path, *, points: pa.Table | None = None) -> pa.Table:
    """What the feature stage of batch scoring makes of a log, range by range."""
    events = canonical(log.users).select(CANONICAL.names).cast(CANONICAL)
    asked = None if points is None else partitions(points, directory, 700)
    inputs = Inputs(partitions(events, directory, 1_000), asked, str(directory), catalogs=None)  # type: ignore[arg-type]
    catalogs = ContinuedHistory(log.of_bundle, log.days)
    step = BUCKETS // 8
    ranges = (Range(number, low, low + step) for number, low in enumerate(range(0, BUCKETS, step)))
    return pa.concat_tables(block for share in ranges for block in of_range(share, inputs, catalogs))


def test_a_batch_finds_the_decision_points_of_training_and_gives_the_same_bits(log: Log, tmp_path: Path):
    assert_same_bits(vectors_of(in_batch(log, tmp_path)), log.trained)


def test_a_batch_of_given_points_gives_the_same_bits(log: Log, tmp_path: Path):
    questions = log.examples.select(KEY)
    unknown = {name: pa.nulls(questions.num_rows, POINTS.field(name).type) for name in ("price", "category", "brand")}
    columns = {name: questions[name] for name in questions.column_names} | unknown
    shuffled = pa.table([columns[name] for name in POINTS.names], schema=POINTS).take(
        np.random.default_rng(3).permutation(questions.num_rows)
    )

    assert_same_bits(vectors_of(in_batch(log, tmp_path, points=shuffled)), log.trained)


@pytest.mark.anyio
async def test_redis_gives_the_same_bits_from_events_in_any_order(log: Log, redis: StateRedis):
    arriving = [
        # an id of its own for each: what comes twice in a log happened twice
        StoredEvent(user, event, f"{user}-{number}")
        for user, events in log.users.items()
        for number, event in enumerate(events)
    ]
    random.Random(4).shuffle(arriving)
    # a window of the past is asked for after everything has arrived, so nothing may have been cut off since
    store = WindowStore(redis, cap=max(map(len, log.users.values())), now_us=lambda: 0)
    for batch in slices(arriving, 1_000):
        await store.append(batch)
    days = await DayCountStore(redis).day_counts(log.through_day, day_of(2**62))

    after = [decision_of(row) for row in log.examples.to_pylist() if day_of(row["as_of_us"]) > log.through_day]
    history = CatalogHistory(log.of_bundle, days)
    served: Vectors = {}
    for batch in slices(after, 500):
        windows = await store.windows([(decision.user, decision.as_of_us) for decision, _ in batch])
        decisions = [decision for decision, _ in batch]
        X = vectors(decisions, windows, [history.as_of(decision.as_of_us) for decision in decisions])
        for (decision, kind), x in zip(batch, X, strict=True):
            served[decision.user, decision.session, decision.product, decision.as_of_us, kind] = x

    assert len(served) > 100
    assert_same_bits(served, {key: x for key, x in log.trained.items() if day_of(key[3]) > log.through_day})


def slices(items: list, size: int) -> Iterator[list]:
    """A list in pieces."""
    return (items[at : at + size] for at in range(0, len(items), size))


def decision_of(row: dict) -> tuple[Decision, int]:
    """The request that a shop would send at a decision point, and what raised it."""
    day_of_week = (day_of(row["as_of_us"]) + 3) % 7
    asked = {name: row[name] for name in ("user", "session", "product", "category", "brand", "price", "as_of_us")}
    hour = row["as_of_us"] % DAY_US // (DAY_US // 24)
    return Decision(**asked, hour=hour, day_of_week=day_of_week, is_weekend=int(day_of_week > 4)), row["kind"]
