"""Experiments in a real Redis: definitions stay, users count once, purchases join their exposures."""

import pytest

from common.clock import HOUR_US, SECOND_US
from common.events import EventKind
from deployments.experiments import Experiment, ExperimentConflict, ExperimentNotFound
from deployments.state.experiment_store import CONVERSION_WINDOW_S, ExperimentStore, Exposure
from deployments.state.windows import StoredEvent, WindowStore
from tests.logs import NOON_US, PURCHASE, event

pytestmark = pytest.mark.anyio
WINDOW_US = CONVERSION_WINDOW_S * SECOND_US


def experiment(name="checkout", share=0.5):
    return Experiment(
        experiment_id=name,
        variants=("ensemble", "xgboost"),
        traffic_split={"ensemble": share, "xgboost": 1 - share},
        primary_metric="conversion",
    )


def exposed(user, variant="ensemble", name="checkout", probability=0.25, time_us=NOON_US):
    return Exposure(name, user, variant, probability, time_us)


class Shop:
    """A running experiment with its users."""

    def __init__(self, redis):
        self.experiments = ExperimentStore(redis)
        self.windows = WindowStore(redis)
        self.sent = 0

    async def buys(self, user, after_us, price=10.0, name="", kind=PURCHASE):
        self.sent += 1
        bought = event(0, kind, price=price)._replace(time_us=NOON_US + after_us)
        await self.windows.append([StoredEvent(user, bought, name or f"e{self.sent}")])

    async def figures(self, variant="ensemble", name="checkout"):
        of_variant = (await self.experiments.results(name))["variants"][variant]
        return {figure: of_variant[figure] for figure in ("users", "conversions", "orders", "revenue")}


@pytest.fixture
async def shop(redis):
    shop = Shop(redis)
    await shop.experiments.define(experiment(), NOON_US)
    return shop


async def test_a_definition_stays_what_it_is(redis):
    store = ExperimentStore(redis)
    first = await store.define(experiment(), now_us=1)

    assert await store.define(experiment(), now_us=2) == first
    with pytest.raises(ExperimentConflict):
        await store.define(experiment(share=0.4), now_us=3)
    assert await store.get("checkout") == first


async def test_lists_the_newest_first_and_stops_for_good(redis):
    store = ExperimentStore(redis)
    for i, name in enumerate(("a", "b", "c")):
        await store.define(experiment(name), now_us=i)

    stopped = await store.stop("b", now_us=10)

    assert (stopped.status, stopped.stopped_us) == ("stopped", 10)
    assert await store.stop("b", now_us=20) == stopped
    assert await store.define(experiment("b"), now_us=30) == stopped
    assert [(one.experiment.experiment_id, one.status) for one in await store.all()] == [
        ("c", "running"),
        ("b", "stopped"),
        ("a", "running"),
    ]


async def test_knows_which_experiments_there_are(redis):
    store = ExperimentStore(redis)

    for asking in (store.get("gone"), store.stop("gone", 0), store.results("gone")):
        with pytest.raises(ExperimentNotFound):
            await asking
    assert await store.expose([exposed("ann", name="gone")]) == [False]
    assert await store.all() == []


async def test_there_is_an_end_to_the_number_of_experiments(redis):
    store = ExperimentStore(redis, cap=2)
    for name in ("a", "b", "a"):
        await store.define(experiment(name), now_us=0)

    with pytest.raises(ExperimentConflict):
        await store.define(experiment("c"), now_us=0)


async def test_a_user_counts_once_with_the_first_exposure(shop):
    records = [exposed("ann"), exposed("bob", "xgboost"), exposed("ann", "xgboost", time_us=NOON_US + 5)]

    assert await shop.experiments.expose(records) == [True, True, False]
    assert await shop.experiments.expose(records) == [False, False, False]

    results = await shop.experiments.results("checkout")
    assert {name: arm["users"] for name, arm in results["variants"].items()} == {"ensemble": 1, "xgboost": 1}
    assert results["variants"]["ensemble"]["mean_probability"] == 0.25


