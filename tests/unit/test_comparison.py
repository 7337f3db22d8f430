"""A challenger against the champion: only on points that neither has learned, with stated error rates."""

import json

import numpy as np
import pytest

from common.clock import DAY_US
from common.holdout import Holdout
from training.comparison import MARGIN, MIN_USERS, Comparison, Contestant, Verdict, compare, difference

DAY_S = 86_400


def sharpened(p: np.ndarray, share: float) -> np.ndarray:
    """Probabilities whose logits are scaled: the further from 1, the worse."""
    logit = np.log(p / (1.0 - p))
    return 1.0 / (1.0 + np.exp(-share * logit))


def a_shop(points: int = 6_000, users: int = 2_000, seed: int = 0) -> Holdout:
    """Points over ten days whose ensemble knows the true probability."""
    rng = np.random.default_rng(seed)
    p = np.clip(rng.beta(1, 7, points), 1e-4, 1 - 1e-4)
    return Holdout(
        point=rng.permutation(points).astype(np.uint64),
        user=rng.integers(0, users, points).astype(np.uint64),
        as_of_us=np.sort(rng.integers(0, 10 * DAY_US, points)),
        kind=(rng.random(points) < 0.3).astype(np.int8),
        label=(rng.random(points) < p).astype(np.int8),
        ensemble=p,
        members={"catboost": p},
    )


def saying(holdout: Holdout, p: np.ndarray) -> Holdout:
    return Holdout(**{**holdout.__dict__, "ensemble": p})


def contestant(holdout: Holdout, *, learned_to_days: float = 10.0, horizon_s: int = DAY_S, name: str = "it-1"):
    return Contestant(name, horizon_s, int(learned_to_days * DAY_US), holdout)


SHOP = a_shop()
NOTHING = SHOP.rows(np.zeros(len(SHOP), dtype=bool))


def test_equal_bundles_of_one_log_are_not_worse():
    found = compare(contestant(SHOP), contestant(SHOP), None)
    assert found.verdict is Verdict.NOT_WORSE
    assert (found.points, found.shared, found.fresh) == (6_000, 6_000, 0)
    assert found.interval == (0.0, 0.0)


def test_points_are_matched_by_what_they_are_whatever_their_order():
    order = np.random.default_rng(1).permutation(len(SHOP))
    found = compare(contestant(SHOP), contestant(SHOP.rows(order[:5_000])), None)
    assert found.shared == found.points == 5_000
    assert found.difference == 0.0


def test_a_worse_challenger_is_refused_by_how_much_it_is_worse():
    blunt = saying(SHOP, sharpened(SHOP.ensemble, 0.5))
    found = compare(contestant(blunt), contestant(SHOP, name="champion-1"), None)
    assert found.verdict is Verdict.WORSE
    assert found.interval[0] > 0.0
    low, high = found.relative_interval
    assert f"{low:+.2%} to {high:+.2%}, up to 1% is allowed" in found.message
    assert found.message.startswith("worse than champion-1: log loss")


def test_a_better_challenger_is_said_to_be_better():
    blunt = saying(SHOP, sharpened(SHOP.ensemble, 0.5))
    found = compare(contestant(SHOP), contestant(blunt), None)
    assert found.verdict is Verdict.BETTER
    assert found.difference < 0.0


def test_a_difference_that_few_points_cannot_tell_is_refused_with_how_many_it_takes():
    few = a_shop(points=1_500, users=600)
    noise = np.random.default_rng(2).normal(0.0, 0.3, len(few))
    other = saying(few, 1.0 / (1.0 + np.exp(-np.log(few.ensemble / (1.0 - few.ensemble)) - noise)))
    found = compare(contestant(few), contestant(other), None)
    assert found.verdict is Verdict.UNCLEAR
    assert found.points_needed > 1_500
    assert "An equal bundle would pass on about" in found.remedy


def test_what_both_held_out_and_what_is_newer_than_the_champion_count_together():
    """The champion's log ended on day 6 with a holdout of days 4 to 6; the labels it learned reach to day 7."""
    days = SHOP.as_of_us / DAY_US
    champion = contestant(SHOP.rows((days >= 4.0) & (days < 6.0)), learned_to_days=6.0)
    asked = []

    def predict(rows):
        asked.extend(rows.tolist())
        return SHOP.ensemble[rows]

    found = compare(contestant(SHOP), champion, predict)

    assert asked == np.flatnonzero(days >= 7.0).tolist()
    assert (found.shared, found.fresh) == (int(((days >= 4.0) & (days < 6.0)).sum()), len(asked))
    assert found.difference == 0.0


