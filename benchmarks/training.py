"""Claim: Ray Tune costs little: the same Optuna studies without Ray, on the same cores, are hardly faster.

Both search the four kinds on the same rows with the same sampler, seed, spaces and pruning rule, a trial of a kind
after the other, so that both fit the same trials; the peer runs one study after the other in a process for each core.
The rows are those of the real shop's log where it is there, else of a simulated one:

    python -m benchmarks.training [--trials N]
"""

import argparse
import math
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import numpy as np
import optuna
from rich.console import Console
from rich.table import Table

from common.bundle import MEMBER_KINDS
from common.clock import DAY_US, from_datetime, now_us
from common.members import adapter
from training.cluster import prepare, ray_cluster
from training.folds import FoldSource
from training.found import DONE, Found, SearchSettings, TrialRecord
from training.progress import Progress
from training.shop.traffic import Plan
from training.simulate import DEFAULT_START, simulate
from training.state import State

REAL_LOG = "store_events_2016-08_09.parquet"
TRIALS = 5
SEED = 7
_NO_LIMIT_S = 3_600.0
_LONGEST_FIRST = ("random_forest", "catboost", "lightgbm", "xgboost")


@dataclass(frozen=True)
class PlainTrial:
    """A trial of the peer."""

    kind: str
    log_loss: float


def run(_seconds: float, trials: int = TRIALS) -> None:
    """Print trials a minute of the search and of its peer, and what fits take.

    Args:
        _seconds: not used: a search takes as long as it takes.
        trials: of each kind.
    """
    with tempfile.TemporaryDirectory() as scratch:
        state = State.from_environment({"CARTCAST_STATE_DIR": scratch})
        state.make()
        prepare(None, state.ray_token)
        with ray_cluster() as cpus:
            source, what = _rows(state)
            settings = SearchSettings(trials=trials, time_budget_s=_NO_LIMIT_S, seed=SEED)
            found, search_s = _searched(source, settings, state, cpus)
        plain, plain_s = _without_ray(source, settings, cpus)
    console = Console()
    console.print(f"{what}; {cpus} CPUs, {trials} trials of each of {len(MEMBER_KINDS)} kinds")
    console.print(_throughput(found, search_s, plain, plain_s))
    console.print(_fits(found.trials))


def _rows(state: State) -> tuple[FoldSource, str]:
    """The first 60 % of a log's time to fit and, a day later, the next 15 % to stop early by; Ray runs already."""
    from training.log import read_log
    from training.split import split_by_time

    log = Path(os.environ.get("CARTCAST_SHARED_DATA", "../shared/data")) / REAL_LOG
    what = "the real shop's log"
    if not log.is_file():
        log, what = state.directory / "shop.parquet", "a simulated shop's log"
        plan = Plan(events=100_000, seed=SEED, start_us=from_datetime(DEFAULT_START))
        simulate(plan, log, log.with_name("truth.parquet"), console=Console(stderr=True))
    examples = read_log(
        [log], state=state, horizon_us=DAY_US, max_quarantine_ratio=0.01, progress=Progress(), now_us=now_us()
    ).examples
    rows = split_by_time(examples.as_of_us, examples.y, embargo_us=DAY_US).rows
    sizes = f"{rows['fit'].stop - rows['fit'].start:,} + {rows['tune'].stop - rows['tune'].start:,} rows"
    return examples.fold(rows["fit"], rows["tune"]), f"{what}, {sizes}"


def _searched(source: FoldSource, settings: SearchSettings, state: State, cpus: int) -> tuple[Found, float]:
    from training.search import search

    started_s = time.perf_counter()
    found = search(source, settings, directory=state.searches, cpus=cpus, progress=Progress())
    return found, time.perf_counter() - started_s


def _without_ray(source: FoldSource, settings: SearchSettings, cpus: int) -> tuple[list[PlainTrial], float]:
    """The same studies, each in one of `cpus` processes, and those that take longest first."""
    started_s = time.perf_counter()
    # as polite as Ray's workers are, who would otherwise lose against the peer on a machine that others use
    with ProcessPoolExecutor(cpus, mp_context=get_context("spawn"), initializer=os.nice, initargs=(15,)) as pool:
        pending = [
            pool.submit(_study, source, kind, settings.trials, settings.seed + settings.kinds.index(kind))
            for kind in _LONGEST_FIRST
        ]
        trials = [trial for study in pending for trial in study.result()]
    return trials, time.perf_counter() - started_s


