"""Four Optuna studies in one Ray Tune run, and the pruning of each among its own kind.

One run instead of four: the kinds share the cluster's CPUs and the warmed-up worker processes, and one state
on disk is what a resumed run reads. A kind has at most `per_kind` trials under way at once. With one, each trial
is suggested from all of its kind's earlier results, so that the search takes the same path however fast the
machine is; more make it faster on large clusters and its path a matter of timing.
"""

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler
from ray.tune.search import Searcher, SearchGenerator
from ray.tune.search.optuna import OptunaSearch

from common.members import MAX_ROUNDS, adapter
from training.snapshots import keep
from training.time_budget import running_budget

OBJECTIVE = "log_loss"
"""What the searches make small: the best log loss so far on the tune part."""

PACE = "pace"
"""How far a fit has come: rounds times learning rate, so that a slow learner isn't pruned for being slow."""

OVERRUN = "overrun"
"""By what share a fitted member is slower than the latency budget; 0 where it is within or there is none."""

FIRST_RUNG, REDUCTION, LAST_RUNG = 4.0, 3, float(MAX_ROUNDS)
"""Pruned at pace 4, 12, 36, ...: below the best third of its kind so far, a trial ends."""

RANDOM_TRIALS = 5
"""Trials before the Parzen estimator takes over; the first of them are the points that a study starts with."""


class MemberSearches(Searcher):  # type: ignore[misc]  # Ray is untyped
    """Suggests for the kind that has most trials left among those that may start one, of equals for the slowest.

    So a time budget that ends early leaves every kind as many trials, and the fits that take longest are not left to
    the end, when there is nothing beside them to keep the other CPUs busy.
    """

    def __init__(
        self,
        pruning: "PrunedAmongPeers",
        starts: Mapping[str, Sequence[Mapping[str, Any]]],
        *,
        trials: int,
        seed: int,
        per_kind: int,
    ) -> None:
        super().__init__(metric=OBJECTIVE, mode="min")
        self._pruning = pruning
        self._studies = {kind: _study(kind, points, seed + n) for n, (kind, points) in enumerate(starts.items())}
        self._left = dict.fromkeys(starts, trials)
        self._seconds: dict[str, list[float]] = {kind: [] for kind in starts}
        self._running: dict[str, str] = {}
        self._per_kind = per_kind
        self._suggested = 0

    def suggest(self, trial_id: str) -> Any:
        """The next trial's kind and parameters; nothing while every kind is busy; FINISHED at the end."""
        left = [kind for kind, trials in self._left.items() if trials > 0]
        if not left:
            return Searcher.FINISHED
        busy = list(self._running.values())
        free = [kind for kind in left if busy.count(kind) < self._per_kind]
        if not free:
            return None
        kind = max(free, key=self._left_to_do)
        number = self._suggested
        self._left[kind] -= 1
        self._suggested += 1
        self._running[trial_id] = kind
        return {"kind": kind, "number": number, "params": self._studies[kind].suggest(trial_id)}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Pass an intermediate result to the study of the trial's kind."""
        self._studies[self._running[trial_id]].on_trial_result(trial_id, result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the study of the trial's kind; that kind may start another one."""
        kind = self._running.pop(trial_id, None)
        if kind is None:
            return
        if result:
            self._seconds[kind].append(float(result.get("time_total_s", 0.0)))
        self._studies[kind].on_trial_complete(trial_id, result, error)

    def save(self, checkpoint_path: str) -> None:
        """Write the state that `restore` reads, with what pruning knows: Ray Tune would forget that."""
        state = {name: value for name, value in self.__dict__.items() if name != "_pruning"}
        Path(checkpoint_path).write_bytes(pickle.dumps((state, self._pruning.__dict__)))

    def restore(self, checkpoint_path: str) -> None:
        """Go on from what `save` wrote: the run's own file, never one from elsewhere."""
        state, pruning = pickle.loads(Path(checkpoint_path).read_bytes())  # noqa: S301
        self.__dict__.update(state)
        self._pruning.__dict__.update(pruning)

    def _left_to_do(self, kind: str) -> tuple[int, float]:
        seconds = self._seconds[kind]
        return self._left[kind], sum(seconds) / max(1, len(seconds))


class Resumable(SearchGenerator):  # type: ignore[misc]  # Ray is untyped
    """Can go on after it ran out of time, and after a kill at any instant."""

    def get_state(self) -> dict[str, Any]:
        """What is kept on disk; Ray Tune would take a search that was ended for one that has finished."""
        return {**super().get_state(), "finished": False}

    def save_to_dir(self, dirpath: str, session_str: str) -> None:
        """Write the state beside that of the trials, which Ray Tune has just written, and keep both as a whole."""
        super().save_to_dir(dirpath, session_str)
        keep(Path(dirpath), running_budget().directory)


class PrunedAmongPeers(FIFOScheduler):  # type: ignore[misc]  # Ray is untyped
    """Successive halving of each kind by itself: a forest is not pruned for losing against a booster.

    References: Li et al. (2020), A system for massively parallel hyperparameter tuning.
    """

    def __init__(self, kinds: Sequence[str]) -> None:
        super().__init__()
        self._metric = OBJECTIVE
        self._of_kind = {
            kind: ASHAScheduler(
                time_attr=PACE,
                metric=OBJECTIVE,
                mode="min",
                grace_period=FIRST_RUNG,
                reduction_factor=REDUCTION,
                max_t=LAST_RUNG,
            )
            for kind in kinds
        }

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Pass on to the trial's kind."""
        self._peers(trial).on_trial_add(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> Any:
        """Whether the trial goes on."""
        return self._peers(trial).on_trial_result(tune_controller, trial, result)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Pass on to the trial's kind; one that is too slow to be served is no measure for the others."""
        peers = self._peers(trial)
        peers.on_trial_complete(tune_controller, trial, result)
        if result.get(OVERRUN, 0.0) > 0.0:
            for bracket in peers._brackets:
                for _, recorded in bracket._rungs:
                    recorded.pop(trial.trial_id, None)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """Pass on to the trial's kind."""
        self._peers(trial).on_trial_remove(tune_controller, trial)

    def _peers(self, trial: Any) -> Any:
        return self._of_kind[trial.config["kind"]]


def _study(kind: str, points: Sequence[Mapping[str, Any]], seed: int) -> "_Study":
    return _Study(
        space=adapter(kind).search_space,
        metric=OBJECTIVE,
        mode="min",
        points_to_evaluate=[dict(point) for point in points],
        sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=RANDOM_TRIALS),
        study_name=kind,
    )


class _Study(OptunaSearch):  # type: ignore[misc]  # Ray is untyped
    """An Optuna study that is told which trials are too slow, as a constraint that they break."""

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the constraint before the value: Optuna takes nothing more of a trial after that."""
        if result and OVERRUN in result:
            self._ot_trials[trial_id].set_constraint(OVERRUN, result[OVERRUN])
        super().on_trial_complete(trial_id, result, error)
