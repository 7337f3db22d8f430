"""LIME's surrogate, and both explainers as a bundle's files give them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from common import trees, vectors
from common.bundle import Bundle, Manifest, MemberEntry, Probe, seal_bundle
from common.ensemble import Calibration
from common.errors import BundleError
from common.trees import TreeTable
from deployments.explanation import LimeExplainer, ShapExplainer
from tests.forests import random_rows, random_table

SLOPES = np.array([0.5, -0.25, 0.0, 2.0])
MEAN = np.array([1.0, -2.0, 0.0, 10.0])


def linear(X: NDArray[np.float32], weights: Mapping[str, float]) -> NDArray[np.float64]:
    return weights["m"] * (0.1 + X @ SLOPES)


def reference(rows: int = 4_000) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(MEAN, [1.0, 3.0, 1.0, 0.1], (rows, 4)).astype(np.float32)


def test_a_linear_vote_is_recovered_and_weights_reach_it():
    x, rows = np.array([2.0, 1.0, 3.0, 10.2], dtype=np.float32), reference()
    explainer = LimeExplainer(linear, rows)

    for weight in (1.0, 0.5):
        local = explainer.explain(x, {"m": weight})

        assert local.contributions == pytest.approx(weight * SLOPES * (x - rows.mean(axis=0)), abs=0.02)
        assert local.base_value == pytest.approx(linear(rows, {"m": weight}).mean(), abs=0.01)
        assert local.prediction == pytest.approx(linear(x[np.newaxis], {"m": weight})[0], abs=0.02)
        assert local.r2 > 0.99


def test_the_fit_says_how_far_the_surrogate_is_from_the_vote():
    def wavy(X: NDArray[np.float32], weights: Mapping[str, float]) -> NDArray[np.float64]:
        return np.sin(20.0 * X[:, 0]).astype(np.float64)

    assert LimeExplainer(wavy, reference()).explain(MEAN.astype(np.float32), {"m": 1.0}).r2 < 0.1


def test_the_same_vector_gets_the_same_explanation_whatever_was_asked_before():
    def crooked(X: NDArray[np.float32], weights: Mapping[str, float]) -> NDArray[np.float64]:
        return np.abs(X[:, 0] - 1.0) * (X[:, 1] > 0)

    explainer, x = LimeExplainer(crooked, reference(), samples=300), np.float32([2.0, 1.0, 3.0, 10.2])

    first = explainer.explain(x, {"m": 1.0})
    explainer.explain(x + 1, {"m": 1.0})
    again = explainer.explain(x, {"m": 1.0})

    other_seed = LimeExplainer(crooked, reference(), samples=300, seed=1).explain(x, {"m": 1.0})
    assert again.contributions.tobytes() == first.contributions.tobytes()
    assert other_seed.contributions.tobytes() != first.contributions.tobytes()


def test_a_feature_that_never_varies_gets_nothing():
    rows = reference()
    rows[:, 2] = 7.0

    local = LimeExplainer(linear, rows).explain(np.float32([2.0, 1.0, 7.0, 10.2]), {"m": 1.0})

    assert local.contributions[2] == 0.0


def bundle(directory: Path, tables: Mapping[str, TreeTable], *, width: int = 6) -> Bundle:
    rng = np.random.default_rng(1)
    names = [f"f{i}" for i in range(width)]
    trees.write(directory / trees.FILE, tables)
    vectors.write(directory / vectors.BACKGROUND_FILE, random_rows(rng, 8, width), names)
    vectors.write(directory / vectors.REFERENCE_FILE, random_rows(rng, 500, width), names)
    members = [
        MemberEntry(
            name=name,
            kind="xgboost",
            file=f"members/{name}",
            weight=weight,
            calibration=Calibration(slope=slope, intercept=-0.5),
            base_margin=base_margin,
        )
        for name, weight, slope, base_margin in (("a", 0.75, 0.3, -1.0), ("b", 0.25, 0.6, 2.0))
    ]
    manifest = Manifest(
        version="v1",
        created="2026-01-01T00:00:00Z",
        feature_schema="f",
        features=names,
        members=members,
        threshold=0.5,
        label_horizon_s=86_400,
        catalog_through_day=0,
        probe=Probe(x=[], members={}, ensemble=[]),
    )
    return seal_bundle(directory, manifest)


def two_tables() -> dict[str, TreeTable]:
    rng = np.random.default_rng(2)
    return {"a": random_table(rng), "b": random_table(rng)}


def test_a_bundle_explains_its_own_members_against_its_own_background(tmp_path: Path):
    tables = two_tables()
    made, X = bundle(tmp_path, tables), random_rows(np.random.default_rng(3), 20)
    a, b = made.manifest.members

    explained = ShapExplainer.from_bundle(made).explain(X, made.manifest.weights)

    expected = sum(
        entry.weight * entry.calibration.probability(entry.base_margin + tables[entry.name].margin(X))
        for entry in (a, b)
    )
    assert explained.probability == pytest.approx(expected, abs=1e-12)
    background = vectors.read(tmp_path / vectors.BACKGROUND_FILE, made.manifest.features)
    base = ShapExplainer.from_bundle(made).probability(background, made.manifest.weights).mean()
    assert explained.base_value == pytest.approx(base, abs=1e-12)


def test_a_bundle_gives_lime_its_vote_and_reference(tmp_path: Path):
    made = bundle(tmp_path, two_tables())
    x = random_rows(np.random.default_rng(4), 1)[0]

    local = LimeExplainer.from_bundle(made).explain(x, made.manifest.weights)

    probability = ShapExplainer.from_bundle(made).probability(x[np.newaxis], made.manifest.weights)[0]
    assert local.contributions.shape == (6,)
    assert 0.0 < local.r2 < 1.0
    assert local.prediction == pytest.approx(probability, abs=0.2)


def test_a_bundle_without_a_members_trees_or_with_too_narrow_a_background_is_refused(tmp_path: Path):
    (tmp_path / "half").mkdir()
    (tmp_path / "narrow").mkdir()

    with pytest.raises(BundleError, match="not of its members"):
        ShapExplainer.from_bundle(bundle(tmp_path / "half", {"a": two_tables()["a"]}))
    with pytest.raises(BundleError, match="do not fit its background"):
        ShapExplainer.from_bundle(bundle(tmp_path / "narrow", two_tables(), width=4))
