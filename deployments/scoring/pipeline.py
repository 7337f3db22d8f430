"""A scoring run from inputs to output: sort the log by user, then score range after range of users.

log    -> [tasks: check, count, sort by user bucket] -> partitions, counts by day
points -> [tasks: check, sort by user bucket]        -> partitions
ranges of user buckets -> [vectors] -> [members, vote, Parquet]   in one pool of actors
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import ray
import ray.data
from ray.data import ActorPoolStrategy

from common.bundle import open_bundle
from common.catalog import Catalog, ContinuedHistory
from common.feature_specs import SCHEMA_HASH
from common.log_files import Part, plan_parts
from common.partition import Range, ranges_of
from common.quarantine import MAX_RATIO
from deployments.scoring.cluster import errors_of_tasks, ray_cluster
from deployments.scoring.ensemble import RANGE, ROWS, ScoringActor
from deployments.scoring.output import REJECTED_DIR, Output, output_at
from deployments.scoring.points import Part as PointPart
from deployments.scoring.points import plan_points
from deployments.scoring.progress import ScoringProgress
from deployments.scoring.reading import SortedLog, SortedRows, sort_log, sort_points
from deployments.scoring.vectors import Inputs, featured

BATCH_ROWS = 8_192

RANGE_ROWS = 32_768
"""Events and points of one task at most: some 100 MB while they are Python objects."""


@dataclass(frozen=True)
class Job:
    """What to score, with what, and where to write it."""

    events: Sequence[Path]
    bundle: Path
    out: Path
    quarantine_dir: Path
    points: Path | None = None
    batch_size: int = BATCH_ROWS
    with_features: bool = False
    overwrite: bool = False
    max_quarantine_ratio: float = MAX_RATIO
    address: str | None = None
    actors: int | None = None


@dataclass
class Summary:
    """What a run came to; `stages_s` says how long each stage took."""

    version: str
    out: Path
    rows: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    elapsed_s: float = 0.0
    stages_s: dict[str, float] = field(default_factory=dict)

    def line(self) -> str:
        """The summary as one line for people."""
        rejected = f"{self.rejected.total():,} rejected"
        if self.rejected:
            reasons = ", ".join(f"{reason} {count:,}" for reason, count in self.rejected.most_common())
            rejected += f" ({reasons}; see {self.out / REJECTED_DIR})"
        rate = self.rows / self.elapsed_s if self.elapsed_s else 0.0
        return (
            f"scored {self.rows:,} rows in {self.elapsed_s:.1f} s ({rate:,.0f} rows/s), {rejected}, "
            f"bundle {self.version}, out {self.out}"
        )


def score(job: Job, progress: ScoringProgress) -> Summary:
    """Score a job's points; every one is in the output or among the rejected exactly once.

    Raises:
        CartcastError: an input, the bundle, the cluster or the output can't be used.
    """
    started_s = time.monotonic()
    # what is not there is said at once, before Ray has started
    parts = plan_parts(job.events)
    point_parts = None if job.points is None else plan_points(job.points)
    bundle = open_bundle(job.bundle, feature_schema=SCHEMA_HASH)
    catalog = Catalog.read(bundle.file("catalog.parquet"))
    summary = Summary(bundle.version, job.out)
    with output_at(job.out, overwrite=job.overwrite) as output, progress:
        progress.stage("starting Ray")
        with ray_cluster(job.address) as cpus:
            log, points = _sorted(job, parts, point_parts, output, progress)
            catalogs = ray.put(ContinuedHistory(catalog, log.days()))
            summary.rows = _score_ranges(job, output, log, points, catalogs, cpus, progress)
        summary.rejected = output.rejections()
        output.publish()
    summary.elapsed_s = time.monotonic() - started_s
    summary.stages_s = progress.stages_s
    return summary


def _sorted(
    job: Job,
    parts: Sequence[Part],
    point_parts: Sequence[PointPart] | None,
    output: Output,
    progress: ScoringProgress,
) -> tuple[SortedLog, SortedRows | None]:
    progress.stage("reading events")
    log = sort_log(
        parts,
        output.events,
        quarantine_dir=job.quarantine_dir,
        max_quarantine_ratio=job.max_quarantine_ratio,
        seen=progress.rows,
    )
    if point_parts is None:
        return log, None
    progress.stage("reading points")
    return log, sort_points(point_parts, output.points, output.rejected, seen=progress.rows)


def _score_ranges(
    job: Job,
    output: Output,
    log: SortedLog,
    points: SortedRows | None,
    catalogs: "ray.ObjectRef[ContinuedHistory]",
    cpus: int,
    progress: ScoringProgress,
) -> int:
    ranges = _ranges(log, points, cpus)
    if not ranges:
        return 0
    progress.stage("scoring", len(ranges))
    inputs = Inputs(log.paths, None if points is None else points.paths, str(output.rejected), catalogs)
    rows = 0
    with errors_of_tasks():
        for block in _scored(job, output, ranges, inputs, cpus).iter_batches(batch_format="pyarrow", batch_size=None):
            written = sum(block[ROWS].to_pylist())
            rows += written
            progress.rows(written, of_ranges=block[RANGE].to_pylist())
    return rows


def _ranges(log: SortedLog, points: SortedRows | None, cpus: int) -> list[Range]:
    # with points, the events of users that nobody asks about are never read
    sizes = log.sizes if points is None else log.sizes * (points.sizes > 0) + points.sizes
    # several rounds for every CPU, so that none is left with the last long task
    return ranges_of(sizes, min(RANGE_ROWS, max(1_024, int(sizes.sum()) // (4 * cpus))))


def _scored(job: Job, output: Output, ranges: list[Range], inputs: Inputs, cpus: int) -> ray.data.Dataset:
    """Stages that ask for the same resources run one after the other in the same actor: no vector leaves its process.

    Half a CPU, so that a Ray that kept them apart could still run one of each on a core.
    """
    return (
        ray.data.from_items([share._asdict() for share in ranges], override_num_blocks=len(ranges))
        .map_batches(featured, batch_format="pyarrow", batch_size=None, num_cpus=0.5, fn_kwargs={"inputs": inputs})
        .map_batches(
            ScoringActor,
            batch_format="pyarrow",
            batch_size=None,
            num_cpus=0.5,
            compute=ActorPoolStrategy(size=min(job.actors or cpus, len(ranges))),
            fn_constructor_args=(str(job.bundle.absolute()), str(output.parts)),
            fn_constructor_kwargs={"batch_size": job.batch_size, "with_features": job.with_features},
        )
    )
