"""A simulated log and its truth as Parquet: the public REES46 columns, and one row for each decision point."""

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from common.clock import DAY_US
from common.events import NAME_BY_KIND, EventKind
from training.shop.assortment import BRANDS, CATEGORIES, Assortment
from training.shop.batch import Batch
from training.shop.record import EVENT, Rows
from training.shop.spool import Spool
from training.shop.traffic import Plan

HORIZON_US = DAY_US
ROWS_PER_SLICE = 500_000

LOG_SCHEMA = pa.schema(
    [
        ("event_time", pa.timestamp("us", tz="UTC")),
        ("event_type", pa.string()),
        ("product_id", pa.int64()),
        ("category_id", pa.int64()),
        ("category_code", pa.string()),
        ("brand", pa.string()),
        ("price", pa.float64()),
        ("user_id", pa.int64()),
        ("user_session", pa.string()),
    ]
)
TRUTH_SCHEMA = pa.schema(
    [
        ("user_id", pa.int64()),
        ("user_session", pa.string()),
        ("product_id", pa.int64()),
        ("as_of", pa.timestamp("us", tz="UTC")),
        ("kind", pa.string()),
        ("true_probability", pa.float64()),
        ("label", pa.bool_()),
    ]
)
"""`label` is null where the horizon of the decision point reaches past the end of the log."""

POINT = np.dtype(
    [
        ("as_of_us", "i8"),
        ("user", "i4"),
        ("session", "i4"),
        ("product", "i4"),
        ("kind", "i1"),
        ("bought", "?"),
        ("truth", "f8"),
    ]
)


class Written(NamedTuple):
    """How much was written."""

    events: int
    points: int


def points_of(meetings: Rows) -> Rows:
    """The decision points of meetings, POINT rows: first the views, then the carts."""
    kinds = ((EventKind.VIEW, "view_us", "view_truth"), (EventKind.CART, "cart_us", "cart_truth"))
    return np.concatenate([_points(meetings, *kind) for kind in kinds])


def write(plan: Plan, assortment: Assortment, batches: Iterable[Batch], log: Path, truth: Path | None) -> Written:
    """Write the events in order of time to `log` and, if asked, the truth to `truth`; memory stays flat.

    Rows wait beside the log in a temporary directory, some 30 bytes each, until all shoppers are through.
    """
    span = (plan.start_us, plan.end_us)
    slices = max(1, plan.events // ROWS_PER_SLICE)
    identity = Identity(plan.seed)
    with TemporaryDirectory(prefix=".simulate-", dir=log.parent) as directory:
        events = Spool(Path(directory), EVENT, "time_us", span, slices)
        points = Spool(Path(directory), POINT, "as_of_us", span, slices)
        for batch in batches:
            events.add(batch.events)
            if truth is not None:
                points.add(points_of(batch.meetings))
        with pq.ParquetWriter(log, LOG_SCHEMA, compression="zstd") as file:
            for rows in events.slices():
                file.write_table(log_table(rows, assortment, identity))
        if truth is not None:
            with pq.ParquetWriter(truth, TRUTH_SCHEMA, compression="zstd") as file:
                for rows in points.slices():
                    file.write_table(truth_table(rows, assortment, identity, events.last_us))
        return Written(events.rows, points.rows)


class Identity:
    """Ids as a log has them: numbers for users, UUIDs for sessions, both scattered by the seed and never equal."""

    def __init__(self, seed: int) -> None:
        self._key = _mixed(np.array([seed], np.uint64))[0]

    def users(self, number: NDArray[np.int32]) -> NDArray[np.int64]:
        """Ids below 2**48; an odd factor is a bijection of them."""
        with np.errstate(over="ignore"):
            spread = number.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + self._key
        return np.asarray(spread & np.uint64((1 << 48) - 1), np.int64)

    def sessions(self, number: NDArray[np.int32]) -> pa.Array:
        """UUID-shaped strings."""
        unique, place = np.unique(number, return_inverse=True)
        low = _mixed(unique.astype(np.uint64) ^ self._key)
        text = np.column_stack([low, _mixed(low ^ self._key)]).astype(">u8").tobytes().hex()
        names = [_dashed(text[i : i + 32]) for i in range(0, len(text), 32)]
        return pa.array(names, pa.string()).take(pa.array(place))


def log_table(rows: Rows, assortment: Assortment, identity: Identity) -> pa.Table:
    """EVENT rows in `LOG_SCHEMA`."""
    product = rows["product"]
    category = assortment.category[product]
    brand = pa.array(assortment.brand[product], mask=assortment.brand[product] < 0)
    columns = [
        pa.array(rows["time_us"]).cast(LOG_SCHEMA.field("event_time").type),
        pa.array([NAME_BY_KIND[kind] for kind in EventKind]).take(pa.array(rows["kind"])),
        pa.array(assortment.product_id[product]),
        pa.array(category.astype(np.int64) * 1_000_003 + 2_053_013),
        pa.array([entry.code for entry in CATEGORIES]).take(pa.array(category)),
        pa.array(BRANDS).take(brand),
        pa.array(rows["cents"] / 100.0),
        pa.array(identity.users(rows["user"])),
        identity.sessions(rows["session"]),
    ]
    return pa.Table.from_arrays(columns, schema=LOG_SCHEMA)


def truth_table(rows: Rows, assortment: Assortment, identity: Identity, log_end_us: int) -> pa.Table:
    """POINT rows in `TRUTH_SCHEMA`."""
    censored = rows["as_of_us"] + HORIZON_US > log_end_us
    columns = [
        pa.array(identity.users(rows["user"])),
        identity.sessions(rows["session"]),
        pa.array(assortment.product_id[rows["product"]]),
        pa.array(rows["as_of_us"]).cast(TRUTH_SCHEMA.field("as_of").type),
        pa.array(["view", "cart"]).take(pa.array(rows["kind"])),
        pa.array(rows["truth"]),
        pa.array(rows["bought"], mask=censored),
    ]
    return pa.Table.from_arrays(columns, schema=TRUTH_SCHEMA)


def _points(meetings: Rows, kind: EventKind, time: str, truth: str) -> Rows:
    of = meetings[meetings[time] > 0]
    rows = np.empty(of.size, POINT)
    for name in ("user", "session", "product", "bought"):
        rows[name] = of[name]
    rows["as_of_us"], rows["kind"], rows["truth"] = of[time], kind, of[truth]
    return rows


def _dashed(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A bijection of 64-bit numbers that scatters them (SplitMix64; Steele, Lea and Flood 2014)."""
    with np.errstate(over="ignore"):
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))
