"""Where the rows of a log that are no events go, how many there were, and when that is too many.

Blocks are digested where they lie (`digest`); only the digests, and so only counts and rows set aside, travel
to the one process that writes the quarantine file.
"""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from common.errors import EventLogError
from common.eventlog import REASONS, REJECTED, kept
from common.events import LOG_COLUMNS, NAME_BY_KIND

FILE = "rejected.parquet"
SCHEMA = pa.schema([(name, pa.string()) for name in ("reason", "source", *LOG_COLUMNS, "line")])
"""A row set aside: why, from which file, its columns as text; `line` is a CSV line that has no columns."""

MAX_RATIO = 0.01
"""The share of rows that may break the schema before a run stops."""

_DIGEST = pa.schema([("counts", pa.string()), (REJECTED, pa.string())])


@dataclass(frozen=True)
class ReadReport:
    """What was read: every row is an event or set aside.

    `kinds` counts events by name and `reasons` the rows set aside, both without zeros; `first_us` and `last_us`
    are the times of the first and the last event; `quarantine` is the file of the rows set aside, if there are any.
    """

    rows_kept: int
    kinds: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    first_us: int | None = None
    last_us: int | None = None
    quarantine: Path | None = None

    @property
    def rows_rejected(self) -> int:
        """The rows that were set aside."""
        return sum(self.reasons.values())

    @property
    def rows_read(self) -> int:
        """All rows of the log."""
        return self.rows_kept + self.rows_rejected

    @property
    def purchases(self) -> int:
        """The purchases among the events."""
        return self.kinds.get("purchase", 0)

    def require_usable(self, max_quarantine_ratio: float) -> None:
        """Refuse a log without rows, or with more than that share of rows set aside.

        Raises:
            EventLogError: names the counts by reason and the quarantine file.
        """
        if not self.rows_read:
            raise EventLogError("the event log has no rows", remedy="Give a log with events in it")
        if self.rows_rejected <= max_quarantine_ratio * self.rows_read:
            return
        counts = ", ".join(f"{reason} {count:,}" for reason, count in self.reasons.items())
        raise EventLogError(
            f"{self.rows_rejected:,} of {self.rows_read:,} rows break the schema, "
            f"more than {max_quarantine_ratio:.2%}: {counts}",
            remedy=f"Look at them in {self.quarantine}; mend the log, or allow more with --max-quarantine-ratio",
            reasons=self.reasons,
            quarantine=str(self.quarantine),
        )


def digest(block: pa.Table) -> pa.Table:
    """The counts of a checked block, and its rows set aside; made for `map_batches`."""
    events = kept(block)
    span = pc.min_max(events["time_us"]).as_py()
    kinds = {NAME_BY_KIND[row["values"]]: row["counts"] for row in pc.value_counts(events["kind"]).to_pylist()}
    counts = {"rows_kept": events.num_rows, "kinds": kinds, "first_us": span["min"], "last_us": span["max"]}
    rejected = block[REJECTED].drop_null().to_pylist()
    return pa.table(
        [[json.dumps(counts)] + [None] * len(rejected), [None, *rejected]],
        schema=_DIGEST,
    )


def collect(digests: Iterable[pa.Table], directory: Path) -> ReadReport:
    """Write the rows set aside to `directory` and sum up; what an earlier run left there is replaced.

    The rows pass through one digest at a time.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / FILE
    path.unlink(missing_ok=True)
    counts: list[dict[str, Any]] = []
    reasons: Counter[str] = Counter()
    writer: pq.ParquetWriter | None = None
    try:
        for table in digests:
            counts.extend(json.loads(text) for text in table["counts"].drop_null().to_pylist())
            rows = [json.loads(text) for text in table[REJECTED].drop_null().to_pylist()]
            reasons.update(row["reason"] for row in rows)
            if rows:
                writer = writer or pq.ParquetWriter(path, SCHEMA)
                writer.write_table(pa.Table.from_pylist(rows, schema=SCHEMA))
    finally:
        if writer is not None:
            writer.close()
    return _summed(counts, reasons, path)


def _summed(counts: list[dict[str, Any]], reasons: Counter[str], path: Path) -> ReadReport:
    kinds: Counter[str] = Counter()
    for block in counts:
        kinds.update(block["kinds"])
    times_us = [block[end] for block in counts for end in ("first_us", "last_us") if block[end] is not None]
    return ReadReport(
        rows_kept=sum(block["rows_kept"] for block in counts),
        kinds={name: kinds[name] for name in NAME_BY_KIND.values() if kinds[name]},
        reasons={reason: reasons[reason] for reason in REASONS if reasons[reason]},
        first_us=min(times_us, default=None),
        last_us=max(times_us, default=None),
        quarantine=path if reasons else None,
    )
