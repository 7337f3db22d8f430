"""The command line of training, as far as it needs neither Ray nor a registry."""

import importlib
import signal
import types
from contextlib import nullcontext

import pytest

from training.cli import main


@pytest.fixture(autouse=True)
def _own_state(tmp_path, monkeypatch):
    monkeypatch.setenv("CARTCAST_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    # what `prepare` sets stays in this test
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "PYTHONPATH"):
        monkeypatch.setenv(name, "")


@pytest.mark.parametrize("command", ["train", "evaluate", "ensure"])
def test_a_missing_log_is_one_line_and_exit_code_2(command, tmp_path, capfd):
    assert main([command, "--events", str(tmp_path / "missing.parquet")]) == 2
    error = capfd.readouterr().err.strip()
    assert error.splitlines()[-1] == f"error: no event log at {tmp_path / 'missing.parquet'}. Check the path"
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["train"], "--events"),
        (["train", "--events", "x", "--trials", "0"], "at least 1"),
        (["train", "--events", "x", "--label-horizon-h", "0"], "above 0"),
        (["train", "--events", "x", "--max-quarantine-ratio", "2"], "from 0 to 1"),
        (["train", "--events", "x", "--time-budget-s", "-1"], "a number of 0 or more"),
        (["train", "--events", "x", "--latency-budget-ms", "0"], "above 0"),
        (["train", "--events", "x", "--half-life-days", "-1"], "a number of 0 or more"),
        (["train", "--events", "x", "--margin", "0"], "above 0"),
        (["ensure", "--contact-cost", "-0.1"], "a number of 0 or more"),
        (["train", "--events", "x", "--margin", "abc"], "--margin: it must be a number above 0, not 'abc'"),
        (["train", "--events", "x", "--seed", "1.5"], "--seed: it must be a whole number, not '1.5'"),
        (["simulate", "--out", "x", "--days", "soon"], "--days: it must be a whole number of at least 1, not 'soon'"),
        (["promote"], "version"),
        (["nonsense"], "invalid choice"),
    ],
)
def test_wrong_arguments_are_explained(arguments, complaint, capsys):
    assert main(arguments) == 2
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize("command", ["train", "simulate", "ensure", "evaluate", "promote", "rollback", "list"])
def test_every_command_has_help(command, capsys):
    assert main([command, "--help"]) == 0
    assert "usage: python -m training" in capsys.readouterr().out


def test_what_train_is_asked_reaches_the_run(tmp_path, monkeypatch):
    from training import commands, pipeline

    log = tmp_path / "log.parquet"
    assert main(["simulate", "--out", str(log), "--events", "1000", "--days", "5"]) == 0
    asked = []
    monkeypatch.setattr(pipeline, "train", lambda options, **_: asked.append(options))
    monkeypatch.setattr(commands, "ray_cluster", lambda _address: nullcontext(2))
    economics = ["--margin", "12", "--contact-cost", "0.5"]

    assert main(["train", "--events", str(log), *economics, "--latency-budget-ms", "2", "--half-life-days", "0"]) == 0
    assert main(["train", "--events", str(log), "--half-life-days", "30"]) == 0

    first, second = asked
    assert (first.margin, first.contact_cost, first.search.latency_budget_ms) == (12.0, 0.5, 2.0)
    assert (first.half_life_days, second.half_life_days) == (None, 30.0)
    assert second.search.latency_budget_ms is None
    assert [source["path"] for source in first.sources] == [str(log.resolve())]


def test_a_simulated_log_is_written_where_it_was_asked_for_and_told_in_one_line(tmp_path, capfd):
    arguments = ["simulate", "--out", str(tmp_path / "log.parquet"), "--events", "1000", "--days", "5"]
    assert main(arguments) == 0
    assert (tmp_path / "log.parquet").stat().st_size > 0
    (told,) = capfd.readouterr().err.splitlines()
    assert "events from 2026-01-05 00:" in told
    assert "to 2026-01-09 23:" in told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["train", "--events", "x"], "interrupted: what a search has found so far is kept"),
        (["ensure"], "interrupted: the same command begins again"),
        (["list"], "interrupted"),
    ],
)
def test_an_interrupted_command_says_what_is_kept_and_ends_with_130(arguments, told, monkeypatch, capfd):
    monkeypatch.setattr(importlib, "import_module", lambda _name: signal.raise_signal(signal.SIGINT))
    assert main(arguments) == 130
    assert capfd.readouterr().err.splitlines()[-1].startswith(told)


def test_a_library_that_makes_another_error_of_an_interrupt_leaves_no_traceback(monkeypatch, capfd):
    def importing(_name: str) -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise ImportError("half a module") from None

    monkeypatch.setattr(importlib, "import_module", importing)
    assert main(["list"]) == 130
    assert capfd.readouterr().err == "interrupted\n"


def test_a_search_that_took_the_interrupt_for_itself_has_said_all(monkeypatch, capfd):
    def search(_name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib, "import_module", search)
    assert main(["train", "--events", "x"]) == 130
    assert capfd.readouterr().err == "starting ...\n"


def test_what_takes_seconds_to_import_says_first_that_it_starts(monkeypatch, capfd):
    said = []
    commands = types.SimpleNamespace(evaluate=lambda _given: None)
    monkeypatch.setattr(importlib, "import_module", lambda _name: said.append(capfd.readouterr().err) or commands)
    assert main(["evaluate", "--events", "x"]) == 0
    assert said == ["starting ...\n"]


def test_a_cluster_that_is_not_there_is_reported_at_once(tmp_path, capfd):
    log = str(tmp_path / "log.parquet")
    assert main(["simulate", "--out", log, "--events", "1000", "--days", "5"]) == 0
    assert main(["train", "--events", log, "--address", "127.0.0.1:1"]) == 2
    assert "error: no Ray cluster answers at 127.0.0.1:1. Start it, or leave out" in capfd.readouterr().err