def test_without_vectors_only_shared_points_count():
    days = SHOP.as_of_us / DAY_US
    champion = contestant(SHOP.rows(days < 5.0), learned_to_days=5.0)
    found = compare(contestant(SHOP), champion, None)
    assert (found.points, found.fresh) == (int((days < 5.0).sum()), 0)


def test_a_champion_that_learned_every_point_is_not_compared_on_them():
    champion = contestant(NOTHING, learned_to_days=10.0)
    found = compare(contestant(SHOP), champion, lambda rows: pytest.fail("it was asked about points that it learned"))
    assert found.verdict is Verdict.IMPOSSIBLE
    assert "no fair comparison" in found.message
    assert found.remedy


def test_a_challenger_of_an_older_log_does_not_replace_one_of_a_later():
    found = compare(contestant(SHOP, learned_to_days=10.0), contestant(SHOP, learned_to_days=17.0), None)
    assert found.verdict is Verdict.IMPOSSIBLE
    assert "up to 1970-01-11 00:00" in found.message
    assert "7 days later" in found.message


def test_a_log_that_ends_within_the_same_horizon_is_not_older():
    found = compare(contestant(SHOP, learned_to_days=10.0), contestant(SHOP, learned_to_days=10.9), None)
    assert found.verdict is Verdict.NOT_WORSE


def test_probabilities_of_other_horizons_are_not_compared():
    found = compare(contestant(SHOP), contestant(SHOP, horizon_s=3_600), None)
    assert found.verdict is Verdict.IMPOSSIBLE
    assert "within 24 h, the champion it-1 within 1 h" in found.message
    assert found.remedy == "Train with --label-horizon-h 1"


def test_too_few_users_decide_nothing_however_many_points_they_have():
    crowd = Holdout(**{**SHOP.__dict__, "user": SHOP.user % np.uint64(MIN_USERS - 1)})
    assert compare(contestant(crowd), contestant(crowd), None).verdict is Verdict.IMPOSSIBLE


@pytest.mark.parametrize("champion", [contestant(SHOP), contestant(SHOP, horizon_s=3_600)], ids=["fair", "impossible"])
def test_a_comparison_survives_json(champion):
    found = compare(contestant(SHOP), champion, None)
    assert Comparison.from_dict(json.loads(json.dumps(found.as_dict()))) == found


def passed(excess: float, *, users: int, worlds: int = 300, spread: float = 0.25) -> float:
    """The share of worlds in which a challenger passes whose log loss is truly above the champion's by `excess`.

    Both know the true logit up to noise of the same size, as two fits of one recipe do; a user has four points that
    share what is noisy. The challenger's noise is made larger until its expected log loss is in excess by so much.
    """
    rng = np.random.default_rng(7)
    logit = np.log(1.0 / 6.0) + rng.normal(size=60_000)
    truth = 1.0 / (1.0 + np.exp(-logit))

    def expected(scale: float) -> float:
        p = 1.0 / (1.0 + np.exp(-logit - scale * np.random.default_rng(8).normal(size=len(logit))))
        return float(-(truth * np.log(p) + (1.0 - truth) * np.log1p(-p)).mean())

    scales = np.linspace(spread, 4.0 * spread, 25)
    losses = np.array([expected(scale) for scale in scales])
    worse = float(np.interp(losses[0] * (1.0 + excess), losses, scales))
    through = 0
    for _ in range(worlds):
        own = np.repeat(np.log(1.0 / 6.0) + rng.normal(size=users), 4)
        user = np.repeat(np.arange(users), 4)
        y = (rng.random(4 * users) < 1.0 / (1.0 + np.exp(-own))).astype(np.int8)
        ours, theirs = (
            1.0 / (1.0 + np.exp(-own - scale * np.repeat(rng.normal(size=users), 4))) for scale in (worse, spread)
        )
        through += difference(y, ours, theirs, user).verdict() in (Verdict.BETTER, Verdict.NOT_WORSE)
    return through / worlds


def test_a_challenger_that_is_worse_by_the_margin_passes_once_in_forty():
    """The rule is a test at 2.5 %: 300 worlds let 7.5 through on average, and 16 with a chance of 0.4 %."""
    assert passed(MARGIN, users=1_000) <= 16 / 300


def test_an_equal_challenger_passes_more_often_the_more_users_there_are():
    few, many = passed(0.0, users=500, worlds=100), passed(0.0, users=8_000, worlds=60)
    assert few < many
    assert many > 0.8
