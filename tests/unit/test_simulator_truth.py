"""The true probabilities of the simulated shop: the project's own decision points, and nothing contradicts them."""

import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.special import expit, logit

from common.clock import DAY_US, from_datetime
from common.eventlog import check, kept
from common.events import NAME_BY_KIND, EventKind
from common.replay import point_table
from training.shop import truth
from training.shop.behaviour import DEFAULT, Behaviour, BuyWeights, Known, Situation, buy_log_odds
from training.shop.traffic import Plan, batches, world_of
from training.shop.write import points_of
from training.simulate import simulate

START_US = from_datetime(datetime(2026, 1, 5, tzinfo=UTC))
MAX_Z = 4.0
"""About one honest table of these in a hundred has a group beyond this; the seed is fixed."""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[pa.Table, pd.DataFrame]:
    """A log of 200,000 events as the project reads it, and its truth."""
    folder = tmp_path_factory.mktemp("shop")
    simulate(Plan(200_000, 21, START_US), folder / "log.parquet", folder / "truth.parquet")
    log = kept(check(pq.read_table(folder / "log.parquet"), source="log"))
    return log, pd.read_parquet(folder / "truth.parquet")


@pytest.fixture(scope="module")
def judged(shop: tuple[pa.Table, pd.DataFrame]) -> pd.DataFrame:
    """Uncensored points with facts of their past, as anyone could compute them from the log."""
    log, points = shop
    events = log.to_pandas().sort_values(["user", "time_us", "kind"]).reset_index(drop=True)
    points = points.dropna(subset="label").assign(time_us=lambda p: p.as_of.astype("int64"))
    points = points.assign(kind=points.kind.map({"view": 0, "cart": 1}), product=points.product_id.astype(str))
    facts = _facts(events).drop_duplicates(["session", "product", "kind"])
    return points.merge(facts, left_on=["user_session", "product", "kind"], right_on=["session", "product", "kind"])


