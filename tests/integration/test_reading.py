"""Event logs read on a real Ray: events come out, bad rows are set aside, what is no log is refused."""

import gzip
import io
import logging
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import ray

from common import log_files
from common.clock import DAY_US, SECOND_US
from common.errors import EventLogError
from common.eventlog import CANONICAL, Bounds
from common.partition import BUCKETS, read_range
from tests.logs import STORE_LOG, shared_data, store_table
from training.reading import SortedLog, read_events, require_purchases

SAMPLE = "rees46_2019-10-01_sample.parquet"
START_US = 1_569_888_000 * SECOND_US  # 2019-10-01


@pytest.fixture(scope="module", autouse=True)
def cluster():
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


@pytest.fixture
def console(monkeypatch) -> io.StringIO:
    """What Ray Data says on the console."""
    said = io.StringIO()
    (handler,) = [handler for handler in logging.getLogger("ray.data").handlers if handler.get_name() == "console"]
    monkeypatch.setattr(handler, "emit", lambda record: said.write(handler.format(record) + "\n"))
    return said


def log(rows: int, *, seed: int = 0, kinds: tuple[str, ...] = ("view", "cart", "purchase")) -> pa.Table:
    """A drawn log, an event each second."""
    rng = np.random.default_rng(seed)
    times = np.datetime64("2019-10-01T00:00:00", "us") + np.arange(rows) * np.timedelta64(1, "s")
    return pa.table(
        {
            "event_time": pa.array(times, pa.timestamp("us", "UTC")),
            "event_type": rng.choice(kinds, rows),
            "product_id": rng.integers(10**6, 10**7, rows),
            "category_code": rng.choice(["appliances.kitchen", ""], rows),
            "brand": rng.choice(["acme", "ümlaut"], rows),
            "price": np.round(rng.uniform(0, 100, rows), 2),
            "user_id": rng.integers(1, 50, rows),
            "user_session": rng.choice(["s-1", "s-2"], rows),
        }
    )


def in_order(log: SortedLog) -> pa.Table:
    """The events of a log as one table in the order of their times."""
    return read_range(log.paths, 0, BUCKETS, CANONICAL).sort_by("time_us")


def read(path: Path, **options: Any) -> SortedLog:
    """A log that was read into a directory of its own, its rows set aside in `q` beside it."""
    directory = path.parent / f"sorted-{uuid4().hex}"
    directory.mkdir()
    return read_events([path], directory=directory, quarantine_dir=path.parent / "q", **options)


def test_parquet_csv_and_compressed_csv_give_the_same_events(tmp_path):
    table = log(5_000)
    (tmp_path / "log").mkdir()
    pq.write_table(table.slice(0, 3_000), tmp_path / "log" / "a.parquet")
    pq.write_table(table.slice(3_000), tmp_path / "log" / "b.parquet")
    pyarrow.csv.write_csv(table, tmp_path / "log.csv")
    (tmp_path / "log2.csv.gz").write_bytes(gzip.compress((tmp_path / "log.csv").read_bytes()))

    reads = [read(tmp_path / name) for name in ("log", "log.csv", "log2.csv.gz")]

    first = in_order(reads[0])
    assert first.schema == CANONICAL
    assert first["product"].to_pylist() == [str(product) for product in table["product_id"].to_pylist()]
    assert all(in_order(log).equals(first) for log in reads)
    assert {log.report.rows_read for log in reads} == {5_000}
    assert len({log.report.last_us for log in reads}) == 1


def test_rows_that_break_the_schema_are_set_aside_and_the_rest_is_read(tmp_path, monkeypatch):
    table = log(1_000)
    prices = table["price"].to_numpy().copy()
    prices[[3, 900]] = -1.0
    path = tmp_path / "log.parquet"
    pq.write_table(table.set_column(5, "price", pa.array(prices)), path, row_group_size=100)
    monkeypatch.setattr(log_files, "PART_ROWS", 300)

    events = read(path)

    assert in_order(events).num_rows == events.report.rows_kept == 998
    assert events.report.reasons == {"bad_price": 2}
    written = pq.read_table(tmp_path / "q" / "rejected.parquet").to_pylist()
    assert sorted(row["event_time"] for row in written) == [
        "2019-10-01 00:00:03.000000Z",
        "2019-10-01 00:15:00.000000Z",
    ]
    assert {row["source"] for row in written} == {str(path)}


