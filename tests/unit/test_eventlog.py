"""What becomes of the rows of a log: an event each, or set aside with a reason."""

import json
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import EventLogError
from common.eventlog import (
    CANONICAL,
    CHECKED,
    REASONS,
    REJECTED,
    REQUIRED_COLUMNS,
    Bounds,
    check,
    kept,
    require_columns,
)
from common.events import KIND_BY_NAME, LOG_COLUMNS
from tests.log_rows import OCTOBER_US, ROW, column, events, log, reasons, rejects
from tests.logs import STORE_LOG, canonical, histories, shared_data, store_table


def test_a_row_becomes_one_canonical_event():
    (event,) = events(log({})).to_pylist()

    assert event == {
        "time_us": OCTOBER_US,
        "kind": 0,
        "product": "44600062",
        "category": "appliances.kitchen",
        "brand": "shiseido",
        "price": 35.79,
        "user": "541312140",
        "session": "72d76fde-8bb3-4e00-8c23-a032dfed738c",
    }


def test_columns_are_found_by_name_and_others_ignored():
    shuffled = log({}).select(sorted(LOG_COLUMNS)).append_column("price ", pa.array(["?"]))

    assert events(shuffled).equals(events(log({})))


def test_absent_and_missing_category_and_brand_are_empty():
    bare = log({}).select(REQUIRED_COLUMNS)
    missing = log({"category_code": None, "brand": ""})

    for table in (bare, missing):
        assert events(table).select(["category", "brand"]).to_pylist() == [{"category": "", "brand": ""}]


def test_exact_duplicates_stay_events_of_their_own():
    assert events(log({}, {}, {})).num_rows == 3


def test_a_row_set_aside_keeps_its_source_and_content_as_text():
    (row,) = rejects(log({}, {"price": -1.5, "category_code": None}))

    assert row == {
        "reason": "bad_price",
        "source": "log.csv",
        **{name: str(value) for name, value in ROW.items()},
        "price": "-1.5",
        "category_code": None,
    }


def test_a_row_with_several_defects_counts_for_the_first():
    assert reasons(log({"price": -1.0, "event_time": "", "user_id": None})) == ["bad_time"]


def test_content_of_rows_set_aside_is_cut():
    (row,) = rejects(column("user_session", pa.array(["x" * 5_000])))

    assert row["user_session"] == "x" * 1_000


@pytest.mark.parametrize(
    "values",
    [
        pa.array([[1], [2]]),
        pa.array([{"a": 1}, None]),
        pa.array([b"ab", b"cd"], pa.binary(2)),
        pa.array([[2**62], None], pa.list_(pa.timestamp("s"))),
        pa.array([1, 2], pa.duration("s")),
        pa.array([1, 2], pa.timestamp("us", "No/Zone")),
    ],
)
def test_columns_of_odd_types_do_not_stop_a_log(values: pa.Array):
    for name in LOG_COLUMNS:
        assert check(column(name, values), source="x").num_rows == 2


def test_an_empty_block_has_the_schema():
    assert check(log({}).slice(0, 0), source="x").equals(CHECKED.empty_table())


def test_missing_and_repeated_columns_are_named(tmp_path):
    with pytest.raises(EventLogError, match=r"lacks the columns price, user_id; it has event_time, .*, cost"):
        require_columns(["event_time", "event_type", "product_id", "user_session", "cost"], tmp_path)
    with pytest.raises(EventLogError, match="has brand more than once"):
        require_columns([*LOG_COLUMNS, "brand"], tmp_path)


TEXT = st.one_of(
    st.none(),
    st.text(max_size=30),
    st.sampled_from(
        ["2019-10-01 00:00:00 UTC", "2019-02-30T00:00:00Z", "2019-10-01 00:00:00+99", "view", "1.5", "a", "1e5"]
    ),
    st.from_regex(
        r"(19|20)\d\d-[0-3]\d-[0-3]\d[ T]\d\d:\d\d:\d\d(\.\d{1,10})?( UTC|Z|[+-]\d\d:?\d\d)?", fullmatch=True
    ),
    st.floats().map(str),
)


