"""The command line of training: train, simulate, ensure, evaluate, promote, rollback, list.

What a command needs is imported when it runs: Ray must find its environment set, and `list` need not wait for it.
"""

import argparse
import errno
import importlib
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from common.errors import CartcastError
from training import simulate

INTERRUPTED = 130
TRIALS, TIME_BUDGET_S = 16, 300.0
"""Of `train`: what a search is given by somebody who came to train."""

ENSURE_TRIALS, ENSURE_TIME_BUDGET_S = 4, 30.0
"""Of `ensure`: somebody wants to see it serve; the defaults are good, and are tried first."""
SEED = 7
HALF_LIFE_DAYS = 45.0
MARGIN, CONTACT_COST, CAUSED_SHARE = 1.0, 0.1, 1.0

_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES}
_DISK_REMEDY = "Make room, or set CARTCAST_STATE_DIR and TMPDIR to another place; --resume goes on with a search"

_EXAMPLES = """examples:
  python -m training simulate --out shop.parquet --truth shop-truth.parquet
  python -m training train --events logs/ --promote
  python -m training list
  python -m training evaluate --events next-month.parquet --version champion challenger
  python -m training promote 7
  python -m training rollback

Everything is kept below CARTCAST_STATE_DIR (state); MLFLOW_TRACKING_URI names a registry elsewhere, RAY_ADDRESS a
running cluster. Exit codes: 0 done, 2 an error that the last line names, 130 interrupted."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit code. 2 with one line on stderr for every error that is ours."""
    try:
        given = _parser().parse_args(arguments)
        given.run(given)
    except SystemExit as stop:  # after --help or wrong arguments, which argparse has explained
        return int(stop.code or 0)
    except CartcastError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.errno not in _OF_THE_DISK:
            raise
        print(f"error: {error.strerror}: {error.filename or 'the state directory'}. {_DISK_REMEDY}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training",
        description="From a shop's event log to a registered bundle of four calibrated models.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_train(commands)
    _add_simulate(commands)
    _add_ensure(commands)
    _add_evaluate(commands)
    _add_registry_commands(commands)
    return parser


def _add_train(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    train = commands.add_parser(
        "train",
        help="fit a bundle on an event log and register it",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Read the log, search each model's parameters, judge the recipe on the untouched last part, fit\n"
        "it on everything, and register the bundle as challenger. A report is written below state/reports.",
        epilog=_TRAIN_EXAMPLES,
    )
    _add_log_arguments(train)
    _add_horizon(train)
    _add_search_arguments(train, trials=TRIALS, time_budget_s=TIME_BUDGET_S)
    train.add_argument(
        "--truth", type=Path, metavar="PATH", help="true probabilities of a simulated shop, to be judged beside"
    )
    train.add_argument(
        "--resume", action="store_true", help="continue a search that was interrupted or killed, trials counted"
    )
    train.add_argument(
        "--promote",
        action="store_true",
        help="make it the champion if it passes the gates: better than the base rates, calibrated, fast enough, and "
        "not more than 1 %% worse than the champion on points that neither has learned",
    )
    train.set_defaults(run=_command("train"))


_TRAIN_EXAMPLES = """examples:
  train --events logs/ --promote                      retrain and take over, if it is not worse than what serves
  train --events logs/ --trials 60 --time-budget-s 1800   search longer: worth it once, the next run starts from it
  train --events logs/ --latency-budget-ms 2          no member may take more than 2 ms for 32 rows
  train --events logs/ --margin 12 --contact-cost 0.5 what a purchase earns and a contact costs, in your currency

Ctrl-C during the search keeps what it found: the same command with --resume goes on, and with --resume
--time-budget-s 0 it goes on to the final fits with the best so far. Refused by a gate? The last line says which, by
how much, and what to do; docs/promotion.md has the reasons."""


def _add_log_arguments(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
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
        type=_share,
        default=0.01,
        metavar="SHARE",
        help="refuse a log of which more rows than this share break the schema (default: %(default)s)",
    )
    parser.add_argument("--address", help="a running Ray cluster, also RAY_ADDRESS; a new local one if not given")


def _add_horizon(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--label-horizon-h",
        type=_positive,
        default=24.0,
        metavar="H",
        help="a purchase within so many hours is what is predicted (default: %(default)s)",
    )


def _add_search_arguments(parser: argparse.ArgumentParser, *, trials: int, time_budget_s: float) -> None:
    parser.add_argument(
        "--trials", type=_at_least_one, default=trials, metavar="N", help="trials of each model (default: %(default)s)"
    )
    parser.add_argument(
        "--time-budget-s",
        type=_not_negative,
        default=time_budget_s,
        metavar="S",
        help="seconds after which the search ends with the best so far (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=SEED, metavar="N", help="of the searches and the fits (default: %(default)s)"
    )
    parser.add_argument(
        "--latency-budget-ms",
        type=_positive,
        metavar="MS",
        help="what a member may take for 32 rows on one thread; slower trials cannot win (default: no limit)",
    )
    parser.add_argument(
        "--half-life-days",
        type=_not_negative,
        default=HALF_LIFE_DAYS,
        metavar="DAYS",
        help="points weigh half as much when they are so much older; 0: all weigh the same (default: %(default)s)",
    )
    parser.add_argument(
        "--margin",
        type=_positive,
        default=MARGIN,
        metavar="MONEY",
        help="what a purchase earns, for the threshold by profit (default: %(default)s)",
    )
    parser.add_argument(
        "--contact-cost",
        type=_not_negative,
        default=CONTACT_COST,
        metavar="MONEY",
        help="what it costs to contact a shopper, in the same currency (default: %(default)s)",
    )
    parser.add_argument(
        "--caused-share",
        type=_part,
        default=CAUSED_SHARE,
        metavar="SHARE",
        help="the share of the purchases after a contact that would not have been without it; only an experiment can "
        "tell, and 1 is the most there can be (default: %(default)s)",
    )


def _add_simulate(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = commands.add_parser(
        "simulate", help="write the event log of a simulated shop", description=simulate.__doc__
    )
    simulate.add_arguments(command)
    command.set_defaults(run=simulate.run)


def _add_ensure(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    ensure = commands.add_parser(
        "ensure",
        help="train and promote a champion unless there is one",
        description="Make sure that there is a champion to serve. Without --events one is trained on a simulated shop "
        "if there is none yet; with --events, if the champion was not trained on exactly these: files are told by what "
        "they hold, so that a moved or touched one is the same and an edited one is not. A new one takes over if it "
        "passes its own gates; a champion of another log has no say.",
    )
    _add_log_arguments(ensure, required=False)
    _add_horizon(ensure)
    _add_search_arguments(ensure, trials=ENSURE_TRIALS, time_budget_s=ENSURE_TIME_BUDGET_S)
    ensure.set_defaults(run=_command("ensure"))


def _add_evaluate(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    evaluate = commands.add_parser(
        "evaluate",
        help="judge registered bundles by a log",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Replay a log and print a bundle's figures on its labelled points that the bundle has not\n"
        "learned, with 95 % intervals. Several versions are also compared on the points that all were judged by.",
        epilog="examples:\n"
        "  evaluate --events next-month.parquet                          the champion\n"
        "  evaluate --events next-month.parquet --version champion challenger   paired: who is better, and how surely",
    )
    _add_log_arguments(evaluate)
    evaluate.add_argument(
        "--version",
        nargs="+",
        default=["champion"],
        metavar="VERSION",
        help="bundle versions, their numbers or aliases; the others are compared with the first (default: champion)",
    )
    evaluate.add_argument(
        "--include-learned",
        action="store_true",
        help="judge also by points that it has learned: the figures flatter it and are marked so",
    )
    evaluate.add_argument("--truth", type=Path, metavar="PATH", help="true probabilities of a simulated shop")
    evaluate.add_argument("--json", type=Path, metavar="PATH", help="write the figures here, too")
    evaluate.set_defaults(run=_command("evaluate"))


def _add_registry_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    promote = commands.add_parser(
        "promote",
        help="make a registered bundle the champion",
        description="Check the gates that were asked when it was trained, compare it with the present champion on the "
        "points that both held out, and make it the champion. A refusal names the gate, the figure, the limit and what "
        "to do; docs/promotion.md has the reasons.",
    )
    promote.add_argument("version", help="a bundle version, its number or an alias")
    promote.add_argument(
        "--force", action="store_true", help="even if it misses a gate; the registry keeps which (tag forced_past)"
    )
    promote.set_defaults(run=_command("promote"))
    rollback = commands.add_parser(
        "rollback",
        help="make the previous champion the champion again",
        description="The champion before becomes the champion again; done twice, it is undone. Asks no gates.",
    )
    rollback.set_defaults(run=_command("rollback"))
    listing = commands.add_parser(
        "list",
        help="show the registered bundles, newest first",
        description="Number, version, when registered, aliases, what days it learned from, its figures on the last "
        "part before it learned that, and the gates that it missed.",
    )
    listing.add_argument("--json", action="store_true", help="print JSON instead of a table")
    listing.set_defaults(run=_command("list_versions"))


def _command(name: str) -> Callable[[argparse.Namespace], None]:
    def run(given: argparse.Namespace) -> None:
        importlib.import_module("training.commands").__dict__[name](given)

    return run


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("it must be at least 1")
    return number


def _share(text: str) -> float:
    number = float(text)
    if not 0.0 <= number <= 1.0:
        raise argparse.ArgumentTypeError("it must be from 0 to 1")
    return number


def _part(text: str) -> float:
    number = float(text)
    if not 0.0 < number <= 1.0:
        raise argparse.ArgumentTypeError("it must be above 0 and at most 1")
    return number


def _positive(text: str) -> float:
    number = float(text)
    if not 0.0 < number < math.inf:
        raise argparse.ArgumentTypeError("it must be above 0")
    return number


def _not_negative(text: str) -> float:
    number = float(text)
    if not 0.0 <= number < math.inf:
        raise argparse.ArgumentTypeError("it must not be negative")
    return number