def test_a_log_with_too_many_bad_rows_is_refused_and_they_can_be_looked_at(tmp_path):
    lines = ["event_time,event_type,product_id,price,user_id,user_session"]
    lines += ["2019-10-01 00:00:00 UTC,view,1,2.5,7,s-1"] * 97 + ["2019-10-01,view,1,2.5,7,s-1", "what,is,this"]
    path = tmp_path / "log.csv"
    path.write_text("\n".join(lines))

    with pytest.raises(EventLogError, match=r"2 of 99 rows break the schema.*: bad_row 1, bad_time 1"):
        read(path)
    report = read(path, max_quarantine_ratio=0.05).report

    assert report.rows_kept == 97
    assert pq.read_table(report.quarantine).num_rows == 2


def test_a_file_that_is_damaged_inside_is_refused_in_one_line(tmp_path, console):
    path = tmp_path / "log.parquet"
    pq.write_table(log(20_000), path, write_page_checksum=True)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)

    with pytest.raises(EventLogError, match=r"^cannot read .*log\.parquet: .*CRC") as refused:
        read(path)

    assert type(refused.value) is EventLogError
    assert console.getvalue() == ""


def test_reading_leaves_the_console_to_the_caller(tmp_path, console):
    path = tmp_path / "log.parquet"
    pq.write_table(log(10), path)

    read(path)
    while_reading = console.getvalue()
    ray.data.range(10).materialize()

    assert while_reading == ""
    assert "execution finished" in console.getvalue()


def test_a_csv_of_blank_lines_has_no_rows(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("event_time,event_type,product_id,price,user_id,user_session\n\n\n")

    with pytest.raises(EventLogError, match="has no rows"):
        read(path)


def test_a_log_without_purchases_is_refused_for_learning(tmp_path):
    pq.write_table(log(50, kinds=("view",)), tmp_path / "log.parquet")

    with pytest.raises(EventLogError, match=r"no purchases \(50 view\)"):
        require_purchases(read(tmp_path / "log.parquet").report)


def test_rows_of_the_future_are_set_aside(tmp_path):
    table = log(100)
    pq.write_table(table, tmp_path / "log.parquet")
    present = START_US + 89 * SECOND_US

    events = read(tmp_path / "log.parquet", bounds=Bounds(latest_us=present), max_quarantine_ratio=0.2)

    assert (events.report.rows_kept, events.report.reasons) == (90, {"future_time": 10})
    assert events.span_us[1] == present


@pytest.mark.parametrize("off", [-4_000, 40, 9_000])
def test_a_stray_time_moves_neither_end_of_the_log(tmp_path, off):
    table = log(3_000)
    times = table["event_time"].cast(pa.int64()).to_numpy().copy()
    times[5] += off * DAY_US
    pq.write_table(
        table.set_column(0, "event_time", pa.array(times, pa.timestamp("us", "UTC"))), tmp_path / "log.parquet"
    )

    events = read(tmp_path / "log.parquet")

    assert events.report.reasons == {"stray_time": 1}
    assert events.span_us == (START_US, START_US + 2_999 * SECOND_US)
    assert pq.read_table(events.report.quarantine)["reason"].to_pylist() == ["stray_time"]
    assert in_order(events).num_rows == 2_999


def test_the_real_logs_lose_no_row(tmp_path):
    for name in (STORE_LOG, SAMPLE):
        (tmp_path / name).symlink_to(shared_data(name).resolve())
    store, sample = read(tmp_path / STORE_LOG), read(tmp_path / SAMPLE)

    order = [(name, "ascending") for name in CANONICAL.names]
    assert in_order(store).sort_by(order).equals(store_table().select(CANONICAL.names).combine_chunks().sort_by(order))
    assert store.report.kinds == {"view": 97_002, "cart": 26_967, "remove_from_cart": 3_349, "purchase": 6_884}
    assert (sample.report.rows_kept, sample.report.rows_rejected) == (17_434, 0)
    assert sample.report.kinds == {"view": 17_055, "cart": 165, "purchase": 214}
