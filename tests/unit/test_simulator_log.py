"""The log of the simulated shop: reproducible, valid, sized and timed as asked, like a real shop's."""

import argparse
import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from benchmarks.simulator_fidelity import STATISTICS
from common.clock import DAY_US, from_datetime
from common.errors import ConfigError
from common.eventlog import check, kept
from common.events import LOG_COLUMNS
from training import simulate as command
from training.shop import write
from training.shop.assortment import stocked
from training.shop.prices import member_cents, priced
from training.shop.traffic import Plan, batches, world_of
from training.simulate import simulate

START_US = from_datetime(datetime(2026, 1, 5, tzinfo=UTC))
SMALL = Plan(events=20_000, seed=3, start_us=START_US)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[pa.Table, pa.Table]:
    """Log and truth of `SMALL`."""
    folder = tmp_path_factory.mktemp("shop")
    simulate(SMALL, folder / "log.parquet", folder / "truth.parquet")
    return pq.read_table(folder / "log.parquet"), pq.read_table(folder / "truth.parquet")


@pytest.fixture(scope="module")
def log(written: tuple[pa.Table, pa.Table]) -> pd.DataFrame:
    return written[0].to_pandas()


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    plan = dataclasses.replace(SMALL, events=5_000)

    for name in ("once", "again"):
        simulate(plan, tmp_path / f"{name}.parquet", tmp_path / f"{name}-truth.parquet")

    for suffix in (".parquet", "-truth.parquet"):
        assert (tmp_path / f"once{suffix}").read_bytes() == (tmp_path / f"again{suffix}").read_bytes()


def test_another_seed_gives_another_shop_and_other_shoppers(tmp_path: Path) -> None:
    simulate(dataclasses.replace(SMALL, events=2_000, seed=1), tmp_path / "one.parquet")
    simulate(dataclasses.replace(SMALL, events=2_000, seed=2), tmp_path / "two.parquet")

    one, two = (pq.read_table(tmp_path / name) for name in ("one.parquet", "two.parquet"))
    for column in ("product_id", "user_id", "user_session"):
        assert not set(one[column].to_pylist()) & set(two[column].to_pylist())


def test_every_row_is_a_valid_event_in_the_public_columns(written: tuple[pa.Table, pa.Table]) -> None:
    table = written[0]

    assert tuple(table.column_names) == LOG_COLUMNS
    assert kept(check(table, source="simulated")).num_rows == table.num_rows


def test_rows_are_in_order_of_time_and_on_whole_milliseconds(log: pd.DataFrame) -> None:
    assert log.event_time.is_monotonic_increasing
    assert (log.event_time.astype("int64") % 1_000 == 0).all()


@pytest.mark.parametrize(("events", "tolerance"), [(2_000, 0.15), (20_000, 0.03), (100_000, 0.01)])
def test_the_log_is_about_as_long_as_asked(events: int, tolerance: float) -> None:
    plan = dataclasses.replace(SMALL, events=events)

    total = sum(batch.events.size for batch in batches(plan, world_of(plan)))

    assert abs(total / events - 1.0) < tolerance


def test_traffic_fills_the_days_that_were_asked_for_and_no_others() -> None:
    plan = dataclasses.replace(SMALL, days=9)

    times = np.concatenate([batch.events["time_us"] for batch in batches(plan, world_of(plan))])

    assert times.min() >= START_US
    assert times.max() < START_US + 9 * DAY_US
    assert set((times - START_US) // DAY_US) == set(range(9))


def test_more_events_are_more_shoppers_of_the_same_shop() -> None:
    few, many = (dataclasses.replace(SMALL, events=events) for events in (2_000, 40_000))

    shoppers = [max(batch.events["user"].max() for batch in batches(plan, world_of(plan))) for plan in (few, many)]

    assert shoppers[1] > 15 * shoppers[0]
    assert np.array_equal(world_of(few).assortment.product_id, world_of(many).assortment.product_id)


def test_memory_stays_flat_because_rows_wait_on_disk_in_slices(
    tmp_path: Path, written: tuple[pa.Table, pa.Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "ROWS_PER_SLICE", 1_500)

    simulate(SMALL, tmp_path / "log.parquet", tmp_path / "truth.parquet")

    assert pq.ParquetFile(tmp_path / "log.parquet").num_row_groups == 13
    assert pq.read_table(tmp_path / "log.parquet").equals(written[0])
    assert pq.read_table(tmp_path / "truth.parquet").equals(written[1])


def test_a_run_that_fails_leaves_no_file_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(plan: Plan, world: object) -> Iterator[object]:
        yield from list(batches(plan, world_of(plan)))[:1]
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "batches", interrupted)

    with pytest.raises(KeyboardInterrupt):
        simulate(SMALL, tmp_path / "log.parquet", tmp_path / "truth.parquet")

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "change", [{"events": 10}, {"days": 1}, {"seed": -1}, {"start_us": START_US + 1}, {"products": 10}]
)
def test_an_impossible_plan_is_refused(change: dict[str, int]) -> None:
    with pytest.raises(ConfigError) as refused:
        world_of(dataclasses.replace(SMALL, **change))

    assert refused.value.remedy


@pytest.mark.parametrize(("log", "truth"), [("x/a.parquet", None), ("a.csv", None), ("a.parquet", "a.parquet")])
def test_paths_that_cannot_be_written_are_refused(tmp_path: Path, log: str, truth: str | None) -> None:
    with pytest.raises(ConfigError):
        simulate(SMALL, tmp_path / log, tmp_path / truth if truth else None)

    assert not list(tmp_path.iterdir())


