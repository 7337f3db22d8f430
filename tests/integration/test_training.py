"""The whole of `train` on a small simulated shop: a real Ray, a real registry, bundles that a replica could serve."""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from common.bundle import Bundle, open_bundle, seal_bundle
from common.catalog import Catalog
from common.clock import DAY_US, from_datetime
from common.ensemble import combine
from common.explanation import ShapExplainer
from common.feature_specs import NAMES, SCHEMA_HASH
from common.vectors import REFERENCE_FILE, read
from training.cli import main
from training.cluster import ray_cluster
from training.evaluation import ENSEMBLE
from training.found import SearchSettings
from training.gates import Gate, recorded
from training.pipeline import TrainOptions, train
from training.prediction import ensemble_probability, member_probabilities
from training.progress import Progress
from training.registry import Registered, Registry
from training.shop.traffic import Plan
from training.simulate import DEFAULT_START, simulate
from training.state import State

NOON_US = from_datetime(DEFAULT_START) + 100 * DAY_US + DAY_US // 2


@dataclass(frozen=True)
class Shop:
    """A simulated log, its truth, and where bundles of it are kept."""

    events: Path
    truth: Path
    state: State


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    directory = tmp_path_factory.mktemp("shop")
    shop = Shop(
        directory / "events.parquet",
        directory / "truth.parquet",
        State.from_environment({"CARTCAST_STATE_DIR": str(directory / "state")}),
    )
    simulate(Plan(events=12_000, seed=3, start_us=from_datetime(DEFAULT_START), days=30), shop.events, shop.truth)
    return shop


@pytest.fixture(scope="module", autouse=True)
def cpus() -> Iterator[int]:
    with ray_cluster() as found:
        yield found


def trained_at(shop: Shop, now_us: int, cpus: int) -> tuple[Bundle, Registered, str]:
    options = TrainOptions(
        events=[shop.events],
        sources=[],
        truth=shop.truth,
        search=SearchSettings(trials=1, time_budget_s=120.0, seed=7),
        horizon_us=DAY_US,
        max_quarantine_ratio=0.01,
        resume=False,
        promote=True,
    )
    shown = io.StringIO()
    progress = Progress(Console(file=shown, width=120))
    bundle, registered = train(options, state=shop.state, cpus=cpus, progress=progress, clock=lambda: now_us)
    return bundle, registered, shown.getvalue()


@pytest.fixture(scope="module")
def first(shop: Shop, cpus: int) -> tuple[Bundle, Registered, str]:
    return trained_at(shop, NOON_US, cpus)


@pytest.fixture(scope="module")
def second(shop: Shop, cpus: int, first: object) -> tuple[Bundle, Registered, str]:
    return trained_at(shop, NOON_US + DAY_US, cpus)


def test_a_bundle_is_sealed_named_by_time_and_content_and_opens(first):
    bundle = open_bundle(first[0].path, feature_schema=SCHEMA_HASH)
    assert bundle.version.startswith("20260415T120000-")
    assert bundle.path.name == bundle.version
    assert set(bundle.manifest.files) >= {
        "members/catboost.cbm",
        "members/xgboost.ubj",
        "members/lightgbm.txt",
        "members/random_forest.onnx",
        "catalog.parquet",
        "trees.parquet",
        "background.parquet",
        "reference.parquet",
    }


def test_the_probe_is_what_the_files_say(first):
    bundle = first[0]
    probe = bundle.manifest.probe
    X = np.array(probe.x, dtype=np.float32)
    assert X.shape == (16, len(NAMES))

    found = member_probabilities(bundle, X)

    for name, expected in probe.members.items():
        np.testing.assert_allclose(found[name], expected, rtol=0.0, atol=1e-6)
    np.testing.assert_allclose(combine(found, bundle.manifest.weights), probe.ensemble, rtol=0.0, atol=1e-6)


def test_the_explanation_explains_what_is_served(first):
    bundle = first[0]
    X = read(bundle.file(REFERENCE_FILE), NAMES)[:200]
    explained = ShapExplainer.from_bundle(bundle).explain(X, bundle.manifest.weights)
    np.testing.assert_allclose(explained.probability, ensemble_probability(bundle, X), rtol=0.0, atol=1e-6)


def test_the_ensemble_lies_between_the_base_rate_and_the_truth(first):
    for of_slice in first[0].manifest.metrics["slices"].values():
        loss = {name: quality["log_loss"] for name, quality in of_slice["quality"].items()}
        assert loss["truth"] < loss[ENSEMBLE] < loss["base_rate"]
        assert set(of_slice["balanced_f1_of"]) == {ENSEMBLE, *first[0].manifest.weights}


def test_the_parts_are_apart_by_the_label_horizon(first):
    parts = first[0].manifest.data["parts"]
    assert list(parts) == ["fit", "tune", "calibrate", "test"]
    bounds = [(np.datetime64(part["from"][:-1]), np.datetime64(part["to"][:-1])) for part in parts.values()]
    for (_, earlier_end), (later_start, _) in pairwise(bounds):
        assert later_start - earlier_end == np.timedelta64(1, "D")


def test_the_sample_request_is_of_a_product_that_the_catalog_knows(first):
    bundle = first[0]
    request = bundle.manifest.data["sample_request"]
    catalog = Catalog.read(bundle.file("catalog.parquet"))
    assert catalog.usual_price(request["product_id"]) > 0.0
    assert set(request) == {
        "user_id",
        "session_id",
        "product_id",
        "category_code",
        "brand",
        "price",
        "hour",
        "day_of_week",
        "is_weekend",
    }


def test_importance_names_every_feature_largest_first(first):
    importance = first[0].manifest.importance
    assert set(importance) == set(NAMES)
    assert list(importance.values()) == sorted(importance.values(), reverse=True)
    assert max(importance.values()) > 0.0


