"""What becomes of the rows of a log: an event each, or set aside with a reason."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

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
from tests.logs import STORE_LOG, canonical, histories, shared_data, store_table

OCTOBER_US = 1_569_888_000_000_000
"""2019-10-01 00:00:00 UTC."""

ROW: dict[str, Any] = {
    "event_time": "2019-10-01 00:00:00 UTC",
    "event_type": "view",
    "product_id": 44600062,
    "category_id": 2103807459595387724,
    "category_code": "appliances.kitchen",
    "brand": "shiseido",
    "price": 35.79,
    "user_id": 541312140,
    "user_session": "72d76fde-8bb3-4e00-8c23-a032dfed738c",
}


def log(*rows: dict[str, Any]) -> pa.Table:
    """Rows like `ROW` with the fields that are given instead."""
    return pa.Table.from_pylist([ROW | row for row in rows])


def column(name: str, values: pa.Array) -> pa.Table:
    """As many rows like `ROW` as there are values, with that column instead."""
    rows = log(*[{}] * len(values))
    return rows.set_column(rows.column_names.index(name), name, values)


def events(table: pa.Table) -> pa.Table:
    """The events of a raw table."""
    return kept(check(table, source="log.csv"))


def rejects(table: pa.Table) -> list[dict[str, str]]:
    """The rows of a raw table that are set aside."""
    return [json.loads(row) for row in check(table, source="log.csv")[REJECTED].drop_null().to_pylist()]


def reasons(table: pa.Table) -> list[str]:
    """Why rows of a raw table are set aside."""
    return [row["reason"] for row in rejects(table)]


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


@pytest.mark.parametrize(
    "text",
    [
        "2019-10-01 00:00:00 UTC",
        "2019-10-01 00:00:00",
        "2019-10-01T00:00:00Z",
        "2019-10-01T00:00:00.000000Z",
        "2019-10-01T02:00:00+02:00",
        "2019-09-30 14:30:00 -0930",
        "2019-10-01 01:00:00+01",
    ],
)
def test_times_are_read_in_every_usual_form(text: str):
    assert events(log({"event_time": text}, {}))["time_us"].to_pylist() == [OCTOBER_US, OCTOBER_US]


def test_times_keep_their_microseconds():
    texts = [f"2019-10-01 00:00:00.{fraction} UTC" for fraction in ("645", "000001", "999999999")]

    times = events(column("event_time", pa.array(texts)))["time_us"].to_pylist()

    assert times == [OCTOBER_US + 645_000, OCTOBER_US + 1, OCTOBER_US + 999_999]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
def test_timestamps_of_any_unit_and_zone_are_the_same_instant(unit: str, zone: str | None):
    instants = pa.array([OCTOBER_US], pa.timestamp("us")).cast(pa.timestamp(unit)).cast(pa.int64())

    table = column("event_time", instants.cast(pa.timestamp(unit, zone)))

    assert events(table)["time_us"].to_pylist() == [OCTOBER_US]


@pytest.mark.parametrize(
    "value",
    [
        *(None, "", "yesterday", "2019-10-01", "2019-02-30 00:00:00", "2019-10-01 24:00:00 UTC", "1999-12-31 23:59:59"),
        *(
            "2100-01-01 00:00:00",
            "2019-10-01 00:00:00 CET",
            "2019-10-01 00:00:00 UTC\n",
            "1569888000",
            "2019-10-1 0:0:0",
        ),
    ],
)
def test_what_is_no_time_is_set_aside_and_the_rows_beside_it_are_kept(value: str | None):
    table = log({}, {"event_time": value}, {"event_time": "2019-10-01 00:00:00Z"})

    assert reasons(table) == ["bad_time"]
    assert events(table)["time_us"].to_pylist() == [OCTOBER_US, OCTOBER_US]


@pytest.mark.parametrize(
    "values",
    [
        pa.array([-(2**63), 2**63 - 1, 0], pa.timestamp("s")),
        pa.array([-(2**63), 2**63 - 1, 0], pa.timestamp("ns", "UTC")),
        pa.array([18_000, 1, 0], pa.date32()),
        pa.array([1_569_888_000] * 3),
        pa.nulls(3),
    ],
)
def test_columns_that_hold_no_times_are_set_aside_whole(values: pa.Array):
    assert reasons(column("event_time", values)) == ["bad_time"] * 3


@pytest.mark.parametrize(
    "values",
    [
        pa.array([7, 2**53 + 1]),
        pa.array([7, 2**53 + 1], pa.uint64()),
        pa.array(["7", "9007199254740993"]),
        pa.array(["7", "9007199254740993"], pa.large_string()),
        pa.array(["7", "9007199254740993"], pa.string_view()),
        pa.array([b"7", b"9007199254740993"]),
        pa.array(["7", "9007199254740993"]).dictionary_encode(),
        pa.array([7, 2**53 + 1]).dictionary_encode(),
        pa.array([Decimal("7.00"), Decimal("9007199254740993.00")]),
    ],
)
@pytest.mark.parametrize(("name", "canonical_name"), [("product_id", "product"), ("user_id", "user")])
def test_ids_of_any_type_read_the_same(values: pa.Array, name: str, canonical_name: str):
    assert events(column(name, values))[canonical_name].to_pylist() == ["7", "9007199254740993"]


def test_integer_ids_that_a_tool_held_as_floats_are_integers_again():
    table = column("user_id", pa.array([541312140.0, None, 1.5, 1e17, float("inf"), float("nan")]))

    assert events(table)["user"].to_pylist() == ["541312140"]
    assert reasons(table) == ["bad_user_id"] * 5


@pytest.mark.parametrize("value", [None, "", "a b", "é", "x" * 101, "a\n"])
@pytest.mark.parametrize(
    ("name", "reason"),
    [("product_id", "bad_product_id"), ("user_id", "bad_user_id"), ("user_session", "bad_session_id")],
)
def test_what_is_no_id_is_set_aside(name: str, reason: str, value: str | None):
    assert reasons(column(name, pa.array(["fine_1", value]))) == [reason]


def test_prices_are_read_from_numbers_and_text_and_zero_is_one():
    texts = column("price", pa.array(["0", "-0.0", "12.50", "1e2", "100000"]))
    numbers = column("price", pa.array([0.0, -0.0, 12.5, 100.0, 100_000.0]))

    assert str(events(texts)["price"].to_pylist()) == "[0.0, 0.0, 12.5, 100.0, 100000.0]"
    assert events(numbers).equals(events(texts))


@pytest.mark.parametrize(
    "values",
    [
        pa.array([-0.01, 100_000.01, float("nan"), float("inf"), None]),
        pa.array(["-1", "1e999", "nan", "12,50", ""]),
        pa.array([True] * 5),
        pa.array([[1.0]] * 5),
    ],
)
def test_what_is_no_price_is_set_aside(values: pa.Array):
    assert reasons(column("price", values)) == ["bad_price"] * 5


@pytest.mark.parametrize("value", ["View", "click", "", None])
def test_unknown_event_types_are_set_aside(value: str | None):
    assert reasons(column("event_type", pa.array(["remove_from_cart", value]))) == ["unknown_event_type"]


def test_text_of_more_than_two_hundred_characters_is_set_aside():
    assert reasons(column("brand", pa.array(["é" * 200, "é" * 201]))) == ["text_too_long"]
    assert reasons(column("category_code", pa.array(["x" * 201]))) == ["text_too_long"]


def test_a_brand_column_without_text_is_missing_or_its_numbers():
    table = column("brand", pa.array([float("nan"), None, 3.0, 2.5]))

    assert events(table)["brand"].to_pylist() == ["", "", "3", "2.5"]


def test_bytes_that_are_not_utf8_are_set_aside_legibly():
    table = column("brand", pa.array([b"soci\xe9t\xe9", "société".encode(), None]))

    assert [(row["reason"], row["brand"]) for row in rejects(table)] == [("not_utf8", r"soci\xe9t\xe9")]
    assert events(table)["brand"].to_pylist() == ["société", ""]


def test_text_that_a_parquet_file_only_claims_to_be_utf8_is_set_aside():
    offsets = pa.array([0, 1, 2], pa.int32()).buffers()[1]
    claimed = pa.Array.from_buffers(pa.string(), 2, [None, offsets, pa.py_buffer(b"\xffa")])

    assert reasons(column("brand", claimed)) == ["not_utf8"]
    assert reasons(column("brand", claimed.dictionary_encode())) == ["not_utf8"]


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
