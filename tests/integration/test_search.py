"""The search on a real Ray: it finds, repeats itself, and goes on after it was stopped."""

import io
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from common.bundle import MEMBER_KINDS
from common.errors import InputError
from common.members import adapter
from tests.margins import problem
from training.cluster import ray_cluster
from training.folds import FoldInMemory
from training.found import Found, SearchSettings
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


def test_the_same_seed_and_data_find_the_same(found, tmp_path):
    again = search(SOURCE, SETTINGS, directory=tmp_path, cpus=2, progress=quiet())
    assert again.params == found.params
    assert outcome(again) == outcome(found)


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

    resumed = search(SOURCE, SETTINGS, directory=tmp_path, cpus=1, progress=(shown := Recorded()), resume=True)

    assert outcome(resumed) == outcome(found)
    assert shown.started < 12  # what was done and on disk was not done again


class Recorded(Progress):
    """Counts the trials that it sees begin."""

    def __init__(self) -> None:
        super().__init__(Console(file=io.StringIO()))
        self.started = 0

    def trial_started(self, kind, standings):
        super().trial_started(kind, standings)
        self.started += 1


def test_a_search_that_runs_out_of_time_ends_with_what_it_has(tmp_path):
    settings = SearchSettings(trials=1_000, time_budget_s=4.0, seed=5)
    ended = search(SOURCE, settings, directory=tmp_path, cpus=2, progress=quiet())
    assert not ended.interrupted
    assert 0 < len(ended.trials) < 4_000
    assert set(ended.params) == set(MEMBER_KINDS)


def test_nothing_is_resumed_on_other_data_or_settings(found, tmp_path):
    search(SOURCE, SearchSettings(1, 60.0, 5), directory=tmp_path, cpus=1, progress=quiet())
    other = problem(1_500, seed=4).fold
    for fold, settings in ((other, SearchSettings(1, 60.0, 5)), (FOLD, SearchSettings(1, 60.0, 6))):
        with pytest.raises(InputError, match=r"no unfinished search of these events.*leave out --resume"):
            search(FoldInMemory(fold), settings, directory=tmp_path, cpus=1, progress=quiet(), resume=True)
