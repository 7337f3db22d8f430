"""The search for each member's parameters: Ray Tune runs the trials, Optuna chooses them, ASHA prunes them."""

import fcntl
import json
import logging
import os
import shutil
import signal
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import optuna
from ray import tune

from common.errors import InputError
from common.members import adapter
from training.cluster import smallest_node_cpus
from training.cpu_share import CpuShare, share_cpus
from training.folds import FoldSource
from training.found import (
    Found,
    SearchSettings,
    TrialRecord,
    best_params,
)
from training.outcomes import Announcer, trial_records
from training.progress import Progress
from training.searcher import MemberSearches, PrunedAmongPeers, Resumable
from training.snapshots import bring_back
from training.time_budget import OutOfTime, TimeBudget
from training.trial import MemberTrial
from training.warm_start import start_within

CHECKPOINT_S = 2
"""Seconds between two states on disk: what a killed search loses."""

_RETRIES = 2
"""Times that a trial is begun again after its process died."""

_EXPERIMENT = "cpu_share"

Params = Mapping[str, Any]


def search(
    source: FoldSource,
    settings: SearchSettings,
    *,
    directory: Path,
    cpus: int,
    progress: Progress,
    warm_start: Mapping[str, Params] | None = None,
    resume: bool = False,
) -> Found:
    """The best parameters of every kind; those of a kind without a trial that reported are its defaults.

    Args:
        source: the fit and the tune part, loaded once by each worker process.
        settings: how long and by what.
        directory: where the search keeps its state; an earlier state there is replaced, or continued by `resume`.
        cpus: of the cluster; a trial takes one, or more where there are more CPUs than trials.
        progress: told of every trial.
        warm_start: parameters by kind, such as the champion's, tried right after the defaults.
        resume: continue the search whose state lies in `directory`.

    Raises:
        InputError: there is nothing to resume, or it was started with other data or settings; or no trial of some
            kind was within the latency budget; or every trial failed.
    """
    with _alone(_place(directory, source, settings)) as path:
        return _searched(source, settings, path, cpus, progress, warm_start or {}, resume=resume)


def _searched(
    source: FoldSource,
    settings: SearchSettings,
    path: Path,
    cpus: int,
    progress: Progress,
    warm_start: Mapping[str, Params],
    *,
    resume: bool,
) -> Found:
    state = _prepared(path, settings, cpus, resume=resume)
    _silence()
    trainable = _trainable(source, settings, state.share)
    restored = resume and bring_back(state.path)
    if restored:
        tuner = tune.Tuner.restore(str(state.path.resolve()), trainable, restart_errored=True)
    else:
        tuner = _tuner(trainable, settings, state, _starts(settings, warm_start, progress))
    budget = TimeBudget(state.path, settings.time_budget_s)
    if budget.left_s() > 0:
        with progress.searching(settings.kinds, settings.trials, left_s=budget.left_s), budget.running():
            results, interrupted = _run(tuner)
    else:
        results, interrupted = tuner.get_results() if restored else [], False
    trials = sorted(trial_records(results, settings), key=lambda trial: (trial.kind, trial.log_loss, trial.number))
    _require_some(trials, results)
    params = best_params(trials, settings) if not interrupted else {}
    return Found(params, trials, interrupted=interrupted)


@dataclass(frozen=True)
class _State:
    """Where a search keeps its state, and how its trials share the CPUs."""

    path: Path
    share: CpuShare


def _starts(
    settings: SearchSettings, warm_start: Mapping[str, Params], progress: Progress
) -> dict[str, list[dict[str, Any]]]:
    """The points that each study begins with: the defaults, the cheapest where speed counts, an earlier champion's."""
    starts: dict[str, list[dict[str, Any]]] = {}
    for kind in settings.kinds:
        points = [dict(adapter(kind).DEFAULTS)]
        if settings.latency_budget_ms is not None:
            points.append(dict(adapter(kind).CHEAPEST))
        if kind in warm_start:
            start = start_within(kind, warm_start[kind])
            points += [start.params] if start.params not in points else []
            for note in start.notes:
                progress.print(f"  warm start: {note}")
        starts[kind] = points
    return starts


def _trainable(source: FoldSource, settings: SearchSettings, share: CpuShare) -> Any:
    with_rows = tune.with_parameters(
        MemberTrial,
        source=source,
        seed=settings.seed,
        threads=share.threads,
        latency_budget_ms=settings.latency_budget_ms,
    )
    return tune.with_resources(with_rows, {"cpu": share.threads})


