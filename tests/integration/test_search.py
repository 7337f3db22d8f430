"""The search on a real Ray: it finds, repeats itself, and goes on after it was stopped."""

import io
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from common.bundle import MEMBER_KINDS
from common.errors import InputError
from common.members import Fold, adapter
from tests.margins import problem
from training import time_budget
from training.cluster import ray_cluster
from training.folds import FoldInMemory
from training.found import DONE, PRUNED, Found, SearchSettings
from training.progress import Progress
from training.search import search

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = SearchSettings(trials=3, time_budget_s=120.0, seed=5)
FOLD = problem(1_500).fold
SOURCE = FoldInMemory(FOLD)


@pytest.fixture(scope="module", autouse=True)
def cpus() -> Iterator[int]:
    with ray_cluster() as found:
        yield found


def quiet() -> Progress:
    return Progress(Console(file=io.StringIO()))


@pytest.fixture(scope="module")
def found(cpus: int, tmp_path_factory: pytest.TempPathFactory) -> Found:
    return search(SOURCE, SETTINGS, directory=tmp_path_factory.mktemp("search"), cpus=1, progress=quiet())


def outcome(found: Found) -> list[tuple[str, float, int]]:
    return [(trial.kind, trial.log_loss, trial.rounds) for trial in found.trials]


def test_every_kind_is_searched_and_its_best_trial_wins(found):
    assert not found.interrupted
    for kind in MEMBER_KINDS:
        of_kind = [trial for trial in found.trials if trial.kind == kind]
        assert len(of_kind) == SETTINGS.trials
        assert dict(adapter(kind).DEFAULTS) in [trial.params for trial in of_kind]
        assert found.params[kind] == min(of_kind, key=lambda trial: trial.log_loss).params


def test_the_loss_of_a_trial_is_the_loss_of_its_parameters(found):
    best = next(trial for trial in found.trials if trial.kind == "xgboost")
    losses: list[float] = []
    adapter("xgboost").fit(
        FOLD, best.params, seed=SETTINGS.seed, threads=1, on_round=lambda _, loss: bool(losses.append(loss))
    )
    assert min(losses[: best.rounds]) == pytest.approx(best.log_loss, abs=1e-9)


def test_a_trial_tells_its_curve_its_outcome_and_how_fast_it_answers(found):
    assert sorted(trial.number for trial in found.trials) == list(range(len(found.trials)))
    for trial in found.trials:
        rounds, losses = zip(*trial.curve, strict=True)
        assert list(rounds) == list(range(10, 10 * len(rounds) + 1, 10))
        assert min(losses) >= trial.log_loss - 1e-6
        assert trial.status in (DONE, PRUNED)
        assert (trial.slowest_ms is not None) == (trial.status == DONE)
        assert trial.status == PRUNED or 0.0 < trial.slowest_ms < 1_000.0
    assert {trial.status for trial in found.trials} == {DONE, PRUNED}


def test_the_same_seed_and_data_find_the_same(found, tmp_path):
    again = search(SOURCE, SETTINGS, directory=tmp_path, cpus=2, progress=quiet())
    assert again.params == found.params
    assert outcome(again) == outcome(found)


def test_without_any_time_the_defaults_are_what_is_found(tmp_path):
    none = search(SOURCE, SearchSettings(3, 0.0, 5), directory=tmp_path, cpus=1, progress=quiet())
    assert none.trials == []
    assert none.params == {kind: dict(adapter(kind).DEFAULTS) for kind in MEMBER_KINDS}


class InterruptAfter(Progress):
    """Presses Ctrl-C when so many trials are over."""

    def __init__(self, trials: int) -> None:
        super().__init__(Console(file=io.StringIO()))
        self._trials_left = trials

    def trial_ended(self, kind, standings):
        super().trial_ended(kind, standings)
        self._trials_left -= 1
        if self._trials_left == 0:
            os.kill(os.getpid(), signal.SIGINT)


