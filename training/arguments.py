"""The arguments that several commands share, and types of arguments that say what they want."""

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

SEED = 7
HALF_LIFE_DAYS = 45.0
MARGIN, CONTACT_COST, CAUSED_SHARE = 1.0, 0.1, 1.0

Number = TypeVar("Number", int, float)


def _number(read: Callable[[str], Number], wanted: str, fits: Callable[[Number], bool]) -> Callable[[str], Number]:
    def read_fitting(text: str) -> Number:
        try:
            number = read(text)
        except ValueError:
            number = None
        if number is None or not fits(number):
            raise argparse.ArgumentTypeError(f"it must be {wanted}, not {text!r}")
        return number

    return read_fitting


positive = _number(float, "a number above 0", lambda number: 0.0 < number < math.inf)
not_negative = _number(float, "a number of 0 or more", lambda number: 0.0 <= number < math.inf)
share = _number(float, "a number from 0 to 1", lambda number: 0.0 <= number <= 1.0)
part = _number(float, "a number above 0 and at most 1", lambda number: 0.0 < number <= 1.0)
at_least_one = _number(int, "a whole number of at least 1", lambda number: number >= 1)
whole = _number(int, "a whole number", lambda _: True)


def add_log_arguments(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Which log is read, how dirty it may be, and where Ray runs."""
    parser.add_argument(
        "--events",
        type=Path,
        nargs="+",
        required=required,
        metavar="PATH",
        help="event logs: Parquet, CSV or CSV.gz files, or directories of them",
    )
    parser.add_argument(
        "--max-quarantine-ratio",
        type=share,
        default=0.01,
        metavar="SHARE",
        help="refuse a log of which more rows than this share break the schema (default: %(default)s)",
    )
    parser.add_argument("--address", help="a running Ray cluster, also RAY_ADDRESS; a new local one if not given")


def add_horizon(parser: argparse.ArgumentParser) -> None:
    """What is predicted."""
    parser.add_argument(
        "--label-horizon-h",
        type=positive,
        default=24.0,
        metavar="H",
        help="a purchase within so many hours is what is predicted (default: %(default)s)",
    )


def add_search_arguments(parser: argparse.ArgumentParser, *, trials: int, time_budget_s: float) -> None:
    """How long is searched, and by what a recipe is judged."""
    parser.add_argument(
        "--trials", type=at_least_one, default=trials, metavar="N", help="trials of each model (default: %(default)s)"
    )
    parser.add_argument(
        "--time-budget-s",
        type=not_negative,
        default=time_budget_s,
        metavar="S",
        help="seconds after which the search ends with the best so far (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=whole, default=SEED, metavar="N", help="of the searches and the fits (default: %(default)s)"
    )
    parser.add_argument(
        "--latency-budget-ms",
        type=positive,
        metavar="MS",
        help="what a member may take for 32 rows on one thread; slower trials cannot win (default: no limit)",
    )
    parser.add_argument(
        "--half-life-days",
        type=not_negative,
        default=HALF_LIFE_DAYS,
        metavar="DAYS",
        help="points weigh half as much when they are so much older; 0: all weigh the same (default: %(default)s)",
    )
    parser.add_argument(
        "--margin",
        type=positive,
        default=MARGIN,
        metavar="MONEY",
        help="what a purchase earns, for the threshold by profit (default: %(default)s)",
    )
    parser.add_argument(
        "--contact-cost",
        type=not_negative,
        default=CONTACT_COST,
        metavar="MONEY",
        help="what it costs to contact a shopper, in the same currency (default: %(default)s)",
    )
    parser.add_argument(
        "--caused-share",
        type=part,
        default=CAUSED_SHARE,
        metavar="SHARE",
        help="the share of the purchases after a contact that would not have been without it; only an experiment can "
        "tell, and 1 is the most there can be (default: %(default)s)",
    )
