"""What every member adapter promises, whichever library is behind it."""

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import optuna
import pytest

from common.bundle import MEMBER_FILES, MEMBER_KINDS
from common.errors import ConfigError
from common.members import MAX_ROUNDS, Fitted, Fold, adapter
from common.members.random_forest_member import TREES
from tests.margins import Problem, log_loss_of, problem
from training.calibrate import fit_calibration
from training.explanation import trees_of

LIBRARY = {
    "catboost": "catboost",
    "xgboost": "xgboost",
    "lightgbm": "lightgbm",
    "random_forest": "onnxruntime",
}

pytestmark = pytest.mark.parametrize("kind", MEMBER_KINDS)


@pytest.fixture(scope="module")
def data() -> Problem:
    return problem()


@pytest.fixture(scope="module")
def fitted(data: Problem) -> dict[str, Fitted]:
    return {kind: adapter(kind).fit(data.fold, adapter(kind).DEFAULTS, seed=1, threads=1) for kind in MEMBER_KINDS}


def test_learns_more_than_the_base_rate(kind, data, fitted):
    margin = fitted[kind].margin(data.X)
    calibrated = fit_calibration(margin[: data.later.start], data.y[: data.later.start]).probability(margin)
    rate = data.y[: data.later.start].mean()

    y = data.y[data.later]
    of_model = -np.log(np.where(y > 0, calibrated[data.later], 1.0 - calibrated[data.later])).mean()
    of_rate = -np.log(np.where(y > 0, rate, 1.0 - rate)).mean()
    of_truth = -np.log(np.where(y > 0, data.p[data.later], 1.0 - data.p[data.later])).mean()
    # three fifths of what the truth itself is better than the base rate by
    assert of_model < of_rate - 0.6 * (of_rate - of_truth)


def test_margins_survive_saving_and_loading(kind, data, fitted, tmp_path):
    path = tmp_path / Path(MEMBER_FILES[kind]).name
    adapter(kind).save(fitted[kind].model, path)

    loaded = adapter(kind).load(path, threads=1)(data.X)

    assert loaded.dtype == np.float64
    assert loaded.shape == (len(data.X),)
    np.testing.assert_allclose(loaded, fitted[kind].margin(data.X), rtol=0.0, atol=1e-5)


def test_a_row_has_the_same_margin_alone_and_in_a_batch(kind, data, fitted, tmp_path):
    path = tmp_path / Path(MEMBER_FILES[kind]).name
    adapter(kind).save(fitted[kind].model, path)
    margin = adapter(kind).load(path, threads=1)

    alone = np.concatenate([margin(data.X[row : row + 1]) for row in range(50)])

    np.testing.assert_allclose(alone, margin(data.X)[:50], rtol=0.0, atol=1e-6)


def test_the_margin_is_base_margin_and_sum_of_trees(kind, data, fitted, tmp_path):
    path = tmp_path / Path(MEMBER_FILES[kind]).name
    adapter(kind).save(fitted[kind].model, path)
    trees, base_margin = trees_of(kind, fitted[kind].model)

    margin = adapter(kind).load(path, threads=1)(data.X)

    np.testing.assert_allclose(base_margin + trees.margin(data.X), margin, rtol=0.0, atol=1e-5)


def test_loading_unpickles_nothing(kind, fitted, tmp_path, monkeypatch):
    path = tmp_path / Path(MEMBER_FILES[kind]).name
    adapter(kind).save(fitted[kind].model, path)

    def refuse(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("a pickle was read")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)

    assert np.isfinite(adapter(kind).load(path, threads=1)(np.zeros((1, 8), np.float32))).all()


def test_the_same_seed_gives_the_same_file(kind, data, fitted, tmp_path):
    again = adapter(kind).fit(data.fold, adapter(kind).DEFAULTS, seed=1, threads=1)

    assert np.array_equal(again.margin(data.X), fitted[kind].margin(data.X))
    name = Path(MEMBER_FILES[kind]).name
    for model, path in ((again.model, tmp_path / f"again-{name}"), (fitted[kind].model, tmp_path / name)):
        adapter(kind).save(model, path)
    assert (tmp_path / name).read_bytes() == (tmp_path / f"again-{name}").read_bytes()


def test_another_seed_gives_another_model(kind, data, fitted):
    other = adapter(kind).fit(data.fold, adapter(kind).DEFAULTS, seed=2, threads=1)

    assert not np.array_equal(other.margin(data.X), fitted[kind].margin(data.X))


def test_rounds_are_reported_in_order_with_a_falling_loss(kind, data, fitted):
    told: list[tuple[int, float]] = []
    adapter(kind).fit(
        data.fold, adapter(kind).DEFAULTS, seed=1, threads=1, on_round=lambda *report: bool(told.append(report))
    )

    rounds, losses = zip(*told, strict=True)
    assert list(rounds) == sorted(set(rounds))
    assert rounds[-1] <= MAX_ROUNDS
    assert min(losses) < losses[0]
    if kind != "random_forest":  # the forest reports its loss as if calibrated
        margin = fitted[kind].margin(data.fold.X_valid)
        assert min(losses) == pytest.approx(log_loss_of(margin, data.fold.y_valid), abs=1e-5)


