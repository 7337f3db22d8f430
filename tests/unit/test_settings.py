from pathlib import Path

import pytest

from common.errors import ConfigError
from deployments.settings import Settings, load_settings, variable_of


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch):
    for name in Settings.model_fields:
        monkeypatch.delenv(variable_of(name), raising=False)


def test_the_state_directory_is_absolute_so_that_every_process_means_the_same(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    settings = load_settings()

    assert settings.state_dir == tmp_path / "state"
    assert settings.tracking_uri == f"sqlite:///{tmp_path}/state/mlflow.db"


def test_the_command_line_wins_over_the_environment(monkeypatch):
    monkeypatch.setenv("CARTCAST_HTTP_PORT", "8100")
    monkeypatch.setenv("REDIS_URL", "redis://there:1/0")

    assert load_settings().http_port == 8100
    assert load_settings(http_port=None).http_port == 8100
    assert load_settings(http_port=8200).http_port == 8200
    assert load_settings(redis_url="redis://here:2/0").redis_url.get_secret_value() == "redis://here:2/0"


def test_an_empty_variable_is_one_that_is_not_set(monkeypatch):
    monkeypatch.setenv("CARTCAST_HTTP_PORT", "")
    monkeypatch.setenv("REDIS_URL", "")

    assert load_settings().http_port == 8000
    assert load_settings().redis_url is None


@pytest.mark.parametrize(
    ("variable", "value"),
    [("CARTCAST_HTTP_PORT", "eighty"), ("CARTCAST_HTTP_PORT", "70000"), ("CARTCAST_RAY_CPUS", "0")],
)
def test_a_setting_that_cannot_be_used_is_named(monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)

    with pytest.raises(ConfigError, match=variable):
        load_settings()


def test_a_short_secret_is_refused_without_being_shown(monkeypatch):
    monkeypatch.setenv("CARTCAST_JWT_SECRET", "too-short")

    with pytest.raises(ConfigError, match="CARTCAST_JWT_SECRET cannot be used: it has fewer than 32 bytes") as caught:
        load_settings()

    assert "too-short" not in str(caught.value)


def test_secrets_do_not_show_in_a_printed_settings_object():
    shown = repr(load_settings(jwt_secret="s" * 32, redis_url="redis://:hush@there:1/0"))

    assert "hush" not in shown
    assert "s" * 32 not in shown


def test_every_setting_says_what_it_is_for():
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_a_path_may_start_at_home(monkeypatch):
    assert load_settings(state_dir="~/cartcast").state_dir == Path.home() / "cartcast"
