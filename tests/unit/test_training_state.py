"""Where a training run keeps things."""

from pathlib import Path

import pytest

from common.errors import ConfigError
from training.state import State


def test_everything_lies_in_one_directory_unless_a_server_is_named(tmp_path):
    state = State.from_environment({"CARTCAST_STATE_DIR": str(tmp_path)})
    assert state.tracking_uri == f"sqlite:///{tmp_path / 'mlflow.db'}"
    for place in (state.bundles, state.searches, state.quarantine, state.reports, state.artifacts, state.ray_token):
        assert place.parent == tmp_path

    served = State.from_environment({"CARTCAST_STATE_DIR": str(tmp_path), "MLFLOW_TRACKING_URI": "http://mlflow:5000"})
    assert served.tracking_uri == "http://mlflow:5000"


def test_the_default_is_a_directory_of_where_the_command_was_started(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert State.from_environment({}).directory == tmp_path / "state"
    assert State.from_environment({"CARTCAST_STATE_DIR": ""}).directory == tmp_path / "state"


def test_a_password_in_the_address_is_not_shown():
    state = State(Path("state"), "postgresql://shop:secret@db/mlflow")
    assert state.shown_tracking_uri == "postgresql://db/mlflow"


def test_a_place_that_cannot_be_a_directory_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot be made: .*Set CARTCAST_STATE_DIR"):
        State.from_environment({"CARTCAST_STATE_DIR": str(tmp_path / "file" / "state")}).make()