def test_progress_and_figures_are_shown_and_reported(first, shop):
    bundle, _, shown = first
    for stage in (
        "read events",
        "make examples",
        "search",
        "backtest",
        "judge",
        "fit on everything",
        "write bundle",
        "register",
    ):
        assert stage in shown
    assert "95 % interval" in shown
    assert f"champion is now {bundle.version}" in shown
    report = json.loads((shop.state.reports / bundle.version / "report.json").read_text())
    assert len(report["trials"]) == 4
    assert report["metrics"] == bundle.manifest.metrics


def test_the_same_log_and_seed_give_the_same_files(first, second):
    assert second[0].version != first[0].version
    files = [{k: v for k, v in b.manifest.files.items() if k != "model_card.md"} for b in (first[0], second[0])]
    assert files[0] == files[1]  # the card names its version
    assert second[0].manifest.members == first[0].manifest.members
    assert second[0].manifest.threshold == first[0].manifest.threshold
    for name, of_slice in first[0].manifest.metrics["slices"].items():
        again = second[0].manifest.metrics["slices"][name]
        assert again["intervals"] == of_slice["intervals"]
        assert of_slice["quality"].items() <= again["quality"].items()  # the second has a champion beside it


def test_an_equal_bundle_takes_over_and_the_champion_before_is_remembered(first, second, shop):
    assert "compare with the champion" in second[2]
    registry = Registry(shop.state)
    assert registry.champion().version == second[0].version
    assert registry.find("previous").version == first[0].version


@pytest.fixture
def at_home(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line works in the shop's state."""
    monkeypatch.setenv("CARTCAST_STATE_DIR", str(shop.state.directory))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "PYTHONPATH"):
        monkeypatch.setenv(name, "")


@pytest.mark.usefixtures("at_home", "second")
def test_a_registered_bundle_is_judged_by_a_log(first, shop, tmp_path, capfd):
    figures = tmp_path / "figures.json"
    arguments = ["--events", str(shop.events), "--truth", str(shop.truth), "--version", first[0].version]

    assert main(["evaluate", *arguments, "--include-learned", "--json", str(figures)]) == 0

    assert "truth" in capfd.readouterr().out
    found = json.loads(figures.read_text())
    assert found["version"] == first[0].version
    assert found["slices"]["all"]["rows"] == first[0].manifest.data["points"]


@pytest.mark.usefixtures("at_home")
def test_a_bundle_that_missed_a_gate_is_promoted_by_force_alone(first, second, shop, capfd):
    worse = shop.state.bundles / "worse-1"
    for name in first[0].manifest.files:
        (worse / name).parent.mkdir(parents=True, exist_ok=True)
        (worse / name).write_bytes(first[0].file(name).read_bytes())
    gate = Gate("log loss", passed=False, message="0.5 is 0.1 above that of the base rate", remedy="Search longer")
    metrics = {**first[0].manifest.metrics, **recorded([gate])}
    bundle = seal_bundle(worse, first[0].manifest.model_copy(update={"version": "worse-1", "metrics": metrics}))
    registry = Registry(shop.state)
    registry.register(bundle, trials=[], settings={})

    assert main(["promote", "worse-1"]) == 2
    refusal = capfd.readouterr().err
    assert "log loss: 0.5 is 0.1 above that of the base rate" in refusal
    assert "Search longer. To serve it all the same" in refusal
    assert registry.champion().version == second[0].version

    assert main(["promote", "worse-1", "--force"]) == 0
    assert registry.champion().version == "worse-1"
    assert main(["list"]) == 0
    assert "worse-1" in capfd.readouterr().out
    assert main(["rollback"]) == 0
    assert registry.champion().version == second[0].version


@pytest.mark.usefixtures("at_home", "second")
def test_a_champion_that_is_there_is_not_trained_again(capfd):
    assert main(["ensure"]) == 0
    assert "is there" in capfd.readouterr().err


@pytest.mark.usefixtures("at_home")
def test_a_log_shorter_than_its_labels_is_read_counted_and_refused(shop, tmp_path, capfd):
    log = pq.read_table(shop.events)
    day = pa.scalar(DEFAULT_START.replace(hour=20), log["event_time"].type)
    short = log.filter(pc.less(log["event_time"], day))
    pq.write_table(short, tmp_path / "short.parquet")

    assert main(["train", "--events", str(tmp_path / "short.parquet")]) == 2

    error = capfd.readouterr().err
    assert f"{short.num_rows:,} rows" in error
    assert error.strip().splitlines()[-1].startswith("error: all ")
    assert "decision points are censored" in error


@pytest.mark.usefixtures("at_home")
def test_a_log_without_purchases_is_refused(shop, tmp_path, capfd):
    log = pq.read_table(shop.events)
    pq.write_table(log.filter(pc.not_equal(log["event_type"], "purchase")), tmp_path / "idle.parquet")

    assert main(["train", "--events", str(tmp_path / "idle.parquet")]) == 2

    assert "error: the event log has no purchases" in capfd.readouterr().err.strip().splitlines()[-1]


@pytest.mark.usefixtures("at_home")
def test_a_truth_of_another_log_is_refused(shop, tmp_path, capfd):
    truth = pq.read_table(shop.truth)
    pq.write_table(truth.slice(0, truth.num_rows // 2), tmp_path / "half.parquet")
    arguments = ["--events", str(shop.events), "--truth", str(tmp_path / "half.parquet"), "--version", "previous"]

    assert main(["evaluate", *arguments, "--include-learned"]) == 2

    assert "decision points of the log. Give the --truth file" in capfd.readouterr().err