def test_the_command_writes_what_its_options_say(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    options = ["--events", "3000", "--seed", "5", "--start", "2026-03-02", "--days", "10", "--products", "60"]
    args = parser.parse_args([*options, "--out", str(tmp_path / "a.parquet"), "--truth", str(tmp_path / "b.parquet")])

    command.run(args)

    table, truth = pq.read_table(tmp_path / "a.parquet"), pq.read_table(tmp_path / "b.parquet")
    assert pc.min(table["event_time"]).as_py().date() == datetime(2026, 3, 2, tzinfo=UTC).date()
    assert len(table["product_id"].unique()) <= 60
    assert truth.column_names == [*write.TRUTH_SCHEMA.names]


def test_a_session_belongs_to_one_user_and_a_product_to_one_category_and_brand(log: pd.DataFrame) -> None:
    assert (log.groupby("user_session").user_id.nunique() == 1).all()
    assert (log.groupby("product_id")[["category_code", "brand"]].nunique() <= 1).all(axis=None)


def test_a_checkout_is_one_instant_and_nothing_else_in_a_session_is(log: pd.DataFrame) -> None:
    times = log.groupby(["user_session", "event_time"])

    ties = times.event_type.unique()[times.size() > 1]

    assert len(ties) > 100
    assert all(list(kinds) == ["purchase"] for kinds in ties)


def test_sessions_of_a_user_do_not_overlap(log: pd.DataFrame) -> None:
    spans = log.groupby(["user_id", "user_session"]).event_time.agg(["min", "max"]).sort_values(["user_id", "min"])

    earlier_end = spans.groupby("user_id")["max"].shift()

    assert (spans["min"] > earlier_end)[earlier_end.notna()].all()


def test_users_and_sessions_have_ids_that_never_collide() -> None:
    numbers = np.arange(300_000, dtype=np.int32)
    identity = write.Identity(11)

    assert np.unique(identity.users(numbers)).size == numbers.size
    assert len(identity.sessions(numbers).unique()) == numbers.size


def test_members_pay_a_fifth_less_than_the_shelf_price() -> None:
    cents = np.array([1_000, 1_999], np.int32)

    assert member_cents(cents, np.array([True, False])).tolist() == [800, 1_999]


def test_prices_move_and_the_recent_high_is_never_below_the_shelf_price() -> None:
    prices = priced(np.full(400, 2_000, np.int32), 90, np.random.default_rng(1))

    assert (prices.high_cents >= prices.shelf_cents).all()
    assert 0.005 < (prices.shelf_cents < 0.95 * prices.high_cents).mean() < 0.1
    assert np.array_equal(prices.high_cents[60], prices.shelf_cents[40:61].max(axis=0))


def test_every_category_has_products_whatever_the_size_of_the_shop() -> None:
    for products in (50, 399, 5_000):
        assortment = stocked(products, 3, np.random.default_rng(2))

        assert assortment.size == products
        assert np.unique(assortment.category).size == 22
        assert np.unique(assortment.product_id).size == products


def test_the_page_names_every_option_and_every_statistic() -> None:
    page = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text()
    parser = argparse.ArgumentParser(add_help=False)
    command.add_arguments(parser)

    assert [line.split("`")[1] for line in page.splitlines() if line.startswith("| `--")] == [
        action.option_strings[0] for action in parser._actions
    ]
    assert all(f"\n| {name} |" in page for name in STATISTICS)


REAL = {
    # statistic: (real shop, tolerance as a ratio); docs/simulator.md has the whole table
    "events per user": (6.37, 0.10),
    "events per session": (4.97, 0.10),
    "sessions per user": (1.28, 0.05),
    "products per session": (2.70, 0.10),
    "share of views": (0.723, 0.05),
    "share of carts": (0.201, 0.10),
    "share of purchases": (0.051, 0.15),
    "share of removals": (0.025, 0.35),
    "sessions with a cart": (0.362, 0.10),
    "sessions with a purchase": (0.075, 0.25),
    "events without a brand": (0.308, 0.25),
    "events on weekends": (0.171, 0.15),
    "events at 15 to 22 h": (0.499, 0.10),
}


def test_the_shop_looks_like_the_real_one() -> None:
    plan = dataclasses.replace(SMALL, events=150_000, days=61)
    events = np.concatenate([batch.events for batch in batches(plan, world_of(plan))])
    brand = world_of(plan).assortment.brand
    sessions, users = np.unique(events["session"]).size, np.unique(events["user"]).size
    kinds = np.bincount(events["kind"]) / events.size
    days = events["time_us"] // DAY_US

    found = {
        "events per user": events.size / users,
        "events per session": events.size / sessions,
        "sessions per user": sessions / users,
        "products per session": np.unique(events[["session", "product"]]).size / sessions,
        "share of views": kinds[0],
        "share of carts": kinds[1],
        "share of removals": kinds[2],
        "share of purchases": kinds[3],
        "sessions with a cart": np.unique(events["session"][events["kind"] == 1]).size / sessions,
        "sessions with a purchase": np.unique(events["session"][events["kind"] == 3]).size / sessions,
        "events without a brand": (brand[events["product"]] < 0).mean(),
        "events on weekends": ((days + 3) % 7 >= 5).mean(),
        "events at 15 to 22 h": np.isin(events["time_us"] // 3_600_000_000 % 24, range(15, 23)).mean(),
    }

    for name, (real, tolerance) in REAL.items():
        assert abs(found[name] / real - 1.0) < tolerance, name
