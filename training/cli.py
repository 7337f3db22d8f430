"""The command line of training: train, simulate, ensure, evaluate, promote, rollback, list.

What a command needs is imported when it runs: Ray must find its environment set, and `list` need not wait for it.
"""

import argparse
import errno
import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from common.errors import CartcastError
from training import simulate
from training.arguments import add_horizon, add_log_arguments, add_search_arguments
from training.interruption import EXIT_CODE, Interruption, remembered

TRIALS, TIME_BUDGET_S = 16, 300.0
"""Of `train`: what a search is given by somebody who came to train."""

ENSURE_TRIALS, ENSURE_TIME_BUDGET_S = 4, 30.0
"""Of `ensure`: somebody wants to see it serve; the defaults are good, and are tried first."""

_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES}
_SEARCH_KEPT = "interrupted: what a search has found so far is kept; the same command with --resume goes on with it"
_BEGINS_AGAIN = "interrupted: the same command begins again"
_DISK_REMEDY = "Make room, or set CARTCAST_STATE_DIR and TMPDIR to another place; --resume goes on with a search"

_EXAMPLES = """examples:
  python -m training simulate --out shop.parquet --truth shop-truth.parquet
  python -m training train --events logs/ --promote
  python -m training list
  python -m training evaluate --events logs/ next-month.parquet --version champion challenger
  python -m training promote 7
  python -m training rollback

Everything is kept below CARTCAST_STATE_DIR (state); MLFLOW_TRACKING_URI names a registry elsewhere, RAY_ADDRESS a
running cluster. Exit codes: 0 done, 2 an error that the last line names, 130 interrupted."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit code. 2 with one line on stderr for every error that is ours."""
    try:
        given = _parser().parse_args(arguments)
    except SystemExit as stop:  # after --help or wrong arguments, which argparse has explained
        return int(stop.code or 0)
    try:
        with remembered() as interruption:
            return _run(given, interruption)
    except KeyboardInterrupt:  # a moment before or after
        return EXIT_CODE


def _run(given: argparse.Namespace, interruption: Interruption) -> int:
    try:
        given.run(given)
    except CartcastError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return _interrupted(given, interruption)
    except Exception as error:
        if interruption.received:  # a library that was interrupted half way raises what it likes
            return _interrupted(given, interruption)
        if not isinstance(error, OSError) or error.errno not in _OF_THE_DISK:
            raise
        print(f"error: {error.strerror}: {error.filename or 'the state directory'}. {_DISK_REMEDY}", file=sys.stderr)
        return 2
    return 0


def _interrupted(given: argparse.Namespace, interruption: Interruption) -> int:
    """Say what is kept, unless the search took Ctrl-C for itself, and has said it."""
    interruption.settle()
    if interruption.received:
        print(given.interrupted, file=sys.stderr)
    return EXIT_CODE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training",
        description="From a shop's event log to a registered bundle of four calibrated models.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(interrupted="interrupted")
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
    add_log_arguments(train)
    add_horizon(train)
    add_search_arguments(train, trials=TRIALS, time_budget_s=TIME_BUDGET_S)
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
    train.set_defaults(run=_command("train", "starting"), interrupted=_SEARCH_KEPT)


_TRAIN_EXAMPLES = """examples:
  train --events logs/ --promote                      retrain and take over, if it is not worse than what serves
  train --events logs/ --trials 60 --time-budget-s 1800   search longer: worth it once, the next run starts from it
  train --events logs/ --latency-budget-ms 2          no member may take more than 2 ms for 32 rows
  train --events logs/ --margin 12 --contact-cost 0.5 what a purchase earns and a contact costs, in your currency

Ctrl-C during the search keeps what it found: the same command with --resume goes on, and with --resume
--time-budget-s 0 it goes on to the final fits with the best so far. Refused by a gate? The last line says which, by
how much, and what to do; docs/promotion.md has the reasons."""


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
    add_log_arguments(ensure, required=False)
    add_horizon(ensure)
    add_search_arguments(ensure, trials=ENSURE_TRIALS, time_budget_s=ENSURE_TIME_BUDGET_S)
    ensure.set_defaults(run=_command("ensure", "starting"), interrupted=_BEGINS_AGAIN)


def _add_evaluate(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    evaluate = commands.add_parser(
        "evaluate",
        help="judge registered bundles by a log",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Replay a log and print a bundle's figures on its labelled points that the bundle has not\n"
        "learned, with 95 % intervals. Several versions are also compared on the points that all were judged by.\n\n"
        "Give the log before it too: shoppers' histories begin with the first event given. Points of it that a\n"
        "bundle has learned are left out all the same.",
        epilog="examples:\n"
        "  evaluate --events this-month.parquet next-month.parquet     the champion, by what it has not learned\n"
        "  evaluate --events logs/ --version champion challenger       paired: who is better, and how surely",
    )
    add_log_arguments(evaluate)
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
    evaluate.set_defaults(run=_command("evaluate", "starting"))


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
    promote.set_defaults(run=_registry_command("promote"))
    rollback = commands.add_parser(
        "rollback",
        help="make the previous champion the champion again",
        description="The champion before becomes the champion again; done twice, it is undone. Asks no gates.",
    )
    rollback.set_defaults(run=_registry_command("rollback"))
    listing = commands.add_parser(
        "list",
        help="show the registered bundles, newest first",
        description="Number, version, when registered, aliases, what days it learned from, its figures on the last "
        "part before it learned that, and the gates that it missed.",
    )
    listing.add_argument("--json", action="store_true", help="print JSON instead of a table")
    listing.set_defaults(run=_registry_command("list_versions"))


def _command(name: str, saying: str = "") -> Callable[[argparse.Namespace], None]:
    """The function of that name; its imports take seconds, so something is said first."""

    def run(given: argparse.Namespace) -> None:
        if saying:
            print(f"{saying} ...", file=sys.stderr, flush=True)
        importlib.import_module("training.commands").__dict__[name](given)

    return run


def _registry_command(name: str) -> Callable[[argparse.Namespace], None]:
    """The same for a command that is quick, and often asked by a script."""
    return _command(name, "asking the registry" if sys.stderr.isatty() else "")
