"""`python -m deployments score` as people run it: what it says, and that Ctrl-C ends it and all that it started."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from tests.bundles import small_bundle
from tests.logs import raw, simulated_users

REPOSITORY = Path(__file__).parents[2]
PATIENCE_S = 120

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts the command in a process group of its own, as a terminal does; ends what a failed test leaves."""
    started: list[subprocess.Popen[str]] = []
    variables = os.environ | {"CARTCAST_STATE_DIR": str(tmp_path / "state")}
    variables.pop("RAY_ADDRESS", None)

    def run(*arguments: str | Path) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "deployments", "score", *map(str, arguments)]
        process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.mark.slow
def test_says_what_it_does_and_nothing_else(start: Start, tmp_path: Path):
    users = simulated_users(41, users=40)
    bundle = small_bundle(tmp_path / "bundle", users)
    pq.write_table(raw(users), tmp_path / "log.parquet")

    process = start("--events", tmp_path / "log.parquet", "--bundle", bundle.path, "--out", tmp_path / "out")
    said, shown = process.communicate(timeout=PATIENCE_S)

    rows = pq.read_table(tmp_path / "out").num_rows
    assert process.returncode == 0
    assert said.startswith(f"scored {rows} rows in ")
    assert said.count("\n") == 1
    assert shown.splitlines() == ["starting Ray ...", "reading events ...", "scoring ..."]


@pytest.mark.slow
def test_ctrl_c_leaves_no_process_and_no_half_of_a_result(start: Start, tmp_path: Path):
    users = simulated_users(41, users=40)
    bundle = small_bundle(tmp_path / "bundle", users)
    pq.write_table(raw(users), tmp_path / "log.parquet")
    process = start("--events", tmp_path / "log.parquet", "--bundle", bundle.path, "--out", tmp_path / "out")
    assert process.stderr is not None
    while "reading" not in process.stderr.readline():
        assert process.poll() is None
    below = psutil.Process(process.pid).children(recursive=True)

    os.killpg(process.pid, signal.SIGINT)
    said, shown = process.communicate(timeout=PATIENCE_S)

    assert process.returncode == 130
    assert "Traceback" not in shown
    assert said == ""
    assert list((tmp_path / "out").iterdir()) == []
    assert len(below) > 2
    _, alive = psutil.wait_procs(below, timeout=10)
    assert alive == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--events", "nothing.parquet", "--bundle", "b"], "no event log at"),
        (["--events", "log.parquet"], "there is no champion"),
        (["--events", "log.parquet", "--bundle", "b", "--actors", "0"], "--actors is 0"),
        (["--events", "log.parquet", "--bundle", "b", "--max-quarantine-ratio", "2"], "--max-quarantine-ratio is 2"),
    ],
)
def test_a_mistake_is_one_line_before_anything_starts(start: Start, tmp_path: Path, arguments, message):
    pq.write_table(raw(simulated_users(1, users=2)), tmp_path / "log.parquet")
    arguments = [tmp_path / name if name.endswith(".parquet") else name for name in arguments]

    process = start(*arguments, "--out", tmp_path / "out")
    said, shown = process.communicate(timeout=PATIENCE_S)

    assert (process.returncode, said) == (2, "")
    assert shown.startswith("error: ")
    assert message in shown
    assert shown.count("\n") == 1
    assert not (tmp_path / "out").exists()
