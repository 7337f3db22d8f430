"""`python -m training simulate`: write the event log of a simulated shop, and the truth about it.

The log has the public REES46 columns; the truth has, for each decision point, the exact probability that the shopper
buys within 24 hours, given what was observable. docs/simulator.md says how the shop works and how near it is to a
real one.
"""

import argparse
import contextlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from common.clock import from_datetime
from common.errors import ConfigError
from training.arguments import at_least_one, whole
from training.shop.batch import Batch
from training.shop.traffic import Plan, batches, world_of
from training.shop.write import Written, write

DEFAULT_START = datetime(2026, 1, 5, tzinfo=UTC)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `simulate`."""
    parser.add_argument("--out", type=Path, required=True, metavar="PATH", help="write the log here (.parquet)")
    parser.add_argument(
        "--truth",
        type=Path,
        metavar="PATH",
        help="write the decision points with their true purchase probability and label here (.parquet)",
    )
    parser.add_argument(
        "--events",
        type=at_least_one,
        default=100_000,
        metavar="N",
        help="about how many events (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=whole, default=7, metavar="N", help="the same seed gives the same log (default: %(default)s)"
    )
    parser.add_argument(
        "--start",
        type=_date,
        default=DEFAULT_START,
        metavar="DATE",
        help=f"first day of the log, UTC (default: {DEFAULT_START:%Y-%m-%d})",
    )
    parser.add_argument(
        "--days",
        type=at_least_one,
        default=60,
        metavar="N",
        help="days of traffic; more events mean more shoppers, not days (default: %(default)s)",
    )
    parser.add_argument(
        "--products", type=at_least_one, default=400, metavar="N", help="products on sale (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> None:
    """Simulate and write, with a progress bar on stderr.

    Raises:
        ConfigError: an option that cannot be met.
    """
    plan = Plan(
        events=args.events, seed=args.seed, start_us=from_datetime(args.start), days=args.days, products=args.products
    )
    console = Console(stderr=True, highlight=False)
    written = simulate(plan, args.out, args.truth, console=console)
    console.print(f"{written.events:,} events {span_of(args.out)} in {args.out}", soft_wrap=True)
    if args.truth is not None:
        console.print(f"{written.points:,} decision points with their true probability in {args.truth}", soft_wrap=True)


def simulate(plan: Plan, log: Path, truth: Path | None = None, *, console: Console | None = None) -> Written:
    """Write a log and, if asked, its truth; a run that fails leaves neither behind.

    Raises:
        ConfigError: paths that cannot be written, or a plan that cannot be met.
    """
    paths = [log] if truth is None else [log, truth]
    _require_places(paths)
    world = world_of(plan)
    drafts = [path.with_name(f".{path.name}.part") for path in paths]
    try:
        with _shown(plan.events, batches(plan, world), console) as shown:
            written = write(plan, world.assortment, shown, drafts[0], drafts[1] if truth is not None else None)
        for draft, path in zip(drafts, paths, strict=True):
            draft.replace(path)
    except OSError as error:
        raise ConfigError(f"cannot write {log}: {error.strerror}", remedy="Choose another path") from error
    finally:
        for draft in drafts:
            draft.unlink(missing_ok=True)
    return written


def span_of(log: Path) -> str:
    """From when to when a written log goes, in words."""
    about = pq.read_metadata(log)
    times = [about.row_group(number).column(0).statistics for number in range(about.num_row_groups)]
    first, last = min(of.min for of in times), max(of.max for of in times)
    return f"from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC"


def _require_places(paths: list[Path]) -> None:
    for path in paths:
        if not path.parent.is_dir():
            raise ConfigError(f"{path.parent} is not a folder", remedy="Create it, or choose another path")
        if path.suffix != ".parquet" or path.is_dir():
            raise ConfigError(f"{path} is not the name of a Parquet file", remedy="Choose a name ending in .parquet")
    if len({path.resolve() for path in paths}) < len(paths):
        raise ConfigError("--out and --truth are the same file", remedy="Give two paths")


@contextlib.contextmanager
def _shown(total: int, simulated: Iterable[Batch], console: Console | None) -> Iterator[Iterable[Batch]]:
    told = console is not None and console.is_terminal  # elsewhere the bar would be an empty line
    columns = (TextColumn("simulating"), BarColumn(), TextColumn("{task.completed:,.0f} events"), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not told, transient=True) as progress:
        task = progress.add_task("", total=total)

        def counted() -> Iterator[Batch]:
            for batch in simulated:
                progress.advance(task, batch.events.size)
                yield batch

        yield counted()


def _date(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date like 2026-01-05") from None
