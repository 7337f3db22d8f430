"""Batch scoring: `python -m deployments score`.

The same vectors, bit for bit, and the same probabilities as over HTTP, for every decision point of a log or for
the points of a file. `deployments/scoring/` says how; it imports Ray, which takes seconds, so not before `run`.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from common.errors import ConfigError
from common.quarantine import MAX_RATIO
from deployments.registry import CHAMPION, find_bundle
from deployments.settings import Settings, load_settings

if TYPE_CHECKING:
    from deployments.scoring.pipeline import Job


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `run` reads to a parser."""
    parser.description = (
        "Score every decision point of an event log (first view and first cart of a product in a session), or the "
        "points of a file. Writes Parquet files with user_id, user_session, product_id, as_of, kind, "
        "purchase_probability, one column per member and bundle_version. Points that cannot be scored go to "
        "DIR/_rejected with a reason."
    )

    def add(option: str, text: str, **settings: Any) -> None:
        parser.add_argument(option, help=text, **settings)

    paths: dict[str, Any] = {"type": Path, "metavar": "PATH"}
    add("--events", "the log: Parquet, CSV or CSV.gz files, or directories of them", nargs="+", required=True, **paths)
    add(
        "--points",
        "what to score: Parquet or CSV with user_id, user_session, product_id, as_of (UTC), and optionally price, "
        "category_code and brand for products that the log does not show",
        **paths,
    )
    add("--out", "where to write: a new or empty directory", required=True, type=Path, metavar="DIR")
    add("--overwrite", "replace what an earlier run wrote to DIR", action="store_true")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--alias", help=f"score with the version of this alias (default: {CHAMPION})")
    which.add_argument("--version", metavar="V", help="score with this registered version")
    which.add_argument("--bundle", type=Path, metavar="DIR", help="score with the bundle in this directory")
    add("--with-features", "add the feature vector as column x", action="store_true")
    add("--batch-size", "rows that a member predicts at once (%(default)s)", type=int, default=8_192, metavar="N")
    add("--actors", "processes that hold the members (default: one for each CPU)", type=int, metavar="N")
    add("--address", "a running Ray cluster (default: RAY_ADDRESS, else one of our own on this machine)")
    add(
        "--max-quarantine-ratio",
        "the share of broken rows from which the log is refused (%(default)s)",
        type=float,
        default=MAX_RATIO,
        metavar="R",
    )


def run(args: argparse.Namespace) -> None:
    """Score as the command line says, show progress, and print one line at the end.

    Raises:
        CartcastError: an input, the bundle, the cluster or the output can't be used.
    """
    settings = load_settings()
    _require_positive(args.batch_size, "--batch-size")
    _require_positive(args.actors, "--actors")
    if not 0.0 <= args.max_quarantine_ratio <= 1.0:
        raise ConfigError(f"--max-quarantine-ratio is {args.max_quarantine_ratio}", remedy="Give a share from 0 to 1")
    if not (args.address or os.environ.get("RAY_ADDRESS")):
        # read when Ray is imported: a cluster of our own then listens on 127.0.0.1 alone (see deployments/cluster.py)
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    with _terminal_to_ourselves(settings.state_dir / "logs" / "score.log") as terminal:
        from rich.console import Console

        from deployments.scoring.pipeline import score
        from deployments.scoring.progress import ScoringProgress

        summary = score(_job(args, settings), ScoringProgress(Console(file=terminal, highlight=False)))
    print(summary.line())


def _job(args: argparse.Namespace, settings: Settings) -> "Job":
    from deployments.scoring.pipeline import Job

    return Job(
        events=args.events,
        bundle=args.bundle or find_bundle(settings, version=args.version, alias=args.alias).path,
        out=args.out,
        quarantine_dir=settings.state_dir / "quarantine" / "score",
        points=args.points,
        batch_size=args.batch_size,
        with_features=args.with_features,
        overwrite=args.overwrite,
        max_quarantine_ratio=args.max_quarantine_ratio,
        address=args.address,
        actors=args.actors,
    )


def _require_positive(value: int | None, option: str) -> None:
    if value is not None and value < 1:
        raise ConfigError(f"{option} is {value}", remedy="Give a number of at least 1")


@contextmanager
def _terminal_to_ourselves(log: Path) -> Iterator[IO[str]]:
    """The terminal behind stderr, while what libraries write to stderr goes to a log file.

    Ray's C++ core warns there about how Ray Data makes its actors, in every run, and no setting silences it.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stderr.flush()
    before = os.dup(2)
    try:
        with log.open("w", encoding="utf-8") as file, os.fdopen(os.dup(before), "w", encoding="utf-8") as terminal:
            os.dup2(file.fileno(), 2)
            yield terminal
    finally:
        sys.stderr.flush()
        os.dup2(before, 2)
        os.close(before)
