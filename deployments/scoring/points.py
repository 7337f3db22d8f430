"""Questions given in files: which users, sessions and products, as of when, and which can't be asked.

Columns: user_id, user_session, product_id, as_of (a time in UTC). Optional: price, category_code and brand, used
where the log has no event that shows them; kind (view or cart), handed through. Others are ignored.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv

from common import log_values
from common.errors import InputError
from common.events import EventKind
from common.log_files import SUFFIXES, format_of
from deployments.scoring.output import REJECTED

REQUIRED = ("user_id", "user_session", "product_id", "as_of")
OPTIONAL = ("price", "category_code", "brand", "kind")
COLUMNS = (*REQUIRED, *OPTIONAL)

POINTS = pa.schema(
    [
        ("user", pa.string()),
        ("session", pa.string()),
        ("product", pa.string()),
        ("as_of_us", pa.int64()),
        ("kind", pa.int8()),
        ("price", pa.float64()),
        ("category", pa.string()),
        ("brand", pa.string()),
    ]
)
"""A question that can be asked; kind, price, category and brand are null where the file has none."""

REASONS = {
    "bad_row": "a CSV line with another number of fields than the header",
    "bad_user_id": "user_id is missing or no id: 1 to 100 characters of A-Z a-z 0-9 _ . : @ -",
    "bad_session_id": "user_session is missing or no id",
    "bad_product_id": "product_id is missing or no id",
    "bad_time": "as_of is missing, no time in a known form, or outside 2000 to 2099",
    "no_context": "the log has no event of the user on the product up to as_of, and the point has no price of its own",
}
"""Why a point can be rejected; one with several defects counts for the first of them."""

BATCH_ROWS = 65_536
PART_ROWS = 1_000_000
"""About how many points of a Parquet file one task reads."""


class Part(NamedTuple):
    """What one task reads: a CSV file, or some row groups of a Parquet file."""

    path: str
    first_group: int = 0
    groups: int = 0


class Checked(NamedTuple):
    """A block of points: those that can be asked (`POINTS`), and the others (`REJECTED`)."""

    points: pa.Table
    rejected: pa.Table


def plan_points(path: Path) -> list[Part]:
    """The parts of a file of points, or of all such files in a directory; reads no rows.

    Raises:
        InputError: a missing or unreadable file, no file of a known kind, or columns that are missing.
    """
    files = _files_at(path)
    parts: list[Part] = []
    for file in files:
        try:
            parts.extend(_parquet_parts(file) if format_of(file) == "parquet" else _csv_parts(file))
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(file, error) from error
    if not parts:
        raise InputError(
            f"{path} has no points", remedy="Give at least one, or leave out --points to score the log's own"
        )
    return parts


def read_points(part: Part) -> Iterator[Checked]:
    """The points of a part, block by block.

    Raises:
        InputError: the file is damaged.
    """
    try:
        yield from _parquet_blocks(part) if part.groups else _csv_blocks(Path(part.path))
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(Path(part.path), error) from error


def check(raw: pa.Table) -> Checked:
    """Points and rejected points of a block with at least the columns `REQUIRED`; never raises on what values hold."""
    raw = raw.combine_chunks()
    given = {name: _column(raw, name) for name in COLUMNS}
    values = {
        "user": log_values.ids(given["user_id"]),
        "session": log_values.ids(given["user_session"]),
        "product": log_values.ids(given["product_id"]),
        "as_of_us": log_values.times_us(given["as_of"]),
        "kind": _view_or_cart(log_values.kinds(given["kind"])),
        "price": log_values.prices(given["price"]),
        "category": _optional_label(given["category_code"]),
        "brand": _optional_label(given["brand"]),
    }
    reasons = np.full(raw.num_rows, "", dtype=object)
    for name, reason in _NEEDED.items():
        wrong = values[name].is_null().to_numpy(zero_copy_only=False)
        reasons[wrong & (reasons == "")] = reason
    bad = reasons != ""
    points = pa.table([values[field.name].cast(field.type) for field in POINTS], schema=POINTS)
    if not bad.any():
        return Checked(points, REJECTED.empty_table())
    texts = {name: log_values.as_text(column).filter(pa.array(bad)) for name, column in given.items()}
    return Checked(points.filter(pa.array(~bad)), rejected_rows(reasons[bad].tolist(), texts))


def rejected_rows(reasons: Iterable[str], columns: dict[str, pa.Array]) -> pa.Table:
    """Rows of `REJECTED`; columns that are not given are null."""
    why = pa.array(list(reasons), pa.string())
    arrays = {"reason": why, **columns}
    return pa.table(
        [
            arrays[name].cast(pa.string()) if name in arrays else pa.nulls(len(why), pa.string())
            for name in REJECTED.names
        ],
        schema=REJECTED,
    )


_NEEDED = {
    "user": "bad_user_id",
    "session": "bad_session_id",
    "product": "bad_product_id",
    "as_of_us": "bad_time",
}


def _column(raw: pa.Table, name: str) -> pa.Array:
    if name not in raw.column_names:
        return pa.nulls(raw.num_rows)
    column = raw[name]
    array = column.chunk(0) if column.num_chunks else pa.array([], column.type)
    decoded, wrong = log_values.decoded(array)
    # text that is not UTF-8 comes back with backslashes, which no id, time or number has
    return (
        decoded
        if wrong is None or name in ("category_code", "brand")
        else pc.if_else(wrong, pa.scalar("\\", pa.large_string()), decoded)
    )


def _view_or_cart(kinds: pa.Array) -> pa.Array:
    return pc.if_else(pc.less_equal(kinds, int(EventKind.CART)), kinds, pa.scalar(None, pa.int8()))


def _optional_label(column: pa.Array) -> pa.Array:
    return pc.if_else(column.is_null(), pa.scalar(None, pa.large_string()), log_values.labels(column))


def _files_at(path: Path) -> list[Path]:
    if path.is_dir():
        files = [file for file in sorted(path.rglob("*")) if format_of(file) and not file.name.startswith((".", "_"))]
    else:
        files = [path]
    if not path.exists():
        raise InputError(f"no points at {path}", remedy="Check the path")
    if not files or format_of(files[0]) is None:
        raise InputError(f"{path} holds no points", remedy=f"Name a file of {', '.join(SUFFIXES)}")
    return files


def _parquet_parts(path: Path) -> list[Part]:
    footer = pq.read_metadata(path)
    _require_columns(footer.schema.to_arrow_schema().names, path)
    parts: list[Part] = []
    first = rows = 0
    for group in range(footer.num_row_groups):
        rows += footer.row_group(group).num_rows
        if rows and (rows >= PART_ROWS or group + 1 == footer.num_row_groups):
            parts.append(Part(str(path), first, group + 1 - first))
            first, rows = group + 1, 0
    return parts


def _csv_parts(path: Path) -> list[Part]:
    with _open_csv(path, []) as reader:
        _require_columns(reader.schema.names, path)
        return [Part(str(path))] if any(batch.num_rows for batch in reader) else []


def _require_columns(names: list[str], path: Path) -> None:
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        raise InputError(
            f"{path} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}",
            remedy=f"Points have {', '.join(REQUIRED)}",
        )


def _parquet_blocks(part: Part) -> Iterator[Checked]:
    with pq.ParquetFile(part.path) as file:
        present = [name for name in COLUMNS if name in file.schema_arrow.names]
        groups = list(range(part.first_group, part.first_group + part.groups))
        for batch in file.iter_batches(BATCH_ROWS, row_groups=groups, columns=present, use_threads=False):
            yield check(pa.Table.from_batches([batch]))


def _csv_blocks(path: Path) -> Iterator[Checked]:
    bad_lines: list[str] = []
    with _open_csv(path, bad_lines) as reader:
        for batch in reader:
            yield check(_with_integer_ids(pa.Table.from_batches([batch])))
    if bad_lines:
        lines = rejected_rows(["bad_row"] * len(bad_lines), {"line": pa.array(bad_lines, pa.string())})
        yield Checked(POINTS.empty_table(), lines)


def _open_csv(path: Path, bad_lines: list[str]) -> csv.CSVStreamingReader:
    """The rows of a CSV file as text; lines that are no rows are added to `bad_lines`."""

    def skip(row: csv.InvalidRow) -> str:
        bad_lines.append(row.text)
        return "skip"

    return csv.open_csv(
        path,
        csv.ReadOptions(use_threads=False, block_size=8 * 2**20),
        csv.ParseOptions(invalid_row_handler=skip),
        # ids must stay text: 007 is no 7; an empty field is a missing value
        csv.ConvertOptions(
            column_types=dict.fromkeys(COLUMNS, pa.string()), strings_can_be_null=True, null_values=[""]
        ),
    )


def _with_integer_ids(raw: pa.Table) -> pa.Table:
    """Ids that a tool wrote as 541312140.0, since it held integers as floats, as integers again."""
    for name in ("user_id", "user_session", "product_id"):
        integers = pc.replace_substring_regex(raw[name], r"^(-?[0-9]+)\.0$", r"\1")
        raw = raw.set_column(raw.column_names.index(name), name, integers)
    return raw


def _unreadable(path: Path, error: Exception) -> InputError:
    reason = str(error).strip().splitlines()[0][:200].rstrip(".") if str(error).strip() else type(error).__name__
    return InputError(f"cannot read {path}: {reason}", remedy="The file is damaged or no table of points")
