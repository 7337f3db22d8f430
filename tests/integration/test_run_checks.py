"""The leakage checks on an honest run: a simulated log through the real reading, replay and store, on a real Ray."""

import io
from collections.abc import Iterator

import pytest
from rich.console import Console

from common.clock import DAY_US, from_datetime
from common.eventlog import ANY_TIME
from tests.reports import fitted_probability
from training.cluster import ray_cluster
from training.leakage import Check
from training.log import read_log
from training.progress import Progress
from training.run_checks import run_checks
from training.shop.traffic import Plan
from training.simulate import DEFAULT_START, simulate
from training.split import split_by_time
from training.state import State


@pytest.fixture(scope="module")
def checks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Check]]:
    directory = tmp_path_factory.mktemp("shop")
    events = directory / "events.parquet"
    simulate(Plan(events=12_000, seed=3, start_us=from_datetime(DEFAULT_START), days=30), events)
    with ray_cluster():
        log = read_log(
            [events],
            state=State.from_environment({"CARTCAST_STATE_DIR": str(directory / "state")}),
            horizon_us=DAY_US,
            max_quarantine_ratio=0.01,
            progress=Progress(Console(file=io.StringIO())),
            now_us=from_datetime(DEFAULT_START) + 100 * DAY_US,
        )
        examples = log.examples
        split = split_by_time(examples.as_of_us, examples.y, embargo_us=DAY_US)
        before, test = split.before("test"), split.rows["test"]
        p = fitted_probability(examples.x(before), examples.y[before], examples.x(test))
        yield run_checks(examples, split, p, [events], horizon_us=DAY_US, seed=7, bounds=ANY_TIME)


def test_an_honest_run_passes_every_check(checks: list[Check]):
    assert [check.detail for check in checks if not check.passed] == []
    assert len(checks) == 5


def test_every_check_says_what_it_found(checks: list[Check]):
    assert all(check.detail and check.figure is not None for check in checks)
    assert "24 points were replayed" in checks[-1].detail
