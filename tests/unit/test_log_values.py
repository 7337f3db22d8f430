"""Times, ids, prices and texts as logs hold them: read in every usual form, or set aside."""

from decimal import Decimal

import pyarrow as pa
import pytest

from tests.log_rows import OCTOBER_US, column, events, log, reasons, rejects


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