def test_stops_where_it_is_told_to(kind, data):
    told: list[int] = []

    def stop_at_twenty(rounds: int, _loss: float) -> bool:
        told.append(rounds)
        return rounds >= 20

    fitted = adapter(kind).fit(data.fold, adapter(kind).DEFAULTS, seed=1, threads=1, on_round=stop_at_twenty)

    assert told[-1] == 20
    assert fitted.rounds <= 20
    assert np.isfinite(fitted.margin(data.X)).all()


def test_keeps_the_rounds_of_the_best_loss(kind, data):
    told: dict[int, float] = {}
    fitted = adapter(kind).fit(
        data.fold, adapter(kind).DEFAULTS, seed=1, threads=1, on_round=lambda *report: bool(told.update([report]))
    )

    best = min(told, key=told.__getitem__) if kind != "random_forest" else max(told)
    assert fitted.rounds == best


def test_weights_move_the_fit(kind, data):
    fold = data.fold
    heavy = np.where(fold.y > 0, 5.0, 1.0)
    weighted = type(fold)(fold.X, fold.y, fold.X_valid, fold.y_valid, heavy)
    params = adapter(kind).DEFAULTS
    shallow = {"on_round": lambda rounds, _loss: rounds >= 20}

    plain = adapter(kind).fit(fold, params, seed=1, threads=1, **shallow).margin(data.X)
    towards_buying = adapter(kind).fit(weighted, params, seed=1, threads=1, **shallow).margin(data.X)

    assert towards_buying.mean() > plain.mean()


def test_twice_the_weight_on_every_row_is_the_same_fit(kind, data):
    fold = data.fold
    weight = np.linspace(0.2, 1.0, len(fold.y))
    once = Fold(fold.X, fold.y, fold.X_valid, fold.y_valid, weight)
    twice = Fold(fold.X, fold.y, fold.X_valid, fold.y_valid, 2.0 * weight)
    fits = [adapter(kind).fit(each, adapter(kind).DEFAULTS, seed=1, threads=1, rounds=20) for each in (once, twice)]

    np.testing.assert_allclose(fits[0].margin(data.X), fits[1].margin(data.X), rtol=0.0, atol=1e-6)


def test_a_row_without_weight_might_as_well_be_missing(kind, data):
    fold = data.fold
    kept = np.arange(len(fold.y)) % 2 == 0
    wrong = np.where(kept, fold.y, 1 - fold.y).astype(np.int8)
    lied_to = Fold(fold.X, wrong, fold.X_valid, fold.y_valid, np.where(kept, 1.0, 1e-9))

    margin = adapter(kind).fit(lied_to, adapter(kind).DEFAULTS, seed=1, threads=1, rounds=40).margin(data.X)

    later = data.later
    rate = data.y.mean()
    of_rate = -(rate * np.log(rate) + (1.0 - rate) * np.log(1.0 - rate))
    assert log_loss_of(margin[later], data.y[later]) < of_rate


def test_fits_exactly_the_rounds_it_is_given_without_a_valid_part(kind, data):
    fold = data.fold
    alone = Fold(fold.X, fold.y, fold.X[:0], fold.y[:0])
    told: list[int] = []

    fitted = adapter(kind).fit(
        alone,
        adapter(kind).DEFAULTS,
        seed=1,
        threads=1,
        rounds=37,
        on_round=lambda rounds, _: bool(told.append(rounds)),
    )

    assert fitted.rounds == (37 if kind != "random_forest" else TREES)
    assert told == []
    assert np.isfinite(fitted.margin(data.X)).all()


def test_the_first_rounds_of_a_fit_are_the_fit_of_those_rounds(kind, data):
    params = adapter(kind).DEFAULTS
    long = adapter(kind).fit(data.fold, params, seed=1, threads=1, rounds=60)
    short = adapter(kind).fit(data.fold, params, seed=1, threads=1, rounds=25)

    staged = adapter(kind).staged(long.model, data.X, 25, threads=1)

    np.testing.assert_allclose(staged, short.margin(data.X), rtol=0.0, atol=1e-6)


def test_the_valid_part_does_not_touch_a_fit_of_given_rounds(kind, data):
    fold = data.fold
    alone = Fold(fold.X, fold.y, fold.X[:0], fold.y[:0])
    fits = [adapter(kind).fit(each, adapter(kind).DEFAULTS, seed=1, threads=1, rounds=20) for each in (fold, alone)]

    assert np.array_equal(fits[0].margin(data.X), fits[1].margin(data.X))


@pytest.mark.parametrize("point", ["DEFAULTS", "CHEAPEST"])
def test_the_points_that_a_search_starts_with_lie_inside_its_space(kind, point):
    params = dict(getattr(adapter(kind), point))
    study = optuna.create_study()
    study.enqueue_trial(params)

    assert adapter(kind).search_space(study.ask()) == params


def test_importing_an_adapter_imports_no_other_library(kind):
    others = [library for other, library in LIBRARY.items() if other != kind] + (
        ["sklearn", "skl2onnx"] if kind == "random_forest" else []
    )
    code = (
        "import sys; from common.members import adapter; "
        f"adapter({kind!r}); print([name for name in {others!r} if name in sys.modules])"
    )

    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert printed.strip() == "[]"


def test_an_unknown_kind_is_refused(kind):
    with pytest.raises(ConfigError, match="Known kinds"):
        adapter(kind + "_2")