def _tuner(
    trainable: Any, settings: SearchSettings, state: _State, starts: Mapping[str, list[dict[str, Any]]]
) -> tune.Tuner:
    kinds, trials = settings.kinds, settings.trials
    pruning = PrunedAmongPeers(kinds)
    searches = MemberSearches(pruning, starts, trials=trials, seed=settings.seed, per_kind=state.share.per_kind)
    return tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=Resumable(searches),
            scheduler=pruning,
            num_samples=trials * len(kinds),
            reuse_actors=True,  # a new process for every trial would cost 2 to 4 s of imports each
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name=state.path.name,
            storage_path=str(state.path.parent.resolve()),
            stop=OutOfTime(),
            callbacks=[Announcer()],
            verbose=0,
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            failure_config=tune.FailureConfig(max_failures=_RETRIES),
        ),
    )


def _require_some(trials: list[TrialRecord], results: Any) -> None:
    """Defaults are no answer where every trial failed: something is wrong with the rows or the cluster."""
    errors = [result.error for result in results if result.error is not None]
    if errors and not trials:
        last = str(errors[0]).strip().splitlines()[-1]
        raise InputError(f"every trial of the search failed: {last}")


def _place(directory: Path, source: FoldSource, settings: SearchSettings) -> Path:
    """The directory of a search, named after what makes it this search: data, seed, trials and kinds."""
    named = json.dumps([source.identity, settings.seed, settings.trials, list(settings.kinds)])
    return directory / blake2b(named.encode(), digest_size=6).hexdigest()


@contextmanager
def _alone(path: Path) -> Iterator[Path]:
    """The directory while no other run searches in it.

    Raises:
        InputError: another one does.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                "another training is searching by these events with these settings just now",
                remedy="Wait for it, or give another --seed or another CARTCAST_STATE_DIR",
            ) from error
        yield path


def _prepared(path: Path, settings: SearchSettings, cpus: int, *, resume: bool) -> _State:
    """A new experiment, or the one that is to be continued with the CPUs that it was begun with."""
    widest = smallest_node_cpus()
    if resume:
        return _begun(path, widest)
    share = share_cpus(cpus, kinds=len(settings.kinds), trials=settings.trials, widest=widest)
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True, exist_ok=True)
    beside = path / "new"
    beside.write_text(json.dumps(asdict(share)), encoding="utf-8")
    beside.rename(path / _EXPERIMENT)
    return _State(path, share)


def _begun(path: Path, widest: int) -> _State:
    if not (path / _EXPERIMENT).is_file():
        raise InputError(
            f"no unfinished search of these events with these settings under {path.parent}",
            remedy="Give the same --events, --trials, --seed and --half-life-days as before, with the same version of "
            "Cartcast, or leave out --resume",
        )
    share = CpuShare(**json.loads((path / _EXPERIMENT).read_text(encoding="utf-8")))
    if share.threads > widest:  # its trials would wait for ever
        raise InputError(
            f"the search was started with {share.threads} CPUs for each trial, and a node here has {widest}",
            remedy="Resume it on a cluster like the one it was started on, or leave out --resume",
        )
    return _State(path, share)


def _silence() -> None:
    """Keep the display to ourselves: no loggers' files, no reporters, no warnings about what is meant."""
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # the new one prints at verbosity 0, too
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = str(CHECKPOINT_S)
    os.environ.setdefault("TUNE_WARN_THRESHOLD_S", "5")
    warnings.filterwarnings("ignore", message="The reported value is ignored", module="optuna")  # a trial run again
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    logging.getLogger("ray.train").setLevel(logging.CRITICAL)


def _run(tuner: tune.Tuner) -> tuple[Any, bool]:
    """Run to the end or to Ctrl-C, and whether it was that.

    Ray Tune takes SIGINT for itself and gives it back from inside its own handler alone: so whose handler it is
    afterwards tells whether Ctrl-C was pressed, and where it was not, we put the former one back.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN or threading.current_thread() is not threading.main_thread():
        os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # who started us wants it ignored, or we could not set it
        return tuner.fit(), False
    os.environ.pop("TUNE_DISABLE_SIGINT_HANDLER", None)
    try:
        results = tuner.fit()
        return results, signal.getsignal(signal.SIGINT) is before
    finally:
        signal.signal(signal.SIGINT, before)
