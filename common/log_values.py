"""How the values of one column of an event log become canonical, a whole column at a time.

A column has whatever type its file gave it. The functions give an array of the same length that is null
exactly where a value cannot be used; none of them raises on any content of a column, since text that is
not a time, a number or an id is an ordinary input here.
"""

from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from common.clock import from_datetime
from common.events import ID_PATTERN, KIND_BY_NAME, MAX_PRICE, MAX_TEXT

FIRST_TIME_US = from_datetime(datetime(2000, 1, 1, tzinfo=UTC))
PAST_TIME_US = from_datetime(datetime(2100, 1, 1, tzinfo=UTC))
"""Times lie in [FIRST_TIME_US, PAST_TIME_US): anything else is a broken clock or another unit."""

_EXACT_FLOAT = 2.0**53  # from here on neighbouring integers share one float, so a float is no id any more
_TICKS_PER_S = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}

_TIME = (
    r"^(?:19|20|21)[0-9]{2}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])[ T]"
    r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?"
)
_TIME_IN_UTC = _TIME + r"(?: ?(?:UTC|GMT|Z))?$"
_TIME_WITH_OFFSET = _TIME + r" ?[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?$"
_NUMBER = r"^[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?$"
_ID = f"^{ID_PATTERN}$"
_WHOLE = r"^-?[0-9]+$"

_TEXT = pa.large_string()  # 64-bit offsets: no content of a block overflows them


def decoded(column: pa.Array) -> tuple[pa.Array, pa.Array | None]:
    """A column whose text is UTF-8, and where it was not (bool, or None for nowhere).

    Bytes that are not UTF-8 are written as backslash escapes. Columns without text come back as they are.
    """
    if pt.is_dictionary(column.type):
        values, wrong = decoded(column.dictionary)
        where = None if wrong is None else pc.fill_null(wrong.take(column.indices), False)
        return values.take(column.indices), where
    if not (_is_text(column.type) or _is_bytes(column.type)):
        return column, None
    raw = column.cast(pa.large_binary())
    try:
        return raw.cast(_TEXT), None
    except pa.ArrowInvalid:
        pairs = [_decode(value) for value in raw.to_pylist()]
        return pa.array([text for text, _ in pairs], _TEXT), pa.array([wrong for _, wrong in pairs], pa.bool_())


def as_text(column: pa.Array) -> pa.Array:
    """Every value as text, null for null and for NaN; a float that holds an integer reads as the integer."""
    kind = column.type
    if pt.is_dictionary(kind):
        return as_text(column.dictionary).take(column.indices)
    if pt.is_floating(kind):
        return _float_text(column)
    if pt.is_timestamp(kind):
        column = column.cast(pa.timestamp(kind.unit, kind.tz and "UTC"))
    try:
        return column.cast(_TEXT)
    except pa.ArrowException:  # a type of its own, such as a list
        return pa.array([_python_text(value) for value in column], _TEXT)


def ids(column: pa.Array) -> pa.Array:
    """Ids as text; null where missing, not of `ID_PATTERN`, or a number that is no exact integer."""
    if pt.is_dictionary(column.type):
        return ids(column.dictionary).take(column.indices)
    if pt.is_integer(column.type):
        return column.cast(_TEXT)
    if pt.is_floating(column.type) or pt.is_decimal(column.type):
        return _only(_WHOLE, pc.replace_substring_regex(as_text(column), r"\.0+$", ""))
    return _per_value(lambda values: _only(_ID, as_text(values)), column)


def labels(column: pa.Array) -> pa.Array:
    """Free text such as a brand; "" where missing, null where longer than `MAX_TEXT` characters."""
    text = pc.fill_null(as_text(column), "")
    return pc.if_else(pc.less_equal(pc.utf8_length(text), MAX_TEXT), text, pa.scalar(None, _TEXT))


def kinds(column: pa.Array) -> pa.Array:
    """Event types as int8 `EventKind`; null where unknown."""
    codes = pa.array([int(kind) for kind in KIND_BY_NAME.values()], pa.int8())
    return codes.take(pc.index_in(as_text(column), pa.array(list(KIND_BY_NAME), _TEXT)))


