"""Logs made into examples on a real Ray: the same as a replay in one process, made once, whole or not at all."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import ray
from rich.console import Console

from common.catalog import Catalog, ContinuedHistory
from common.clock import DAY_US, HOUR_US
from common.counting import day_counts_of
from common.errors import EventLogError, InputError
from common.replay import example_table, x_matrix
from tests.logs import canonical, raw, simulated_users
from training import example_making
from training.log import Log, read_log
from training.progress import Progress
from training.shop.traffic import Plan
from training.simulate import simulate
from training.state import State
from training.truth import true_probabilities

ORDER = [(name, "ascending") for name in ("as_of_us", "user", "session", "product", "kind")]
ALL = slice(None)
NOW_US = (17_014 + 100) * DAY_US
TEXTS = ["user", "session", "product", "category", "brand", "price", "as_of_us", "kind", "label"]


@pytest.fixture(scope="module", autouse=True)
def cluster():
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def users():
    return simulated_users(5, users=120)


@pytest.fixture
def path(users, tmp_path) -> Path:
    pq.write_table(raw(users), tmp_path / "log.parquet")
    return tmp_path / "log.parquet"


def made(path: Path, name: str = "state", **options: object) -> Log:
    """The examples of a log in a state directory beside it."""
    state = State(path.parent / name, "sqlite:///none")
    arguments = {
        "horizon_us": DAY_US,
        "max_quarantine_ratio": 0.01,
        "progress": Progress(Console(quiet=True)),
        "now_us": NOW_US,
    }
    return read_log([path], state=state, **{**arguments, **options})


def replayed(users) -> pa.Table:
    """What a replay in one process makes of a log."""
    log = canonical(users)
    history = ContinuedHistory(Catalog.empty(), day_counts_of(log))
    last = pc.max(log["time_us"]).as_py()
    examples = example_table(log, history, horizon_us=DAY_US, log_end_us=last)
    return examples.filter(pc.invert(examples["censored"])).sort_by(ORDER)


def test_examples_are_those_of_a_replay_in_one_process_however_the_work_is_cut(users, path, monkeypatch):
    expected = replayed(users)
    whole = made(path, "whole").examples
    monkeypatch.setattr(example_making, "EVENTS", 150)
    monkeypatch.setattr(example_making, "MIN_EVENTS", 50)
    cut = made(path, "cut").examples

    assert len(whole.store.sizes) == 1 < len(cut.store.sizes)
    for examples in (whole, cut):
        assert np.array_equal(examples.x(ALL), x_matrix(expected))
        assert examples.table(TEXTS, ALL).to_pylist() == expected.select(TEXTS).to_pylist()
        assert examples.y.tolist() == expected["label"].to_pylist()
        assert examples.counts["users"] == len(users)
    assert np.array_equal(whole.user, cut.user)
    assert len({*zip(whole.user.tolist(), expected["user"].to_pylist(), strict=True)}) == len(set(whole.user.tolist()))


def test_the_same_log_is_made_into_examples_once(path, monkeypatch):
    first = made(path).examples
    (path.parent / "renamed").mkdir()
    moved = path.rename(path.parent / "renamed" / "other.parquet")
    monkeypatch.setattr("training.log.make_store", None)

    again = read_log(
        [moved],
        state=State(path.parent / "state", "sqlite:///none"),
        horizon_us=DAY_US,
        max_quarantine_ratio=0.01,
        progress=Progress(Console(quiet=True)),
        now_us=NOW_US,
    ).examples

    assert again.store.identity == first.store.identity
    assert np.array_equal(again.x(ALL), first.x(ALL))


def test_another_horizon_another_catalog_and_other_content_are_other_examples(path):
    first = made(path).examples
    longer = made(path, horizon_us=2 * DAY_US).examples
    continued = made(path, known=first.catalog).examples
    pq.write_table(pq.read_table(path).slice(1), path)
    shorter = made(path).examples

    assert len({examples.store.identity for examples in (first, longer, continued, shorter)}) == 4
    assert len(longer) < len(first)


def test_a_day_that_the_log_breaks_off_in_is_left_to_whoever_has_the_rest_of_it(path):
    log = pq.read_table(path)
    last = pc.max(log["event_time"])
    midnight_us = pc.floor_temporal(last, unit="day").cast(pa.int64()).as_py()
    times_us = log["event_time"].cast(pa.int64())
    broken = log.filter(pc.less(times_us, midnight_us + 7 * HOUR_US))
    complete = log.filter(pc.less(times_us, midnight_us))
    assert complete.num_rows < broken.num_rows

    through = {}
    for name, table in (("broken", broken), ("complete", complete)):
        pq.write_table(table, path.parent / f"{name}.parquet")
        through[name] = made(path.parent / f"{name}.parquet", name).examples.catalog.through_day

    assert through["broken"] == midnight_us // DAY_US - 1
    assert through["complete"] <= through["broken"]


def test_only_the_newest_stores_and_those_in_use_stay_on_disk(path):
    held = made(path).examples
    for days in (2, 3, 4):
        made(path, horizon_us=days * DAY_US)

    kept = {store.name for store in (path.parent / "state" / "examples").iterdir()}
    assert len(kept) == 3
    assert held.store.identity in kept


def test_what_breaks_off_leaves_no_store_behind(path, monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(example_making, "_write_points", interrupted)
        with pytest.raises(KeyboardInterrupt):
            made(path)
    shelf = path.parent / "state" / "examples"
    (shelf / ".making-left").mkdir()
    left = sorted(shelf.iterdir())
    examples = made(path).examples

    assert left == [shelf / ".making-left"]
    assert sorted(shelf.iterdir()) == [shelf / examples.store.identity]


def test_rows_set_aside_are_counted_and_kept_when_examples_are_used_again(path):
    table = pq.read_table(path)
    prices = table["price"].to_numpy().copy()
    prices[3] = -1.0
    pq.write_table(table.set_column(table.column_names.index("price"), "price", pa.array(prices)), path)
    first = made(path)
    first.report.quarantine.unlink()

    again = made(path)

    assert again.report == first.report
    assert again.report.reasons == {"bad_price": 1}
    assert pq.read_table(again.report.quarantine).num_rows == 1


def test_a_row_of_the_future_is_set_aside_until_its_time_has_come(path):
    last_us = pc.max(pq.read_table(path)["event_time"].cast(pa.int64())).as_py()

    early = made(path, now_us=last_us - 2 * DAY_US, max_quarantine_ratio=0.9)
    reasons, points = early.report.reasons, len(early.examples)
    del early  # while it is held, its store stays what it is
    later = made(path, now_us=last_us)

    assert set(reasons) == {"future_time"}
    assert later.report.reasons == {}
    assert len(later.examples) > points


def test_a_log_shorter_than_the_horizon_has_no_examples(path):
    with pytest.raises(EventLogError, match=r"decision points are censored: the log covers .* and a label needs 240 h"):
        made(path, horizon_us=10 * DAY_US)


def test_a_fold_is_loaded_from_the_store_in_a_worker(path):
    examples = made(path).examples
    fit, valid = slice(0, 700), np.arange(800, 1_000, 7)
    source = examples.fold(fit, valid, weight=np.linspace(1.0, 2.0, 700))

    fold = ray.get(ray.remote(lambda: source.load()).remote())

    assert np.array_equal(fold.X, examples.x(ALL)[fit])
    assert np.array_equal(fold.X_valid, examples.x(ALL)[valid])
    assert np.array_equal(fold.y, examples.y[fit])
    assert np.array_equal(fold.y_valid, examples.y[valid])
    assert fold.weight.tolist() == np.linspace(1.0, 2.0, 700).tolist()


def test_points_that_look_into_an_outage_have_no_label(tmp_path):
    users = simulated_users(7, users=900, days=8)
    outage = ((17_014 + 3) * DAY_US, (17_014 + 4) * DAY_US)
    feed = {
        user: [event for event in events if event.kind != 3 or not outage[0] <= event.time_us < outage[1]]
        for user, events in users.items()
    }
    pq.write_table(raw({user: events for user, events in feed.items() if events}), tmp_path / "log.parquet")

    examples = made(tmp_path / "log.parquet").examples

    (found,) = examples.outages
    assert abs(found.start_us - outage[0]) < DAY_US / 24
    assert abs(found.end_us - outage[1]) < DAY_US / 24
    meets = (examples.as_of_us < found.end_us) & (examples.as_of_us + DAY_US >= found.start_us)
    assert not meets.any()
    assert examples.unlabelled > 0


def test_examples_find_their_true_probabilities(tmp_path):
    log, truth = tmp_path / "log.parquet", tmp_path / "truth.parquet"
    simulate(Plan(events=4_000, seed=3, start_us=17_014 * DAY_US, days=20, products=50), log, truth)
    examples = made(log).examples
    rows = slice(100, 900)

    found = true_probabilities(truth, examples, rows)

    known = pq.read_table(truth)
    of_point = dict(
        zip(
            zip(*(known[name].to_pylist() for name in ("user_id", "user_session", "product_id", "kind")), strict=True),
            known["true_probability"].to_pylist(),
            strict=True,
        )
    )
    asked = examples.table(["user", "session", "product", "kind"], rows).to_pylist()
    keys = [(int(row["user"]), row["session"], int(row["product"]), ("view", "cart")[row["kind"]]) for row in asked]
    assert found.tolist() == [of_point[key] for key in keys]

    pq.write_table(known.slice(0, known.num_rows // 2), truth)
    with pytest.raises(InputError, match=r"lacks .* of .* decision points"):
        true_probabilities(truth, examples, ALL)