def test_an_interrupted_search_keeps_its_best_and_finds_the_same_when_it_goes_on(found, tmp_path):
    stopped = search(SOURCE, SETTINGS, directory=tmp_path, cpus=1, progress=InterruptAfter(5))
    assert stopped.interrupted
    assert 5 <= len(stopped.trials) < len(found.trials)

    best_so_far = search(
        SOURCE,
        SearchSettings(SETTINGS.trials, 0.0, SETTINGS.seed),
        directory=tmp_path,
        cpus=1,
        progress=quiet(),
        resume=True,
    )
    assert outcome(best_so_far) == outcome(stopped)

    resumed = search(SOURCE, SETTINGS, directory=tmp_path, cpus=1, progress=quiet(), resume=True)
    assert not resumed.interrupted
    assert resumed.params == found.params
    assert outcome(resumed) == outcome(found)

    finished = search(SOURCE, SETTINGS, directory=tmp_path, cpus=1, progress=quiet(), resume=True)
    assert outcome(finished) == outcome(found)


def test_a_search_whose_driver_is_killed_goes_on_with_what_was_done(found, tmp_path):
    code = f"""
        import sys
        from pathlib import Path
        from tests.integration.test_search import SETTINGS, SOURCE
        from training.cluster import ray_cluster
        from training.progress import Progress
        from training.search import search
        with ray_cluster() as cpus:
            search(SOURCE, SETTINGS, directory=Path({str(tmp_path)!r}), cpus=1, progress=Progress())
    """
    log = tmp_path / "log"
    with log.open("w") as out:
        driver = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "RAY_ADDRESS": ""},
            stderr=out,
        )
    deadline = time.monotonic() + 120
    while "trial 7/12" not in log.read_text() and driver.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    driver.kill()
    driver.wait()
    assert "trial 7/12" in log.read_text()

    for torn in tmp_path.glob("*/experiment_state-*"):  # as if it had been killed while Ray Tune copied its files
        torn.write_text(torn.read_text()[:100])

    resumed = search(SOURCE, SETTINGS, directory=tmp_path, cpus=1, progress=(shown := Recorded()), resume=True)

    assert outcome(resumed) == outcome(found)
    assert shown.started < 12  # what was done and on disk was not done again


def test_a_search_that_was_killed_before_it_had_any_state_begins_anew(tmp_path):
    settings = SearchSettings(trials=1, time_budget_s=60.0, seed=5, kinds=("xgboost",))
    search(SOURCE, settings, directory=tmp_path, cpus=1, progress=quiet())
    for path in [*tmp_path.glob("*/whole-*"), *tmp_path.glob("*/experiment_state-*")]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    resumed = search(SOURCE, settings, directory=tmp_path, cpus=1, progress=(shown := Recorded()), resume=True)

    assert len(resumed.trials) == shown.started == 1


class Recorded(Progress):
    """Counts the trials that it sees begin."""

    def __init__(self) -> None:
        super().__init__(Console(file=io.StringIO()))
        self.started = 0

    def trial_started(self, kind, standings):
        super().trial_started(kind, standings)
        self.started += 1


class LeapAfter(Progress):
    """A clock that leaps by a day when so many trials are over, and the display that makes it."""

    def __init__(self, trials: int) -> None:
        super().__init__(Console(file=io.StringIO()))
        self._trials_left = trials

    def trial_ended(self, kind, standings):
        super().trial_ended(kind, standings)
        self._trials_left -= 1

    def monotonic(self) -> float:
        return time.monotonic() + (86_400.0 if self._trials_left <= 0 else 0.0)


def test_a_search_that_runs_out_of_time_ends_with_what_it_has_and_goes_on_if_given_more(tmp_path, monkeypatch):
    settings = SearchSettings(trials=100, time_budget_s=80_000.0, seed=5)
    monkeypatch.setattr(time_budget, "time", leaping := LeapAfter(3))
    ended = search(SOURCE, settings, directory=tmp_path, cpus=2, progress=leaping)
    assert not ended.interrupted
    assert 3 <= len(ended.trials) < 10
    assert set(ended.params) == set(MEMBER_KINDS)

    over = search(SOURCE, settings, directory=tmp_path, cpus=2, progress=(shown := Recorded()), resume=True)
    assert outcome(over) == outcome(ended)  # its time is used up
    assert shown.started == 0

    monkeypatch.setattr(time_budget, "time", leaping := LeapAfter(2))
    more = replace(settings, time_budget_s=80_001.0)
    went_on = search(SOURCE, more, directory=tmp_path, cpus=2, progress=leaping, resume=True)
    assert len(went_on.trials) >= len(ended.trials) + 2
    assert set(outcome(ended)) <= set(outcome(went_on))


