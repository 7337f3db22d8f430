"""Where rows that are no events go, and when there are too many of them."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from common.errors import EventLogError
from common.eventlog import CHECKED, check, set_aside
from common.quarantine import SCHEMA, ReadReport, collect, digest

SECOND_US = 1_000_000


def block(first_s: int, kinds: list[str], prices: list[float]) -> pa.Table:
    """A checked block with an event each second."""
    size = len(kinds)
    raw = {
        "event_time": pa.array([(1_569_888_000 + first_s + at) * SECOND_US for at in range(size)], pa.timestamp("us")),
        "event_type": kinds,
        "product_id": list(range(size)),
        "price": prices,
        "user_id": ["ann"] * size,
        "user_session": ["s-1"] * size,
    }
    return check(pa.table(raw), source="a.parquet")


def collected(blocks: list[pa.Table], directory: Path) -> ReadReport:
    """The report of some blocks."""
    return collect(map(digest, blocks), directory)


def test_sums_up_what_was_read(tmp_path):
    blocks = [
        block(10, ["view", "cart"], [1.0, -1.0]),
        CHECKED.empty_table(),
        block(5, ["view", "purchase"], [1.0, 2.0]),
    ]

    report = collected(blocks, tmp_path)

    assert (report.rows_read, report.rows_kept, report.rows_rejected) == (4, 3, 1)
    assert report.kinds == {"view": 2, "purchase": 1}
    assert report.purchases == 1
    assert report.reasons == {"bad_price": 1}
    assert (report.first_us, report.last_us) == (1_569_888_005 * SECOND_US, 1_569_888_010 * SECOND_US)


def test_rows_set_aside_are_written_with_reason_source_and_content(tmp_path):
    line = set_aside([{"reason": "bad_row", "source": "b.csv", "line": "a,b"}])

    report = collected([block(0, ["view", "click"], [1.0, 2.5]), line], tmp_path / "q")

    assert report.quarantine == tmp_path / "q" / "rejected.parquet"
    written = pq.read_table(report.quarantine)
    assert written.schema == SCHEMA
    rows = [{name: value for name, value in row.items() if value is not None} for row in written.to_pylist()]
    assert rows == [
        {
            "reason": "unknown_event_type",
            "source": "a.parquet",
            "event_time": "2019-10-01 00:00:01.000000",
            "event_type": "click",
            "product_id": "1",
            "price": "2.5",
            "user_id": "ann",
            "user_session": "s-1",
        },
        {"reason": "bad_row", "source": "b.csv", "line": "a,b"},
    ]


def test_what_an_earlier_run_set_aside_does_not_linger(tmp_path):
    collected([block(0, ["click"], [1.0])], tmp_path)

    report = collected([block(0, ["view"], [1.0])], tmp_path)

    assert report.quarantine is None
    assert list(tmp_path.iterdir()) == []


def test_as_many_rows_as_allowed_may_break_the_schema_and_not_one_more(tmp_path):
    report = ReadReport(rows_kept=99, reasons={"bad_time": 1}, quarantine=tmp_path)

    report.require_usable(0.01)
    with pytest.raises(EventLogError):
        report.require_usable(0.0099)


def test_too_many_bad_rows_are_told_by_reason_with_where_they_are(tmp_path):
    report = collected([block(0, ["view", "click", "view"], [1.0, 1.0, -1.0])], tmp_path)

    with pytest.raises(EventLogError) as refused:
        report.require_usable(0.01)

    assert str(refused.value) == (
        "2 of 3 rows break the schema, more than 1.00%: unknown_event_type 1, bad_price 1. "
        f"Look at them in {tmp_path / 'rejected.parquet'}; mend the log, or allow more with "
        "--max-quarantine-ratio"
    )
    assert refused.value.details["reasons"] == {"unknown_event_type": 1, "bad_price": 1}


def test_a_log_without_rows_is_refused(tmp_path):
    with pytest.raises(EventLogError, match="has no rows"):
        collected([CHECKED.empty_table()], tmp_path).require_usable(1.0)