def _study(source: FoldSource, kind: str, trials: int, seed: int) -> list[PlainTrial]:
    from training.searcher import RANDOM_TRIALS

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    fold, module, halving = source.load(), adapter(kind), _Halving()
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=RANDOM_TRIALS))
    study.enqueue_trial(dict(module.DEFAULTS))

    def objective(trial: optuna.Trial) -> float:
        params, best, pace = module.search_space(trial), math.inf, 0.0

        def on_round(rounds: int, loss: float) -> bool:
            nonlocal best, pace
            best, pace = min(best, float(loss)), rounds * params.get("learning_rate", 0.1)
            return rounds % 10 == 0 and halving.ends(trial.number, pace, best)

        module.fit(fold, params, seed=SEED, threads=1, on_round=on_round)
        halving.ends(trial.number, pace, best)
        return best

    study.optimize(objective, n_trials=trials)
    return [PlainTrial(kind, trial.value or math.inf) for trial in study.trials]


class _Halving:
    """The rule of Ray Tune's ASHA, for trials that come one after the other.

    References: Li et al. (2020), A system for massively parallel hyperparameter tuning.
    """

    def __init__(self) -> None:
        from training.searcher import FIRST_RUNG, LAST_RUNG, REDUCTION

        self._quantile = 1.0 / REDUCTION
        count = int(math.log(LAST_RUNG / FIRST_RUNG, REDUCTION) + 1)
        self._rungs: list[tuple[float, dict[int, float]]] = [
            (FIRST_RUNG * REDUCTION**number, {}) for number in reversed(range(count))
        ]

    def ends(self, number: int, pace: float, loss: float) -> bool:
        """Note a trial at the rung that it has reached, and whether it is below the best third there."""
        for milestone, noted in self._rungs:
            if pace >= milestone and number not in noted:
                worse = bool(noted) and loss > float(np.quantile(list(noted.values()), self._quantile))
                noted[number] = loss
                return worse
        return False


def _throughput(found: Found, search_s: float, plain: Sequence[PlainTrial], plain_s: float) -> Table:
    table = Table("", "trials", "seconds", "trials a minute", "of the peer")
    peer = 60.0 * len(plain) / plain_s
    for name, trials, seconds in (
        ("Optuna alone", len(plain), plain_s),
        ("Cartcast's search", len(found.trials), search_s),
    ):
        rate = 60.0 * trials / seconds
        table.add_row(name, str(trials), f"{seconds:.0f}", f"{rate:.1f}", f"{rate / peer:.2f}")
    same = _losses(found.trials) == _losses(plain)
    table.caption = "both fitted the same trials" if same else "the two did not fit the same trials"
    return table


def _losses(trials: Sequence[TrialRecord] | Sequence[PlainTrial]) -> list[tuple[str, float]]:
    return sorted((trial.kind, round(trial.log_loss, 9)) for trial in trials)


def _fits(trials: Sequence[TrialRecord]) -> Table:
    """What a fit that came to its end takes on one thread, and what it then takes to answer."""
    table = Table("kind", "fits", "pruned", "seconds", "rounds", "1 row, ms", "32 rows, ms")
    for kind in MEMBER_KINDS:
        of_kind = [trial for trial in trials if trial.kind == kind]
        done = [trial for trial in of_kind if trial.status == DONE]
        table.add_row(
            kind,
            str(len(done)),
            str(len(of_kind) - len(done)),
            f"{median(trial.seconds for trial in done):.1f}",
            f"{median(trial.rounds for trial in done):.0f}",
            f"{median(trial.latency_1_ms or 0.0 for trial in done):.3f}",
            f"{median(trial.latency_32_ms or 0.0 for trial in done):.3f}",
        )
    return table


def main() -> None:
    """Run it by itself."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__)
    parser.add_argument("--trials", type=int, default=TRIALS, help="of each kind (default: %(default)s)")
    run(0.0, parser.parse_args(sys.argv[1:]).trials)


if __name__ == "__main__":
    main()