@settings(deadline=None)
@given(st.lists(st.tuples(*[TEXT] * len(LOG_COLUMNS)), max_size=12), st.booleans())
def test_no_row_is_lost_whatever_text_it_holds(rows: list[tuple[str | None, ...]], encoded: bool):
    columns = (
        [pa.array(values, pa.string()) for values in zip(*rows, strict=True)]
        if rows
        else [pa.array([], pa.string())] * 9
    )
    table = pa.table([values.dictionary_encode() if encoded else values for values in columns], names=list(LOG_COLUMNS))

    checked = check(table, source="x")

    assert checked.schema == CHECKED
    assert checked.num_rows == len(rows)
    assert kept(checked).num_rows + len(rejects(table)) == len(rows)
    assert all(kept(checked)[name].null_count == 0 for name in CANONICAL.names)
    assert {row["reason"] for row in rejects(table)} <= REASONS.keys()


@settings(deadline=None)
@given(st.datetimes(datetime(2000, 1, 1), datetime(2099, 12, 31)), st.timezones())
def test_iso_times_are_the_instants_that_python_reads(naive: datetime, zone):
    moment = naive.replace(tzinfo=zone)
    text = moment.isoformat()
    expected = round((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1e6)
    whole_minutes = moment.utcoffset().total_seconds() % 60 == 0
    in_range = 2000 <= moment.astimezone(UTC).year <= 2099

    times = events(log({"event_time": text}))["time_us"].to_pylist()

    assert times == ([expected] if whole_minutes and in_range else [])


@settings(deadline=None)
@given(histories())
def test_canonical_events_survive_the_way_through_a_log(history):
    expected = canonical({"ann": history}).select(CANONICAL.names)

    assert events(as_log(expected)).equals(expected)
    assert events(as_csv_text(as_log(expected))).equals(expected)


def as_log(table: pa.Table) -> pa.Table:
    """Canonical events in the public columns, with nulls where category or brand is missing."""
    names = pa.array(list(KIND_BY_NAME))
    missing = pa.scalar(None, pa.string())
    return pa.table(
        {
            "event_time": table["time_us"].cast(pa.timestamp("us", "UTC")),
            "event_type": names.take(table["kind"].combine_chunks()),
            "product_id": table["product"],
            "category_code": pc.if_else(pc.equal(table["category"], ""), missing, table["category"]),
            "brand": pc.if_else(pc.equal(table["brand"], ""), missing, table["brand"]),
            "price": table["price"],
            "user_id": table["user"],
            "user_session": table["session"],
        }
    )


def as_csv_text(table: pa.Table) -> pa.Table:
    """A log with every value as CSV holds it."""
    texts = {name: pc.fill_null(table[name].cast(pa.string()), "") for name in table.column_names}
    return pa.table(texts)


def test_every_row_of_the_rees46_sample_is_an_event():
    table = pq.read_table(shared_data("rees46_2019-10-01_sample.parquet"))

    assert events(table).num_rows == table.num_rows == 17_434
    assert pc.sum(pc.equal(events(table)["price"], 0.0)).as_py() == 19


def test_the_store_log_reads_as_it_is():
    table = pq.read_table(shared_data(STORE_LOG))

    assert events(table).equals(store_table().select(CANONICAL.names))


def test_times_out_of_bounds_are_set_aside_by_what_they_are():
    times = [f"2019-10-{day:02d} 00:00:00" for day in (1, 2, 3, 4, 5)]
    day_us = 86_400_000_000
    bounds = Bounds(latest_us=OCTOBER_US + 3 * day_us, first_us=OCTOBER_US + 1, last_us=OCTOBER_US + 2 * day_us)

    checked = check(column("event_time", pa.array(times)), source="log.csv", bounds=bounds)

    assert kept(checked)["time_us"].to_pylist() == [OCTOBER_US + day_us, OCTOBER_US + 2 * day_us]
    rows = [json.loads(row) for row in checked[REJECTED].drop_null().to_pylist()]
    assert [(row["event_time"], row["reason"]) for row in rows] == [
        (times[0], "stray_time"),
        (times[3], "stray_time"),
        (times[4], "future_time"),
    ]