def _facts(events: pd.DataFrame) -> pd.DataFrame:
    """For each event, what was known with it."""
    session = events.groupby("session")
    first_of_pair = ~events.duplicated(["session", "product"])
    firsts = events.drop_duplicates("session").groupby("user").cumcount()
    return events.assign(
        events_so_far=session.cumcount(),
        products_so_far=first_of_pair.groupby(events.session).cumsum(),
        age_s=(events.time_us - session.time_us.transform("first")) / 1e6,
        session_number=events.session.map(dict(zip(events.session.unique(), firsts, strict=True))),
        hour=events.time_us // (DAY_US // 24) % 24,
        weekday=(events.time_us // DAY_US + 3) % 7,
        day=events.time_us // DAY_US,
        **{
            f"{name}s_so_far": (events.kind == kind).groupby(events.session).cumsum() - (events.kind == kind)
            for kind, name in NAME_BY_KIND.items()
        },
        purchases_ever=(events.kind == EventKind.PURCHASE).groupby(events.user).cumsum(),
        product_views_ever=(events.kind == EventKind.VIEW).groupby([events.user, events["product"]]).cumsum(),
        same_as_last=events["product"] == session["product"].shift(),
        gap_s=session.time_us.diff().fillna(-1),
    )[lambda frame: frame.kind <= EventKind.CART].drop(columns=["user", "time_us", "day"])


def groupings(points: pd.DataFrame) -> Iterator[tuple[str, pd.Series]]:
    """Ways to cut the points by what was observable."""
    for name in ("session_number", "products_so_far", "events_so_far", "product_views_ever", "purchases_ever"):
        yield name, points[name].clip(upper=8)
    for name in ("hour", "weekday", "category", "brand", "same_as_last", "product"):
        yield name, points[name]
    for name in ("carts_so_far", "remove_from_carts_so_far", "purchases_so_far"):
        yield name, points[name].clip(upper=4)
    for name in ("price", "age_s", "gap_s", "true_probability"):
        yield name, pd.qcut(points[name], 10, labels=False, duplicates="drop")


def z_scores(points: pd.DataFrame, group: pd.Series) -> pd.Series:
    """Observed minus expected purchases by group, in standard errors; rows of a user may depend on each other."""
    by_user = (points.label.astype(float) - points.true_probability).groupby([group, points.user_id]).sum()
    excess = by_user.groupby(level=0).sum()
    return (excess / np.sqrt((by_user**2).groupby(level=0).sum()))[points.label.groupby(group).sum() >= 30]


def test_the_truth_has_exactly_the_decision_points_and_labels_of_the_log(
    shop: tuple[pa.Table, pd.DataFrame],
) -> None:
    log, points = shop
    end_us = max(log["time_us"].to_pylist())
    replayed = {
        (row["user"], row["session"], row["product"], row["as_of_us"], NAME_BY_KIND[EventKind(row["kind"])]): (
            None if row["censored"] else bool(row["label"])
        )
        for row in point_table(log, horizon_us=DAY_US, log_end_us=end_us).to_pylist()
    }

    keys = zip(
        points.user_id.astype(str),
        points.user_session,
        points.product_id.astype(str),
        points.as_of.astype("int64"),
        points.kind,
        strict=True,
    )

    assert dict(zip(keys, points.label.astype(object), strict=True)) == replayed
    assert len(points) == len(replayed)


@pytest.mark.parametrize("kind", [EventKind.VIEW, EventKind.CART])
def test_the_truth_is_calibrated_whatever_the_points_are_cut_by(judged: pd.DataFrame, kind: EventKind) -> None:
    points = judged[judged.kind == kind]

    overall = z_scores(points, pd.Series(0, index=points.index))
    worst = {name: z_scores(points, group).abs().max() for name, group in groupings(points)}

    assert overall.abs().max() < 3.0
    assert max(worst.values()) < MAX_Z, worst


def test_a_truth_that_is_wrong_by_a_fifth_of_a_unit_of_log_odds_would_be_noticed(judged: pd.DataFrame) -> None:
    wrong = judged.assign(true_probability=expit(logit(judged.true_probability) + 0.2))

    assert z_scores(wrong, pd.Series(0, index=wrong.index)).abs().max() > MAX_Z


def test_a_truth_blind_to_the_session_would_be_noticed(judged: pd.DataFrame) -> None:
    points = judged[judged.kind == EventKind.VIEW]
    blind = points.assign(true_probability=points.groupby("product").true_probability.transform("mean"))

    assert z_scores(blind, points.carts_so_far.clip(upper=4)).abs().max() > MAX_Z


def test_the_signal_is_about_as_strong_as_in_the_real_shop(judged: pd.DataFrame) -> None:
    for kind, base_rate, auc in ((EventKind.VIEW, 0.089, 0.86), (EventKind.CART, 0.293, 0.72)):
        points = judged[judged.kind == kind]
        rank = points.true_probability.rank()
        positive = points.label.astype(bool)
        found = (rank[positive].mean() - (positive.sum() + 1) / 2) / (~positive).sum()

        assert abs(points.label.mean() / base_rate - 1.0) < 0.15
        assert abs(found - auc) < 0.03


def test_intent_leaves_no_trace_but_the_one_that_the_truth_follows(judged: pd.DataFrame) -> None:
    """Sessions that go on are more likely to buy, by just as much as the truth says."""
    carts = judged[(judged.kind == EventKind.CART) & (judged.session_number == 0) & (judged.carts_so_far == 0)]
    depth = carts.products_so_far.clip(upper=6)

    assert carts.groupby(depth).true_probability.mean().is_monotonic_increasing
    assert z_scores(carts, depth).abs().max() < MAX_Z


@pytest.mark.parametrize(
    "behaviour",
    [
        dataclasses.replace(DEFAULT, buy=dataclasses.replace(DEFAULT.buy, base=DEFAULT.buy.base + 1.5)),
        dataclasses.replace(DEFAULT, called_back=(0.0, 0.10, 0.60, 0.0)),
        dataclasses.replace(DEFAULT, stops_intent=-2.0, later_cart=0.5),
        dataclasses.replace(DEFAULT, goes_on_after_checkout=0.8, removed=0.5),
    ],
    ids=["a lift", "frequent calls", "intent that shows, late carts", "visits after checkouts, removals"],
)
def test_the_truth_follows_another_behaviour(behaviour: Behaviour) -> None:
    plan = Plan(100_000, 8, START_US, behaviour=behaviour)
    points = np.concatenate([points_of(batch.meetings) for batch in batches(plan, world_of(plan))])
    points = pd.DataFrame(points[points["as_of_us"] < plan.end_us - DAY_US])
    frame = points.rename(columns={"user": "user_id", "truth": "true_probability", "bought": "label"})

    decile = pd.qcut(frame.true_probability, 10, labels=False)

    for group in (frame.kind, decile, frame.kind * 100 + decile):
        assert z_scores(frame, group).abs().max() < MAX_Z


def test_a_lift_raises_the_true_probability_of_the_same_shop() -> None:
    lifted = dataclasses.replace(DEFAULT, buy=dataclasses.replace(DEFAULT.buy, base=DEFAULT.buy.base + 1.5))

    means = []
    for behaviour in (DEFAULT, lifted):
        plan = Plan(20_000, 8, START_US, behaviour=behaviour)
        points = np.concatenate([points_of(batch.meetings) for batch in batches(plan, world_of(plan))])
        means.append((points["truth"].mean(), points["bought"].mean()))

    assert means[1][0] > 1.1 * means[0][0]
    assert means[1][1] > 1.1 * means[0][1]


def situation(**changes: float) -> Situation:
    """One product met first in a session, with `changes`."""
    facts = {name: np.zeros(1) for name in Situation._fields} | {
        "known": np.zeros(1, np.int8),
        "price": np.full(1, 15.0),
        "basket": np.zeros(1, np.int32),
        "met": np.zeros(1, np.int32),
        "hour": np.full(1, 15),
        "intent": np.full(1, 0.2),
    }
    return Situation(**facts | {name: np.full(1, value, facts[name].dtype) for name, value in changes.items()})


def true_at_view(behaviour: Behaviour, **changes: float) -> float:
    """The truth of one view."""
    s = situation(**changes)
    odds = buy_log_odds(behaviour.buy, s)
    calls = truth.later_calls(behaviour, s, Known.CARTED)
    return truth.view_point(behaviour, s, truth.cart_probability(behaviour, s), odds, calls).item()


@pytest.mark.parametrize(
    ("change", "sign"),
    [
        ({"deal": 0.2}, 1),
        ({"intent": 0.6}, 1),
        ({"cart_appeal": 1.0}, 1),
        ({"buy_appeal": 1.0}, 1),
        ({"recent_buyer": 1.0}, 1),
        ({"known": Known.CARTED}, 1),
        ({"met": 3}, -1),
        ({"hour": 9}, -1),
        ({"weekend": 1.0}, -1),
    ],
)
def test_facts_move_the_truth_the_way_they_should(change: dict[str, float], sign: int) -> None:
    assert sign * (true_at_view(DEFAULT, **change) - true_at_view(DEFAULT)) > 0.003


def test_a_view_is_worth_the_chance_of_a_cart_times_what_a_cart_is_worth_where_nothing_else_can_happen() -> None:
    plain = dataclasses.replace(DEFAULT, called_back=(0.0,) * 4, looks_carted=(1.0,), later_cart=0.0)
    s = situation()

    cart = truth.cart_probability(plain, s)
    at_cart = truth.cart_point(plain, buy_log_odds(plain.buy, s), s.intent, np.zeros(1))

    assert true_at_view(plain) == pytest.approx((cart * at_cart).item(), rel=1e-12)


def test_without_carts_only_a_call_can_lead_to_a_purchase() -> None:
    never = dataclasses.replace(DEFAULT, cart=dataclasses.replace(DEFAULT.cart, base=-1e9))
    s = situation()

    expected = DEFAULT.called_back[Known.VIEWED] * truth.value_of_return(never, s, Known.VIEWED)

    assert true_at_view(never) == pytest.approx(expected.item(), rel=1e-12)


def test_looks_before_the_cart_are_counted_over_both_looks() -> None:
    twice = dataclasses.replace(DEFAULT, looks_carted=(0.5, 0.5), later_cart=1.0, buy=BuyWeights(per_extra_look=-1.0))

    assert truth.look_distribution(twice) == pytest.approx((0.0, 0.25, 0.5, 0.25))