async def test_a_user_who_comes_back_after_the_window_is_no_new_user(shop, redis):
    await shop.experiments.expose([exposed("ann")])
    await redis.call("DEL", redis.key("exposed", "ann"))  # what its time to live does

    assert await shop.experiments.expose([exposed("ann", time_us=NOON_US + 3 * WINDOW_US)]) == [False]
    assert (await shop.figures())["users"] == 1


async def test_purchases_in_the_window_join_the_exposure(shop):
    await shop.experiments.expose([exposed("ann"), exposed("bob")])

    await shop.buys("ann", after_us=1, price=10.0)
    await shop.buys("ann", after_us=WINDOW_US, price=2.5)

    assert await shop.figures() == {"users": 2, "conversions": 1, "orders": 2, "revenue": 12.5}


@pytest.mark.parametrize("after_us", [-HOUR_US, 0, WINDOW_US + 1])
async def test_purchases_outside_of_the_window_do_not(shop, after_us):
    await shop.experiments.expose([exposed("ann")])

    await shop.buys("ann", after_us)

    assert (await shop.figures())["orders"] == 0


async def test_a_late_purchase_joins_by_when_it_was_made(shop):
    await shop.experiments.expose([exposed("ann")])

    await shop.buys("ann", after_us=2 * WINDOW_US)
    await shop.buys("ann", after_us=HOUR_US)

    assert (await shop.figures())["conversions"] == 1


async def test_a_purchase_sent_again_does_not_count_again(shop):
    await shop.experiments.expose([exposed("ann")])

    for _ in range(3):
        await shop.buys("ann", after_us=HOUR_US, name="the-same")

    assert await shop.figures() == {"users": 1, "conversions": 1, "orders": 1, "revenue": 10.0}


@pytest.mark.parametrize("kind", [kind for kind in EventKind if kind != PURCHASE])
async def test_only_purchases_are_outcomes(shop, kind):
    await shop.experiments.expose([exposed("ann")])

    await shop.buys("ann", after_us=HOUR_US, kind=kind)

    assert (await shop.figures())["orders"] == 0


async def test_a_user_in_two_experiments_is_an_outcome_of_both(shop):
    await shop.experiments.define(experiment("price"), NOON_US)
    await shop.experiments.expose([exposed("ann"), exposed("ann", "xgboost", name="price", time_us=NOON_US + HOUR_US)])

    await shop.buys("ann", after_us=HOUR_US // 2, price=1.0)
    await shop.buys("ann", after_us=HOUR_US * 2, price=2.0)

    assert (await shop.figures())["revenue"] == 3.0
    assert (await shop.figures("xgboost", "price"))["revenue"] == 2.0


async def test_outcomes_of_a_stopped_experiment_join_on(shop):
    await shop.experiments.expose([exposed("ann")])
    await shop.experiments.stop("checkout", NOON_US)

    await shop.buys("ann", after_us=HOUR_US)

    assert (await shop.figures())["conversions"] == 1


async def test_the_sums_hold_the_squares_that_variances_need(shop, redis):
    await shop.experiments.expose([exposed("ann", probability=0.5), exposed("bob", probability=0.25)])
    for price in (100_000.0, 0.01, 19.99):
        await shop.buys("ann", after_us=HOUR_US, price=price)
    await shop.buys("bob", after_us=HOUR_US, price=3.0)

    sums = await redis.call("HGETALL", redis.key("experiment-sums", "checkout"))

    assert float(sums[b"1|ensemble|cents_squared"]) == 10_002_000**2 + 300**2
    assert float(sums[b"1|ensemble|probability_squared"]) == 0.5**2 + 0.25**2


async def test_ten_thousand_users_take_little_room(shop, redis):
    users = [f"user-{i}" for i in range(10_000)]

    assert sum(await shop.experiments.expose([exposed(user) for user in users])) == 10_000

    shards = [redis.key("exposed-users", "checkout", str(shard)) for shard in range(4_096)]
    memory = await redis.pipeline([("MEMORY", "USAGE", shard) for shard in shards])
    assert (await shop.figures())["users"] == 10_000
    encodings = await redis.pipeline([("OBJECT", "ENCODING", shard) for shard in shards])
    assert set(encodings) == {b"intset", None}
    assert sum(one or 0 for one in memory) < 600_000  # mostly the shards' keys: 8 bytes are added for each user
