"""The ensemble's probability, split exactly: on the trees of real models of all four kinds."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from common.bundle import MEMBER_FILES, MEMBER_KINDS
from common.ensemble import Calibration, combine, sigmoid
from common.errors import BundleError
from common.explanation import ShapExplainer
from common.members import Fold, Margin, adapter
from common.trees import TreeTable, stack
from tests.forests import brute_force
from training.explanation import trees_of

FEATURES = 8
CALIBRATIONS = {
    "catboost": Calibration(slope=1.3, intercept=-0.2),
    "xgboost": Calibration(slope=0.8, intercept=0.1),
    "lightgbm": Calibration(slope=1.0, intercept=0.0),
    "random_forest": Calibration(slope=1.7, intercept=0.4),
}
WEIGHTS = {"catboost": 0.4, "xgboost": 0.3, "lightgbm": 0.2, "random_forest": 0.1}


class Shop(NamedTuple):
    """Small fitted models as they are served, their trees, and rows that they have not seen."""

    margins: Mapping[str, Margin]
    tables: Mapping[str, TreeTable]
    base_margins: Mapping[str, float]
    X: NDArray[np.float32]

    def probabilities(self, X: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
        return {kind: CALIBRATIONS[kind].probability(margin(X)) for kind, margin in self.margins.items()}

    def explainer(self, rows: int = 16) -> ShapExplainer:
        return ShapExplainer(self.tables, self.base_margins, CALIBRATIONS, self.X[:rows])


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    rng = np.random.default_rng(7)
    X = rng.normal(size=(6_000, FEATURES)).astype(np.float32)
    X[:, 1] = rng.poisson(1.0, 6_000) - 1.0  # zero between others: LightGBM treats its surroundings apart
    X[:, 2] = np.where(rng.random(6_000) < 0.5, -1.0, np.exp(X[:, 2]))
    X[:, 3] = X[:, 3] > 0
    rise = X[:, 0] + 0.5 * X[:, 1] * X[:, 3] - np.abs(X[:, 4]) + 0.3 * np.maximum(X[:, 2], 0.0) - 1.5
    y = (rng.random(6_000) < sigmoid(rise)).astype(np.int8)
    fold = Fold(X[:3_000], y[:3_000], X[3_000:4_000], y[3_000:4_000])
    directory = tmp_path_factory.mktemp("members")
    margins, tables, base_margins = {}, {}, {}
    for kind in MEMBER_KINDS:
        module = adapter(kind)
        model = module.fit(fold, dict(module.DEFAULTS), seed=1, threads=1).model
        file = directory / Path(MEMBER_FILES[kind]).name
        module.save(model, file)
        margins[kind] = module.load(file, threads=1)
        tables[kind], base_margins[kind] = trees_of(kind, model)
    return Shop(margins, tables, base_margins, X[4_000:])


def on_thresholds(table: TreeTable, X: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """The rows with every feature moved onto one of its thresholds, or to the float32 right above or below."""
    X = X.copy()
    for feature in np.unique(table.feature[table.feature >= 0]):
        known = np.unique(table.threshold[table.feature == feature]).astype(np.float32)
        drawn = rng.choice(known, len(X))
        beside = [drawn, np.nextafter(drawn, np.float32(np.inf)), np.nextafter(drawn, np.float32(-np.inf))]
        X[:, feature] = np.choose(rng.integers(0, 3, len(X)), beside)
    return X


@pytest.mark.parametrize("kind", MEMBER_KINDS)
def test_the_trees_give_the_margins_that_the_served_model_gives(shop: Shop, kind: str):
    # CatBoost and LightGBM sum in float64, XGBoost and ONNX Runtime in float32
    tolerance = 1e-12 if kind in ("catboost", "lightgbm") else 4e-6
    rng = np.random.default_rng(0)

    for X in (shop.X, on_thresholds(shop.tables[kind], shop.X, rng)):
        table = shop.base_margins[kind] + shop.tables[kind].margin(X)

        assert len(X) == 2_000
        assert np.abs(table - shop.margins[kind](X)).max() < tolerance


@pytest.mark.parametrize("kind", MEMBER_KINDS)
def test_every_inner_node_covers_what_its_children_cover(shop: Shop, kind: str):
    table = shop.tables[kind]
    inner = np.flatnonzero(table.feature >= 0)

    below = table.cover[table.left[inner]] + table.cover[table.right[inner]]

    assert table.cover[inner] == pytest.approx(below, rel=1e-4)
    assert table.cover[table.offsets[:-1]].min() > 0.0


@pytest.mark.parametrize("kind", MEMBER_KINDS)
def test_a_member_is_split_by_shapleys_definition_through_its_link(shop: Shop, kind: str):
    margin, calibration = shop.margins[kind], CALIBRATIONS[kind]
    rows = 6
    explained = shop.explainer(rows).explain(shop.X[50:53], {kind: 1.0})

    for x, found in zip(shop.X[50:53], explained.contributions, strict=True):
        expected = np.zeros(FEATURES)
        for b in shop.X[:rows]:
            m_x, m_b = margin(np.stack([x, b]))
            p_x, p_b = calibration.probability(np.array([m_x, m_b]))
            expected += brute_force(margin, x, b) * (p_x - p_b) / (m_x - m_b) / rows
        assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    "weights",
    [
        WEIGHTS,
        {"catboost": 0.0, "xgboost": 1.0, "lightgbm": 0.0, "random_forest": 0.0},
        {"xgboost": 0.3, "random_forest": 0.1},  # two members did not answer
        {"random_forest": 1.0},
        {"lightgbm": 0.0},  # only one that weighs nothing is left
    ],
)
def test_base_value_and_contributions_are_the_probability_that_is_served(shop: Shop, weights: dict[str, float]):
    X = np.concatenate([shop.X, shop.X[:16]])  # the background's own rows too
    served = combine({kind: p for kind, p in shop.probabilities(X).items() if kind in weights}, weights)

    explained = shop.explainer().explain(X, weights)

    assert np.abs(explained.base_value + explained.contributions.sum(axis=1) - served).max() < 1e-6
    assert explained.probability == pytest.approx(shop.explainer().probability(X, weights), abs=1e-12)


def test_each_member_adds_up_to_its_own_probability_and_by_weight_to_the_ensemble(shop: Shop):
    X, weights = shop.X[:50], {**WEIGHTS, "xgboost": 0.0, "catboost": 0.7}

    explained = shop.explainer().explain(X, weights, per_member=True)

    own = shop.probabilities(X)
    assert list(explained.members) == list(MEMBER_KINDS)
    for kind, (base_value, contributions) in explained.members.items():
        assert np.abs(base_value + contributions.sum(axis=1) - own[kind]).max() < 1e-6
    voted = sum(weights[kind] * member.contributions for kind, member in explained.members.items())
    assert explained.contributions == pytest.approx(voted, abs=1e-12)
    assert shop.explainer().explain(X, weights).members == {}


def test_agrees_with_shap(shop: Shop):
    shap = pytest.importorskip("shap")
    lightgbm = pytest.importorskip("lightgbm")
    y = shop.X[:, 0] > shop.X[:, 4]
    model = lightgbm.train({"objective": "binary", "num_threads": 1, "verbosity": -1}, lightgbm.Dataset(shop.X, y), 40)
    settings = {"feature_perturbation": "interventional", "model_output": "probability"}
    peer = shap.TreeExplainer(model, shop.X[:16], **settings)
    table, base_margin = trees_of("lightgbm", model)
    plain = Calibration(slope=1.0, intercept=0.0)

    ours = ShapExplainer({"m": table}, {"m": base_margin}, {"m": plain}, shop.X[:16]).explain(shop.X[50:70], {"m": 1.0})

    assert ours.contributions == pytest.approx(peer.shap_values(shop.X[50:70]), abs=1e-6)
    assert ours.base_value == pytest.approx(peer.expected_value, abs=1e-6)


def test_a_model_that_is_no_binary_sum_of_numeric_splits_is_refused(shop: Shop):
    lightgbm, xgboost = pytest.importorskip("lightgbm"), pytest.importorskip("xgboost")
    X, y = shop.X[:500], shop.X[:500, 1] % 2 == 1  # a category's matter
    quiet = {"num_threads": 1, "verbosity": -1}
    by_category = lightgbm.Dataset(X, y, categorical_feature=[1], params={"min_data_per_group": 5, **quiet})
    wrong = [
        ("lightgbm", lightgbm.train({"objective": "binary", **quiet}, by_category, 5)),
        ("lightgbm", lightgbm.train({"objective": "regression", **quiet}, lightgbm.Dataset(X, y), 5)),
        ("xgboost", xgboost.train({"booster": "dart", "objective": "binary:logistic"}, xgboost.DMatrix(X, y), 5)),
        ("xgboost", xgboost.train({"objective": "reg:squarederror"}, xgboost.DMatrix(X, y), 5)),
    ]

    for kind, model in wrong:
        with pytest.raises(BundleError, match=f"the {kind} model is not a binary sum of trees"):
            trees_of(kind, model)


def test_margins_that_meet_are_split_by_the_links_derivative():
    """Two rows of one margin, reached by different leaves: what features give cancels and must not blow up."""
    leaves = {"left": [1, -1, -1], "right": [2, -1, -1], "threshold": [0.0] * 3, "cover": [1.0] * 3}
    table = stack(
        [
            {**leaves, "feature": [0, -1, -1], "value": [0.0, -1.0, 1.0]},
            {**leaves, "feature": [1, -1, -1], "value": [0.0, 1.0, -1.0 + 1e-13]},
        ]
    )
    explainer = ShapExplainer(
        {"m": table}, {"m": 0.0}, {"m": Calibration(slope=2.0, intercept=0.0)}, np.zeros((1, 2), np.float32)
    )

    (found,) = explainer.explain(np.ones((1, 2), np.float32), {"m": 1.0}).contributions

    assert found == pytest.approx([2.0 * 2.0 * 0.25, -2.0 * 2.0 * 0.25], abs=1e-6)


def test_threads_do_not_disturb_each_other(shop: Shop):
    explainer, X = shop.explainer(), shop.X[:64]
    alone = explainer.explain(X, WEIGHTS).contributions

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda _: explainer.explain(X, WEIGHTS).contributions, range(8)))

    assert all(values.tobytes() == alone.tobytes() for values in together)


def test_a_member_without_trees_and_no_member_at_all_are_refused(shop: Shop):
    with pytest.raises(BundleError, match="asked for"):
        shop.explainer().explain(shop.X[:1], {"catboost": 0.5, "elsewhere": 0.5})
    with pytest.raises(BundleError, match="asked for"):
        shop.explainer().explain(shop.X[:1], {})