def prices(column: pa.Array) -> pa.Array:
    """Prices as float64 in [0, MAX_PRICE]; null elsewhere."""
    if _is_text(column.type) or pt.is_dictionary(column.type):
        numbers = _per_value(lambda values: _only(_NUMBER, as_text(values)).cast(pa.float64()), column)
    elif pt.is_integer(column.type) or pt.is_floating(column.type) or pt.is_decimal(column.type):
        numbers = column.cast(pa.float64(), safe=False)
    else:
        return pa.nulls(len(column), pa.float64())
    fits = pc.and_(pc.greater_equal(numbers, 0.0), pc.less_equal(numbers, MAX_PRICE))
    return pc.if_else(fits, pc.add(numbers, 0.0), pa.scalar(None, pa.float64()))  # -0.0 + 0.0 is 0.0


def times_us(column: pa.Array) -> pa.Array:
    """Times as int64 UTC microseconds in [FIRST_TIME_US, PAST_TIME_US); null elsewhere.

    A time without a zone is UTC. A date without a time of day is no time of an event.
    """
    if pt.is_timestamp(column.type):
        return _instants_us(column)
    if _is_text(column.type) or pt.is_dictionary(column.type):
        return _per_value(_text_times_us, column)
    return pa.nulls(len(column), pa.int64())


def _per_value(parse: Callable[[pa.Array], pa.Array], column: pa.Array) -> pa.Array:
    """What `parse` makes of a column, worked out once for every distinct value."""
    encoded = column.cast(_TEXT).dictionary_encode() if _is_text(column.type) else column
    if pt.is_dictionary(encoded.type):
        return parse(encoded.dictionary).take(encoded.indices)
    return parse(column)


def _only(pattern: str, text: pa.Array) -> pa.Array:
    return pc.if_else(pc.match_substring_regex(text, pattern), text, pa.scalar(None, _TEXT))


def _float_text(column: pa.Array) -> pa.Array:
    numbers = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    whole = (np.abs(numbers) < _EXACT_FLOAT) & (numbers == np.floor(numbers))
    as_integers = pa.array(np.where(whole, numbers, 0.0).astype(np.int64)).cast(_TEXT)
    text = pc.if_else(pa.array(whole), as_integers, pa.array(numbers).cast(_TEXT))
    return pc.if_else(pa.array(np.isnan(numbers)), pa.scalar(None, _TEXT), text)


def _instants_us(column: pa.Array) -> pa.Array:
    ticks_per_s = _TICKS_PER_S[column.type.unit]
    ticks = column.cast(pa.int64())
    first, past = (limit // 1_000_000 * ticks_per_s for limit in (FIRST_TIME_US, PAST_TIME_US))
    sane = pc.and_(pc.greater_equal(ticks, first), pc.less(ticks, past))
    kept = pc.if_else(sane, ticks, pa.scalar(None, pa.int64()))
    if ticks_per_s > 1_000_000:
        return pc.divide(kept, ticks_per_s // 1_000_000)
    return pc.multiply(kept, 1_000_000 // ticks_per_s)


def _text_times_us(values: pa.Array) -> pa.Array:
    if not _is_text(values.type):
        return times_us(values)
    text = values.cast(_TEXT)
    in_utc = pc.fill_null(pc.match_substring_regex(text, _TIME_IN_UTC), False)
    ready = pc.binary_join_element_wise(pc.utf8_rtrim(text, " UTCGMZ"), pa.scalar("Z", _TEXT), pa.scalar("", _TEXT))
    if not pc.all(in_utc, min_count=0).as_py():
        offset = _only(_TIME_WITH_OFFSET, text)
        ready = pc.if_else(in_utc, ready, pc.replace_substring_regex(offset, r" ([+-])", r"\1"))
    try:
        instants = ready.cast(pa.timestamp("ns", "UTC"))
    except pa.ArrowInvalid:  # a day that its month does not have
        instants = pa.array([_instant(value) for value in ready.to_pylist()], pa.timestamp("us", "UTC"))
    return _instants_us(instants)


def _instant(text: str | None) -> datetime | None:
    try:
        return None if text is None else datetime.fromisoformat(text)
    except ValueError:
        return None


def _python_text(value: pa.Scalar) -> str | None:
    try:
        return str(value.as_py()) if value.is_valid else None
    except (ValueError, OverflowError):  # a time in a list that Python cannot hold
        return "?"


def _decode(raw: bytes | None) -> tuple[str | None, bool]:
    try:
        return None if raw is None else raw.decode(), False
    except UnicodeDecodeError:
        return (raw or b"").decode(errors="backslashreplace"), True


def _is_text(kind: pa.DataType) -> bool:
    return bool(pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(
        pt.is_binary(kind) or pt.is_large_binary(kind) or pt.is_binary_view(kind) or pt.is_fixed_size_binary(kind)
    )
