"""The bundle to serve, from a real MLflow registry."""

import json
import shutil

import pytest
from mlflow import MlflowClient

from common.errors import RegistryError
from deployments.registry import find_bundle
from deployments.settings import load_settings


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    """Two versions: v1 is the champion, v2 lies among the artifacts of a run and is the challenger."""
    state = tmp_path_factory.mktemp("state")
    for name in ("v1", "v2"):
        bundle = state / "made" / name
        bundle.mkdir(parents=True)
        (bundle / "manifest.json").write_text(json.dumps({"version": name}))
    uri = f"sqlite:///{state / 'mlflow.db'}"
    client = MlflowClient(uri, uri)
    client.create_registered_model("cartcast")
    experiment = client.create_experiment("cartcast", artifact_location=(state / "artifacts").as_uri())
    run = client.create_run(experiment).info.run_id
    client.log_artifacts(run, str(state / "made" / "v2"), "bundle")
    places = {"v1": str(state / "made" / "v1"), "v2": f"runs:/{run}/bundle"}
    for name, place in places.items():
        tags = {"bundle_version": name, "bundle_path": place}
        version = client.create_model_version("cartcast", str(state / "made" / name), tags=tags)
        client.set_registered_model_alias("cartcast", {"v1": "champion", "v2": "challenger"}[name], version.version)
    shutil.rmtree(state / "made" / "v2")
    return state


@pytest.fixture
def settings(registry, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return load_settings(state_dir=registry)


def test_the_champion_is_served_unless_said_otherwise(settings, registry):
    found = find_bundle(settings)

    assert (found.version, found.path) == ("v1", registry / "made" / "v1")


@pytest.mark.parametrize("version", ["v1", "1"])
def test_a_version_is_found_by_its_own_name_and_by_its_number(settings, version):
    assert find_bundle(settings, version=version).version == "v1"


def test_a_bundle_that_lies_elsewhere_is_fetched_once(settings, registry):
    first = find_bundle(settings, alias="challenger")
    (first.path / "seen").touch()
    second = find_bundle(settings, alias="challenger")

    assert first.path == registry / "bundles" / "v2"
    assert json.loads((first.path / "manifest.json").read_text()) == {"version": "v2"}
    assert (second.path / "seen").exists()
    assert sorted(path.name for path in (registry / "bundles").iterdir()) == ["v2"]


def test_an_alias_or_a_version_that_is_not_there_says_what_is(settings):
    with pytest.raises(RegistryError, match=r"there is no canary in the registry\. Train one with: make run"):
        find_bundle(settings, alias="canary")
    with pytest.raises(RegistryError, match=r"there is no version v9 in the registry\. It has: v1, v2"):
        find_bundle(settings, version="v9")


def test_before_the_first_training_there_is_no_registry_and_none_is_made(tmp_path):
    with pytest.raises(RegistryError, match="there is no champion: nothing was trained yet"):
        find_bundle(load_settings(state_dir=tmp_path))

    assert list(tmp_path.iterdir()) == []


def test_a_bundle_whose_files_are_gone_is_reported_with_its_place(settings, registry):
    path = registry / "made" / "v1"
    moved = path.rename(registry / "made" / "moved")
    try:
        with pytest.raises(RegistryError, match=f"bundle v1 is registered, but there is none at {path}"):
            find_bundle(settings)
    finally:
        moved.rename(path)


def test_a_tracking_server_that_does_not_answer_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    with pytest.raises(RegistryError, match="the registry does not answer") as refused:
        find_bundle(load_settings(state_dir=tmp_path))

    assert "\n" not in str(refused.value)
    assert "MLFLOW_TRACKING_URI" in refused.value.remedy
