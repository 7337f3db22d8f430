"""A log on its way into training: read and made into examples, unless an earlier run did that for the same log."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import ray

from common.catalog import Catalog, ContinuedHistory
from common.clock import DAY_US, SECOND_US, to_iso
from common.daycounts import brand_key, category_key, merged, product_key
from common.errors import EventLogError
from common.eventlog import Bounds
from common.log_files import find_files
from common.log_values import PAST_TIME_US
from common.quarantine import FILE, ReadReport
from training.example_making import Labels, Made, make_store
from training.example_shelf import MANIFEST, identity_of, making, manifest_of, remove_unless_open, shelve
from training.examples import Examples, open_examples
from training.outages import Outage, find_outages
from training.progress import Progress, Stage
from training.reading import SortedLog, read_events, require_purchases
from training.state import State

MAX_AHEAD_US = DAY_US
"""How much later than the present an event may be: clocks and time zones differ by less."""

_MINUTE_US = 60 * SECOND_US
_NAMES = {"products": product_key(""), "brands": brand_key(""), "categories": category_key("")}


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
    now_us: int,
    known: Catalog | None = None,
) -> Log:
    """Read a log and replay it into examples, or open those that the same log was made into before.

    Args:
        events: files and directories.
        state: where the examples are kept.
        horizon_us: how long after as_of a purchase counts.
        max_quarantine_ratio: the share of rows that are no events above which the log is refused.
        progress: shows it.
        now_us: the present; rows more than `MAX_AHEAD_US` later are no events.
        known: the catalog of the bundle that these examples will judge.

    Raises:
        EventLogError: the log cannot be used, or no decision point of it has a label.
    """
    shelf = state.directory / "examples"
    bounds = Bounds(latest_us=min(now_us + MAX_AHEAD_US, PAST_TIME_US))
    with progress.stage("look for examples") as stage:
        identity = identity_of(find_files(events), horizon_us=horizon_us, known=_fingerprint(known))
        report = _report_of(shelf / identity, state.quarantine, bounds)
        stage.note("made before from the same log" if report else "none of this log")
    if report is None:
        with making(shelf) as work:
            log = _read(events, work, state, max_quarantine_ratio, bounds, progress)
            report = log.report
            with progress.stage("make examples") as stage:
                _make(log, horizon_us, known or Catalog.empty(), work, stage)
            shelve(work / "store", shelf, identity)
    report.require_usable(max_quarantine_ratio)
    examples = open_examples(shelf / identity)
    progress.print(_points_note(examples))
    _require_points(examples, report, horizon_us)
    return Log(report, examples)


def _read(
    events: Sequence[Path], work: Path, state: State, max_quarantine_ratio: float, bounds: Bounds, progress: Progress
) -> SortedLog:
    (work / "events").mkdir()
    with progress.stage("read events") as stage:
        log = read_events(
            events,
            directory=work / "events",
            quarantine_dir=state.quarantine,
            max_quarantine_ratio=max_quarantine_ratio,
            bounds=bounds,
            told=lambda done, total: stage.show(f"{done:,} of {total:,} rows"),
        )
        stage.note(_read_note(log.report))
    require_purchases(log.report)
    return log


def _make(log: SortedLog, horizon_us: int, known: Catalog, work: Path, stage: Stage) -> None:
    """Write a complete store to `work / "store"`; its manifest last."""
    (work / "points").mkdir()
    (work / "store").mkdir()
    days = merged(log.day_counts())
    history = ContinuedHistory(known, days)
    outages = find_outages(log.activity)
    made = make_store(
        log,
        history,
        Labels(horizon_us, log.span_us[1], outages),
        work=work / "points",
        store=work / "store",
        cpus=int(ray.cluster_resources().get("CPU", 1)),
        told=lambda done, total: stage.show(f"{done:,} of {total:,} events"),
    )
    _write_manifest(work / "store", log.report, made, _names(days), outages)
    size = sum(file.stat().st_size for file in (work / "store").rglob("*") if file.is_file())
    stage.note(f"{sum(made.sizes):,} in {size / 2**20:,.0f} MiB on disk")


def _names(days: pa.Table) -> dict[str, int]:
    """How many products, brands and categories the counts of days name."""
    keys = days["key"].unique()
    return {name: int(pc.sum(pc.starts_with(keys, prefix)).as_py() or 0) for name, prefix in _NAMES.items()}


def _write_manifest(
    store: Path, report: ReadReport, made: Made, names: dict[str, int], outages: Sequence[Outage]
) -> None:
    if report.quarantine is not None:
        shutil.copy(report.quarantine, store / FILE)
    content = {
        "report": {**asdict(report), "quarantine": None},
        "sizes": made.sizes,
        "censored": made.censored,
        "unlabelled": made.unlabelled,
        "outages": outages,
        "counts": {"users": made.users, "sessions": made.sessions, **names},
    }
    (store / MANIFEST).write_text(json.dumps(content), encoding="utf-8")


def _report_of(store: Path, quarantine: Path, bounds: Bounds) -> ReadReport | None:
    """What was read when the store was made, its rows set aside put back; None where it can't be used.

    A row that was in the future then may be an event now.
    """
    manifest = manifest_of(store)
    if manifest is None:
        return None
    report = ReadReport(**manifest["report"])
    of_another_time = "future_time" in report.reasons or (report.last_us or 0) > bounds.latest_us
    if of_another_time and remove_unless_open(store):
        return None
    (quarantine / FILE).unlink(missing_ok=True)
    if not (store / FILE).exists():
        return report
    quarantine.mkdir(parents=True, exist_ok=True)
    shutil.copy(store / FILE, quarantine / FILE)
    return ReadReport(**{**manifest["report"], "quarantine": quarantine / FILE})


def _fingerprint(known: Catalog | None) -> str:
    if known is None:
        return ""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "catalog.parquet"
        known.write(path)
        return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()


def _require_points(examples: Examples, report: ReadReport, horizon_us: int) -> None:
    if len(examples):
        return
    covered = _span((report.last_us or 0) - (report.first_us or 0))
    in_outages = f" and {examples.unlabelled:,} look into an outage" if examples.unlabelled else ""
    raise EventLogError(
        f"all {examples.censored:,} decision points are censored{in_outages}: the log covers {covered}, "
        f"and a label needs {_span(horizon_us)} after its point",
        remedy="Give a longer log: at least two weeks",
    )


def _read_note(report: ReadReport) -> str:
    kinds = ", ".join(f"{count:,} {name}" for name, count in report.kinds.items())
    aside = f"; {report.rows_rejected:,} rows set aside in {report.quarantine}" if report.rows_rejected else ""
    return f"{report.rows_read:,} rows: {kinds}{aside}"


def _points_note(examples: Examples) -> str:
    bought = f"{int(examples.y.sum()):,} bought"
    note = f"{len(examples):,} decision points, {bought}; {examples.censored:,} more are censored"
    for outage in examples.outages:
        span = f"{to_iso(outage.start_us)[:16]} to {to_iso(outage.end_us)[:16]}"
        note += f"\nno purchases from {span}, where {outage.expected_orders:,.0f} orders were to be expected: an outage"
    return f"{note}; {examples.unlabelled:,} points that look into it have no label" if examples.outages else note


def _span(duration_us: int) -> str:
    hours, minutes = divmod(duration_us // _MINUTE_US, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"
