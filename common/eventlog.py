"""The canonical event log: what `check` makes of a block of rows as a file holds them.

A row either becomes one canonical row (`CANONICAL`) or is set aside with a reason and its original content;
none is dropped and exact duplicates stay events of their own. The public REES46 columns are read, in any order;
further columns are ignored. `category_id`, `category_code` and `brand` may be absent, which reads as missing;
`category_id` is kept for rows set aside only.

    common/log_files.py     finds log files, cuts them into parts and reads these block by block
    common/log_csv.py       the lines of a CSV file
    common/log_values.py    the values of one column
    common/quarantine.py    where rows set aside go, and when there are too many
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from common import log_values
from common.errors import EventLogError
from common.events import LOG_COLUMNS

REQUIRED_COLUMNS = ("event_time", "event_type", "product_id", "price", "user_id", "user_session")

CANONICAL = pa.schema(
    [
        ("time_us", pa.int64()),
        ("kind", pa.int8()),
        ("product", pa.string()),
        ("category", pa.string()),
        ("brand", pa.string()),
        ("price", pa.float64()),
        ("user", pa.string()),
        ("session", pa.string()),
    ]
)
"""An event as the rest of the code reads it: nothing is null, a missing category or brand is ""."""

REJECTED = "rejected"
CHECKED = CANONICAL.append(pa.field(REJECTED, pa.string()))
"""A block after `check`: `rejected` is null for an event; else it is a row set aside, as JSON, and the rest is null."""

REASONS = {
    "bad_row": "another number of fields than the header, or a quote that its line does not close",
    "not_utf8": "text that is not UTF-8",
    "bad_time": "event_time is missing, no time in a known form, or outside 2000 to 2099",
    "future_time": "event_time is more than a day after the present",
    "stray_time": "event_time is days apart from the log, at one of its ends, with hardly any other row near it",
    "unknown_event_type": "event_type is none of view, cart, remove_from_cart, purchase",
    "bad_product_id": "product_id is missing or no id: 1 to 100 characters of A-Z a-z 0-9 _ . : @ -",
    "bad_user_id": "user_id is missing or no id",
    "bad_session_id": "user_session is missing or no id",
    "bad_price": "price is missing, no number, or outside 0 to 100,000",
    "text_too_long": "category_code or brand is longer than 200 characters",
}
"""Why a row can be set aside. A row with several defects counts for the first of them."""

MAX_KEPT_CHARACTERS = 1_000
"""Values of rows set aside are cut here, so that a broken file cannot fill the disk twice."""

_COLUMNS = {
    "time_us": (log_values.times_us, "event_time", "bad_time"),
    "kind": (log_values.kinds, "event_type", "unknown_event_type"),
    "product": (log_values.ids, "product_id", "bad_product_id"),
    "user": (log_values.ids, "user_id", "bad_user_id"),
    "session": (log_values.ids, "user_session", "bad_session_id"),
    "price": (log_values.prices, "price", "bad_price"),
    "category": (log_values.labels, "category_code", "text_too_long"),
    "brand": (log_values.labels, "brand", "text_too_long"),
}
_MAX_SHOWN_CHARACTERS = 300  # of the names of a file's columns
_CODES = {reason: code for code, reason in enumerate(REASONS)}
_KEEP = len(REASONS)


class Bounds(NamedTuple):
    """Which times a log may have: none after `latest_us`, the future; none outside of `first_us` to `last_us`."""

    latest_us: int = log_values.PAST_TIME_US
    first_us: int = log_values.FIRST_TIME_US
    last_us: int = log_values.PAST_TIME_US


ANY_TIME = Bounds()

Codes = NDArray[np.uint8]
"""For every row the position of its reason in `REASONS`, or `_KEEP`."""


def check(raw: pa.Table, *, source: str, bounds: Bounds = ANY_TIME) -> pa.Table:
    """The rows of a block in the schema `CHECKED`, as many as there were; never raises on what values hold.

    Args:
        raw: a block with at least `REQUIRED_COLUMNS`.
        source: the file that it comes from, kept with the rows that are set aside.
        bounds: rows of another time are no events.
    """
    blocks = (_check(batch, source, bounds) for batch in raw.to_batches())
    return pa.concat_tables([CHECKED.empty_table(), *blocks])


def require_columns(found: Sequence[str], path: Path) -> None:
    """Refuse a file that lacks a required column or has one of the log's columns twice.

    Raises:
        EventLogError: says which columns are missing and what the file has.
    """
    missing = [name for name in REQUIRED_COLUMNS if name not in found]
    twice = [name for name in LOG_COLUMNS if list(found).count(name) > 1]
    if not missing and not twice:
        return
    fault = f"lacks the columns {', '.join(missing)}" if missing else f"has {', '.join(twice)} more than once"
    shown = ", ".join(repr(name)[1:-1] for name in found)
    raise EventLogError(
        f"{path} {fault}; it has {shown[:_MAX_SHOWN_CHARACTERS] or 'none'}",
        remedy=f"Rename its columns to {', '.join(REQUIRED_COLUMNS)}",
        missing=missing,
    )


def set_aside(rows: Sequence[Mapping[str, str | None]]) -> pa.Table:
    """Rows that are no events, as a block of the schema `CHECKED`; each has at least `reason` and `source`."""
    nothing = {field.name: pa.nulls(len(rows), field.type) for field in CANONICAL}
    return pa.table({**nothing, REJECTED: pa.array([json.dumps(row) for row in rows], pa.string())}, schema=CHECKED)


def kept(block: pa.Table) -> pa.Table:
    """The events of a checked block, in the schema `CANONICAL`."""
    rejected = block[REJECTED]
    events = block if rejected.null_count == len(rejected) else block.filter(rejected.is_null())
    return events.select(CANONICAL.names)


def _check(raw: pa.RecordBatch, source: str, bounds: Bounds) -> pa.Table:
    columns, codes = _legible(raw)
    values = {}
    for name, (parse, column, reason) in _COLUMNS.items():
        absent = column not in columns and column not in REQUIRED_COLUMNS
        values[name] = parse(pa.nulls(raw.num_rows)) if absent else parse(columns[column])
        _mark(codes, values[name].is_null(), reason)
    _mark_times(codes, values["time_us"], bounds)
    events = pa.table([values[name] for name in CANONICAL.names], names=CANONICAL.names)
    bad = codes < _KEEP
    if not bad.any():
        return _as_checked(events)
    reasons = [list(REASONS)[code] for code in codes[bad]]
    rows = _originals({name: column.filter(pa.array(bad)) for name, column in columns.items()})
    aside = [{"reason": reason, "source": source, **row} for reason, row in zip(reasons, rows, strict=True)]
    return pa.concat_tables([_as_checked(events.filter(pa.array(~bad))), set_aside(aside)])


def _as_checked(events: pa.Table) -> pa.Table:
    return events.append_column(REJECTED, pa.nulls(events.num_rows, pa.string())).cast(CHECKED)


def _legible(raw: pa.RecordBatch) -> tuple[dict[str, pa.Array], Codes]:
    """The log's columns with their text as UTF-8, and the rows where it was not."""
    columns = {}
    codes = np.full(raw.num_rows, _KEEP, np.uint8)
    for name in LOG_COLUMNS:
        if name in raw.schema.names:
            columns[name], wrong = log_values.decoded(raw.column(name))
            if wrong is not None:
                _mark(codes, wrong, "not_utf8")
    return columns, codes


def _mark(codes: Codes, wrong: pa.Array, reason: str) -> None:
    """Note a reason where rows are wrong and have none that comes before it."""
    where = wrong.to_numpy(zero_copy_only=False)
    codes[where] = np.minimum(codes[where], _CODES[reason])


def _mark_times(codes: Codes, times_us: pa.Array, bounds: Bounds) -> None:
    """Note where times are out of bounds."""
    times = pc.fill_null(times_us, bounds.first_us).to_numpy(zero_copy_only=False)
    _mark(codes, pa.array(times > bounds.latest_us), "future_time")
    _mark(codes, pa.array((times < bounds.first_us) | (times > bounds.last_us)), "stray_time")


def _originals(columns: Mapping[str, pa.Array]) -> list[dict[str, str | None]]:
    """Rows as their file held them, every value as text."""
    texts = {name: log_values.as_text(column).to_pylist() for name, column in columns.items()}
    rows = zip(*texts.values(), strict=True)
    return [dict(zip(texts, (text and text[:MAX_KEPT_CHARACTERS] for text in row), strict=True)) for row in rows]
