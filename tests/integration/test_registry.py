"""The registry on a real MLflow store: versions, aliases, the way to a champion and back."""

from pathlib import Path

import pytest

from common.bundle import Bundle, Manifest, MemberEntry, Probe, seal_bundle
from common.ensemble import Calibration
from common.errors import RegistryError
from training.found import TrialRecord
from training.registry import Registry
from training.state import State


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> State:
    """One store for all tests here: making one takes seconds. Versions are never removed, so tests add their own."""
    return State.from_environment({"CARTCAST_STATE_DIR": str(tmp_path_factory.mktemp("state"))})


@pytest.fixture(scope="module")
def registry(store) -> Registry:
    return Registry(store)


def a_bundle(store: State, version: str, *, log_loss: float = 0.3) -> Bundle:
    path = store.bundles / version
    (path / "members").mkdir(parents=True)
    (path / "members" / "catboost.cbm").write_bytes(version.encode())
    quality = {"ensemble": {"log_loss": log_loss, "roc_auc": 0.8, "ece": 0.01}, "catboost": {"log_loss": 0.31}}
    manifest = Manifest(
        version=version,
        created="2026-01-01T00:00:00Z",
        feature_schema="schema",
        features=["price"],
        members=[
            MemberEntry(
                name="catboost",
                kind="catboost",
                file="members/catboost.cbm",
                weight=1.0,
                calibration=Calibration(slope=1.0, intercept=0.0),
                base_margin=0.0,
                params={"depth": 6},
            )
        ],
        threshold=0.3,
        label_horizon_s=86_400,
        catalog_through_day=1,
        metrics={"slices": {"all": {"quality": quality}}, "missed_gates": []},
        probe=Probe(x=[], members={}, ensemble=[]),
    )
    return seal_bundle(path, manifest)


def registered(registry: Registry, store: State, version: str):
    trials = [
        TrialRecord("catboost", 0, {"depth": 6}, log_loss=0.32, rounds=50, seconds=1.0),
        TrialRecord("catboost", 1, {"depth": 4}, log_loss=0.31, rounds=70, seconds=1.0),
    ]
    return registry.register(a_bundle(store, version), trials=trials, settings={"seed": 7})


def test_the_first_version_is_a_challenger_that_nobody_serves(tmp_path):
    state = State.from_environment({"CARTCAST_STATE_DIR": str(tmp_path / "new")})
    registry = Registry(state)
    assert registry.versions() == []
    assert registry.champion() is None

    entry = registered(registry, state, "first-1")

    assert entry.aliases == ("challenger",)
    assert entry.figures == {"log_loss": 0.3, "roc_auc": 0.8, "ece": 0.01}
    assert registry.champion() is None
    with pytest.raises(RegistryError, match="no previous champion"):
        registry.rollback()


def test_a_version_is_found_by_name_number_and_alias(registry, store):
    entry = registered(registry, store, "found-1")
    assert registry.find("found-1") == registry.find(entry.number) == registry.find("challenger")
    assert registry.versions()[0] == registry.find("found-1")


def test_an_unknown_version_is_refused_with_those_that_are_there(registry, store):
    registered(registry, store, "known-1")
    with pytest.raises(RegistryError, match=r"no version nothing.*known-1"):
        registry.find("nothing")


def test_promotion_remembers_the_champion_before_and_rollback_returns_to_it(registry, store):
    for version in ("old-1", "new-1"):
        registered(registry, store, version)
        registry.promote(version)
    assert registry.champion().version == "new-1"
    assert registry.find("previous").version == "old-1"

    assert registry.rollback().version == "old-1"
    assert registry.champion().version == "old-1"
    assert registry.find("previous").version == "new-1"

    assert registry.rollback().version == "new-1"


def test_promoting_the_champion_again_changes_nothing(registry, store):
    for version in ("again-1", "again-2"):
        registered(registry, store, version)
        registry.promote(version)
    registry.promote("again-2")
    assert registry.find("previous").version == "again-1"


def test_a_run_holds_what_was_searched_with_a_nested_run_for_each_kind(registry, store):
    entry = registered(registry, store, "runs-1")

    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=store.tracking_uri)
    run = client.get_run(entry.run_id)
    assert run.data.params == {"seed": "7"}
    assert run.data.metrics["all.log_loss"] == 0.3
    (nested,) = client.search_runs(
        [run.info.experiment_id], filter_string=f"tags.`mlflow.parentRunId` = '{entry.run_id}'"
    )
    assert nested.data.params == {"depth": "6"}
    assert nested.data.metrics == {"trials": 2.0, "tune_log_loss": 0.31, "weight": 1.0, "all.log_loss": 0.31}
    assert {artifact.path for artifact in client.list_artifacts(entry.run_id, "bundle")} == {
        "bundle/manifest.json",
        "bundle/members",
    }


def test_a_bundle_that_was_lost_is_fetched_from_the_store(registry, store):
    entry = registered(registry, store, "lost-1")
    path = registry.fetch(entry)
    assert path == store.bundles / "lost-1"
    manifest = (path / "manifest.json").read_bytes()
    path.rename(store.bundles / "elsewhere")

    from mlflow import MlflowClient

    source = f"{MlflowClient(tracking_uri=store.tracking_uri).get_run(entry.run_id).info.artifact_uri}/bundle"
    moved = type(entry)(**{**entry.__dict__, "path": source, "version": "fetched-1"})

    assert (registry.fetch(moved) / "manifest.json").read_bytes() == manifest


def test_a_server_that_is_not_there_is_reported_in_one_line():
    state = State(Path("unused"), "http://127.0.0.1:9")
    with pytest.raises(RegistryError, match=r"the registry does not answer: .*MLFLOW_TRACKING_URI"):
        Registry(state)
