"""The registry on a real MLflow store: versions, aliases, the way to a champion and back."""

import json
from pathlib import Path
from typing import Any

import pytest

from common.bundle import Bundle, Manifest, MemberEntry, Probe, seal_bundle
from common.ensemble import Calibration
from common.errors import RegistryError
from training.found import TrialRecord
from training.registry import Registry
from training.runs import LOGGED_TRIALS
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
        TrialRecord("catboost", 2, {"depth": 4}, 0.31, 70, 1.5, "done", [(10, 0.5), (20, 0.31)], 0.1, 0.2),
        TrialRecord("catboost", 0, {"depth": 6}, 0.32, 50, 1.0, "pruned", [(10, 0.32)]),
        TrialRecord("catboost", 1, {"depth": 7}, 0.30, 90, 2.0, "over_budget", [(10, 0.30)], 1.0, 9.0),
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
    (nested,) = nested_runs(client, run)
    assert nested.data.params == {"depth": "6"}
    assert nested.data.metrics == {
        "trials": 3.0,
        "tune_log_loss": 0.31,
        "best_so_far": 0.31,
        "weight": 1.0,
        "all.log_loss": 0.31,
    }
    assert {artifact.path for artifact in client.list_artifacts(entry.run_id, "bundle")} == {
        "bundle/manifest.json",
        "bundle/members",
    }


def nested_runs(client: Any, parent: Any) -> list[Any]:
    query = f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
    return sorted(client.search_runs([parent.info.experiment_id], query), key=lambda run: run.info.run_name)


def test_each_trial_is_a_run_in_that_of_its_kind_with_its_parameters_figures_and_curve(registry, store):
    entry = registered(registry, store, "trials-1")

    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=store.tracking_uri)
    (kind,) = nested_runs(client, client.get_run(entry.run_id))
    pruned, slow, best = nested_runs(client, kind)
    assert [run.info.status for run in (pruned, slow, best)] == ["KILLED", "FINISHED", "FINISHED"]
    assert best.data.params == {"depth": "4", "status": "done"}
    assert best.data.metrics["best_log_loss"] == 0.31
    assert best.data.metrics["rounds"] == 70.0
    assert best.data.metrics["latency_32_ms"] == 0.2
    assert "latency_1_ms" not in pruned.data.metrics
    assert best.info.end_time - best.info.start_time == 1_500
    curve = client.get_metric_history(best.info.run_id, "log_loss")
    assert [(point.step, point.value) for point in curve] == [(10, 0.5), (20, 0.31)]
    history = client.get_metric_history(kind.info.run_id, "best_so_far")
    assert [(point.step, point.value) for point in history] == [(1, 0.32), (2, 0.32), (3, 0.31)]


def test_thousands_of_trials_are_kept_but_only_the_best_get_runs(registry, store):
    many = [TrialRecord("catboost", n, {"depth": 4}, 1.0 - n / 10_000, 50, 1.0) for n in range(3 * LOGGED_TRIALS)]
    entry = registry.register(a_bundle(store, "many-1"), trials=many, settings={})

    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=store.tracking_uri)
    (kind,) = nested_runs(client, client.get_run(entry.run_id))
    runs = nested_runs(client, kind)
    assert len(runs) == LOGGED_TRIALS
    assert min(run.data.metrics["best_log_loss"] for run in runs) == many[-1].log_loss
    kept = json.loads(Path(client.download_artifacts(entry.run_id, "search/trials.json")).read_text(encoding="utf-8"))
    assert [trial["number"] for trial in kept] == [trial.number for trial in many]


def test_the_files_of_a_report_are_kept_with_the_run(registry, store, tmp_path):
    entry = registered(registry, store, "report-1")
    (tmp_path / "index.html").write_text("<html>", encoding="utf-8")

    registry.add_report(entry, tmp_path)

    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=store.tracking_uri)
    assert [artifact.path for artifact in client.list_artifacts(entry.run_id, "report")] == ["report/index.html"]


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