def test_an_earlier_champions_parameters_are_tried_right_after_the_defaults(tmp_path):
    champion = {"max_depth": 3, "learning_rate": 0.9}
    settings = SearchSettings(trials=2, time_budget_s=60.0, seed=5, kinds=("xgboost",))
    shown = io.StringIO()

    started = search(
        SOURCE,
        settings,
        directory=tmp_path,
        cpus=1,
        progress=Progress(Console(file=shown)),
        warm_start={"xgboost": champion},
    )

    second = next(trial for trial in started.trials if trial.number == 1)
    assert second.params["max_depth"] == 3
    assert second.params["learning_rate"] < 0.9
    assert second.params["subsample"] == adapter("xgboost").DEFAULTS["subsample"]
    assert "xgboost learning_rate: 0.15 instead of 0.9" in shown.getvalue()


def test_a_latency_budget_that_no_member_meets_costs_no_trial_again_once_it_is_raised(tmp_path):
    strict = SearchSettings(2, 60.0, 5, kinds=("xgboost",), latency_budget_ms=1e-6)
    with pytest.raises(InputError, match=r"no xgboost is within the latency budget of 1e-06 ms"):
        search(SOURCE, strict, directory=tmp_path, cpus=1, progress=quiet())

    raised = replace(strict, latency_budget_ms=1_000.0)
    found = search(SOURCE, raised, directory=tmp_path, cpus=1, progress=(shown := Recorded()), resume=True)

    assert shown.started == 0
    assert {trial.status for trial in found.trials} <= {DONE, PRUNED}
    assert found.params["xgboost"] in [trial.params for trial in found.trials]


class KillsAWorker(Progress):
    """Kills the process of the first fit that reports."""

    killed: int | None = None

    def __init__(self) -> None:
        super().__init__(Console(file=io.StringIO()))

    def trial_reported(self, kind, standings, *, rounds):
        super().trial_reported(kind, standings, rounds=rounds)
        if self.killed is None:
            below = psutil.Process().children(recursive=True)
            worker = next(process for process in below if "MemberTrial" in " ".join(process.cmdline()))
            worker.kill()
            self.killed = worker.pid


def test_a_trial_whose_worker_is_killed_is_begun_again_and_none_is_missing(found, tmp_path):
    after = search(SOURCE, SETTINGS, directory=tmp_path, cpus=1, progress=(killer := KillsAWorker()))

    assert killer.killed is not None
    assert outcome(after) == outcome(found)


def test_a_search_in_which_every_trial_failed_says_why_instead_of_choosing_defaults(tmp_path):
    class Unreadable:  # a local class, so that a worker gets it by value
        identity = "unreadable"

        def load(self) -> Fold:
            raise OSError("the disk is gone")

    settings = SearchSettings(trials=1, time_budget_s=60.0, seed=5, kinds=("xgboost",))
    with pytest.raises(InputError, match=r"every trial of the search failed: .*the disk is gone"):
        search(Unreadable(), settings, directory=tmp_path, cpus=1, progress=quiet())


def test_nothing_is_resumed_on_other_data_or_settings(found, tmp_path):
    search(SOURCE, SearchSettings(1, 60.0, 5), directory=tmp_path, cpus=1, progress=quiet())
    other = problem(1_500, seed=4).fold
    for fold, settings in ((other, SearchSettings(1, 60.0, 5)), (FOLD, SearchSettings(1, 60.0, 6))):
        with pytest.raises(InputError, match=r"no unfinished search of these events.*leave out --resume"):
            search(FoldInMemory(fold), settings, directory=tmp_path, cpus=1, progress=quiet(), resume=True)
