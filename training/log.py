"""A log on its way into training: read, made into examples, and described for whoever meets the bundle later."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.catalog import Catalog
from common.clock import to_iso
from common.errors import EventLogError
from common.events import Event
from common.quarantine import ReadReport
from common.replay import decision_of
from training.examples import Examples, make_examples
from training.progress import Progress
from training.reading import quiet_ray_data, read_events, require_purchases
from training.split import PARTS, Split
from training.state import State

_MINUTE_US = 60_000_000


@dataclass(frozen=True)
class Log:
    """A log that was read and made into examples."""

    report: ReadReport
    examples: Examples


def read_log(
    events: Sequence[Path],
    *,
    state: State,
    horizon_us: int,
    max_quarantine_ratio: float,
    progress: Progress,
    known: Catalog | None = None,
) -> Log:
    """Read a log and replay it into examples; `known` is the catalog of the bundle that these will judge.

    Raises:
        EventLogError: the log cannot be used, or no decision point of it has its whole horizon inside.
    """
    with progress.stage("read events") as stage:
        dataset, report = read_events(
            events, quarantine_dir=state.quarantine, max_quarantine_ratio=max_quarantine_ratio
        )
        stage.note(_read_note(report))
    require_purchases(report)
    first_us, last_us = report.first_us or 0, report.last_us or 0
    with progress.stage("make examples") as stage, quiet_ray_data():
        examples = make_examples(dataset, horizon_us=horizon_us, log_end_us=last_us, known=known)
        bought = f"{int(examples.y.sum()):,} bought"
        stage.note(f"{len(examples):,} decision points, {bought}; {examples.censored:,} more are censored")
    if not len(examples):
        raise EventLogError(
            f"all {examples.censored:,} decision points are censored: the log covers {_span(last_us - first_us)}, "
            f"and a label needs {_span(horizon_us)} after its point",
            remedy="Give a longer log: at least two weeks",
        )
    return Log(report, examples)


def data_card(log: Log, split: Split, sources: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a bundle says of its data: files, rows, times, parts, and a request that fits the shop."""
    examples, report = log.examples, log.report
    return {
        "sources": [dict(source) for source in sources],
        "rows": {"read": report.rows_read, "kept": report.rows_kept, "kinds": report.kinds},
        "quarantine": report.reasons,
        "time_range": [to_iso(report.first_us or 0), to_iso(report.last_us or 0)],
        "points": len(examples),
        "censored": examples.censored,
        "parts": {
            part: {
                "from": to_iso(split.span_us[part][0]),
                "to": to_iso(split.span_us[part][1]),
                "points": len(examples.y[split.rows[part]]),
                "bought": int(examples.y[split.rows[part]].sum()),
            }
            for part in PARTS
        },
        "sample_request": sample_request(examples),
    }


def sample_request(examples: Examples) -> dict[str, Any]:
    """The newest decision point with a category and a brand, as the body of a request."""
    named = np.flatnonzero((examples.category != "") & (examples.brand != ""))
    row = int(named[-1]) if len(named) else len(examples) - 1
    as_of_us = int(examples.as_of_us[row])
    texts = {name: str(getattr(examples, name)[row]) for name in ("product", "session", "category", "brand")}
    event = Event(time_us=as_of_us, kind=int(examples.kind[row]), price=float(examples.price[row]), **texts)
    decision = decision_of(str(examples.user[row]), event, as_of_us)
    return {
        "user_id": decision.user,
        "session_id": decision.session,
        "product_id": decision.product,
        "category_code": decision.category,
        "brand": decision.brand,
        "price": decision.price,
        "hour": decision.hour,
        "day_of_week": decision.day_of_week,
        "is_weekend": decision.is_weekend,
    }


def _read_note(report: ReadReport) -> str:
    kinds = ", ".join(f"{count:,} {name}" for name, count in report.kinds.items())
    aside = f"; {report.rows_rejected:,} rows set aside in {report.quarantine}" if report.rows_rejected else ""
    return f"{report.rows_read:,} rows: {kinds}{aside}"


def _span(duration_us: int) -> str:
    hours, minutes = divmod(duration_us // _MINUTE_US, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"
