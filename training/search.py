"""The search for each member's parameters: Ray Tune runs the trials, Optuna chooses them, ASHA prunes them."""

import json
import logging
import math
import os
import shutil
import signal
import threading
import warnings
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from ray import tune
from ray.tune.callback import Callback

from common.errors import InputError
from common.members import Fold, adapter
from training.found import Found, SearchSettings, TrialRecord
from training.progress import Progress, Standing, shown_progress
from training.searcher import OBJECTIVE, MemberSearches, PrunedAmongPeers
from training.trial import MemberTrial

CHECKPOINT_S = 2
"""Seconds between two states on disk: what a killed search loses."""

_EXPERIMENT = "search.json"


def search(
    fold: Fold, settings: SearchSettings, *, directory: Path, cpus: int, progress: Progress, resume: bool = False
) -> Found:
    """The best parameters of every kind; those of a kind without a finished trial are its defaults.

    Args:
        fold: the fit and the tune part.
        settings: how long and by what.
        directory: where the search keeps its state; an earlier state there is replaced, or continued by `resume`.
        cpus: of the cluster; one trial takes one.
        progress: told of every trial.
        resume: continue the search whose state lies in `directory`.

    Raises:
        InputError: there is nothing to resume, or it was started with other data or settings.
    """
    identity = _identity(fold, settings)
    path = _prepared(directory, identity, resume=resume)
    _silence()
    trainable = tune.with_resources(tune.with_parameters(MemberTrial, fold=fold, seed=settings.seed), {"cpu": 1})
    if resume:
        tuner = tune.Tuner.restore(str(path), trainable, restart_errored=True)
    else:
        tuner = _tuner(trainable, settings, path, per_kind=max(1, cpus // len(settings.kinds)))
    with progress.searching(settings.kinds, settings.trials):
        results, interrupted = _run(tuner) if settings.time_budget_s > 0 else (tuner.get_results(), False)
    trials = sorted(_records(results), key=lambda trial: (trial.kind, trial.log_loss))
    best = {kind: dict(adapter(kind).DEFAULTS) for kind in settings.kinds}
    best |= {trial.kind: trial.params for trial in reversed(trials)}
    return Found(best, trials, interrupted=interrupted)


def _tuner(trainable: Any, settings: SearchSettings, path: Path, *, per_kind: int) -> tune.Tuner:
    kinds, trials = settings.kinds, settings.trials
    pruning = PrunedAmongPeers(kinds)
    return tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=MemberSearches(kinds, pruning, trials=trials, seed=settings.seed, per_kind=per_kind),
            scheduler=pruning,
            num_samples=trials * len(kinds),
            time_budget_s=settings.time_budget_s,
            reuse_actors=True,  # a new process for every trial would cost 2 to 4 s of imports each
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name=path.name,
            storage_path=str(path.parent.resolve()),
            callbacks=[_Announcer()],
            verbose=0,
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            failure_config=tune.FailureConfig(max_failures=2),
        ),
    )


class _Announcer(Callback):  # type: ignore[misc]  # Ray is untyped
    """Passes what happens to the display of this process; it holds nothing, since Ray Tune pickles it."""

    def on_trial_start(self, *, trials: list[Any], trial: Any, **_: Any) -> None:
        shown_progress().trial_started(trial.config["kind"], _standings(trials))

    def on_trial_result(self, *, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        shown_progress().trial_reported(trial.config["kind"], _standings(trials), rounds=result["rounds"])

    def on_trial_complete(self, *, trials: list[Any], trial: Any, **_: Any) -> None:
        shown_progress().trial_ended(trial.config["kind"], _standings(trials, over=trial))

    def on_trial_error(self, *, trials: list[Any], trial: Any, **_: Any) -> None:
        shown_progress().trial_ended(trial.config["kind"], _standings(trials, over=trial))


def _standings(trials: list[Any], *, over: Any = None) -> list[Standing]:
    """How each kind stands; Ray Tune calls a trial finished a little after it told us that it is `over`."""
    of_kind: dict[str, list[Any]] = {}
    for trial in trials:
        of_kind.setdefault(trial.config["kind"], []).append(trial)
    return [
        Standing(
            kind,
            ended=sum(trial.is_finished() or trial is over for trial in peers),
            best=min((trial.last_result or {}).get(OBJECTIVE, math.inf) for trial in peers),
        )
        for kind, peers in of_kind.items()
    ]


def _records(results: Any) -> Iterator[TrialRecord]:
    for number, result in enumerate(results):
        metrics = result.metrics or {}
        if math.isfinite(metrics.get(OBJECTIVE, math.inf)):
            config = result.config
            seconds = float(metrics.get("time_total_s", 0.0))
            yield TrialRecord(config["kind"], number, config["params"], metrics[OBJECTIVE], metrics["rounds"], seconds)


def _identity(fold: Fold, settings: SearchSettings) -> dict[str, Any]:
    digest = blake2b(digest_size=16)
    for array in (fold.X, fold.y, fold.X_valid, fold.y_valid):
        digest.update(np.ascontiguousarray(array).tobytes())
    return {"data": digest.hexdigest(), "seed": settings.seed, "trials": settings.trials, "kinds": list(settings.kinds)}


def _prepared(directory: Path, identity: Mapping[str, Any], *, resume: bool) -> Path:
    """The path of the experiment: a new one named after the identity, or the one that is to be continued."""
    name = blake2b(json.dumps(identity, sort_keys=True).encode(), digest_size=6).hexdigest()
    path = directory / name
    if resume:
        if not tune.Tuner.can_restore(str(path.resolve())):
            raise InputError(
                f"no unfinished search of these events with these settings under {directory}",
                remedy="Give the same --events, --trials and --seed as before, or leave out --resume",
            )
        return path
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True, exist_ok=True)
    (path / _EXPERIMENT).write_text(json.dumps(identity, indent=1), encoding="utf-8")
    return path


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
