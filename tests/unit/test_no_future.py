"""No feature of a decision knows anything that came after it: events planted in the future move no bit of it.

Planted are events of every kind: of the user and of others, in the same session and in others, on the same product
and on others, a microsecond later, later the same day and on later days, and a whole future without the past.
"""

import random
from collections.abc import Callable, Mapping
from functools import cache

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from common.catalog import Catalog, CatalogHistory
from common.clock import DAY_US, HOUR_US, day_of
from common.counting import day_counts_of
from common.daycounts import DayCounts
from common.events import Event, EventKind
from common.replay import UserEvents, example_table, x_matrix
from tests.logs import canonical, sample_of, simulated_users, store_table
from tests.reference_counts import count, from_table, merge
from tests.reference_features import Point, points_of, served


class Shop:
    """A log: some users, and the others of whom the catalog alone knows."""

    def __init__(self, users: UserEvents, others: Mapping[int, DayCounts], some: int) -> None:
        self.users = users
        self.others = others
        self.some = some
        days: dict[int, DayCounts] = {}
        merge(days, dict(others))
        merge(days, count(event for events in users.values() for event in events))
        self.history = CatalogHistory(Catalog.empty(), days)

    def vectors(self, user: str, points: list[Point]) -> list[list[float]]:
        """The vectors of some points, as this log gives them."""
        return [x.tolist() for x in served(points, self.users.get(user, []), self.history)]

    def planted(self, user: str, more: list[Event]) -> "Shop":
        """The same log with more events of one user."""
        return Shop(self.users | {user: sorted([*self.users.get(user, []), *more])}, self.others, self.some)

    def until(self, as_of_us: int) -> "Shop":
        """The same log as it stood at an instant, but for what the others did that day."""
        users = {user: [event for event in events if event.time_us <= as_of_us] for user, events in self.users.items()}
        others = {day: counts for day, counts in self.others.items() if day < day_of(as_of_us)}
        return Shop({user: events for user, events in users.items() if events}, others, self.some)

    def decisions(self, chance: random.Random) -> list[tuple[str, Point]]:
        """Some decision points, drawn from all."""
        every = [(user, point) for user, events in self.users.items() for point in points_of(user, events)]
        return chance.sample(every, self.some)


@cache
def simulated() -> Shop:
    return Shop(simulated_users(11, users=25), {}, some=12)


@cache
def real() -> Shop:
    """A sample of the real shop's users; the catalog counts all of them."""
    table = store_table()
    sample = sample_of(table, 400)
    rest = table.filter(pc.invert(pc.is_in(table["user"], pa.array(list(sample)))))
    return Shop(sample, from_table(day_counts_of(rest)), some=5)


SHOPS = pytest.mark.parametrize("make", [simulated, real])


def around(point: Point, at_us: int, chance: random.Random) -> list[Event]:
    """Events of every kind at an instant: on the product asked about and another, in its session and another."""
    asked = point.decision
    return [
        Event(at_us + chance.randrange(3), int(kind), product, session, price, category, "planted")
        for kind in EventKind
        for product, category in ((asked.product, asked.category), ("planted", "planted"))
        for session in (asked.session, "planted")
        for price in (asked.price, 0.01, 99_999.0)
    ]


@SHOPS
def test_no_feature_moves_with_what_comes_later(make: Callable[[], Shop]):
    shop, chance = make(), random.Random(5)

    for user, point in shop.decisions(chance):
        as_of_us = point.decision.as_of_us
        midnight_us = (day_of(as_of_us) + 1) * DAY_US
        instants = (as_of_us + 1, as_of_us + HOUR_US, midnight_us, midnight_us + 40 * DAY_US)
        later = [event for at_us in instants for event in around(point, at_us, chance)]
        before = shop.vectors(user, [point])
        own, foreign = shop.planted(user, later), shop.planted("somebody else", later)
        assert own.vectors(user, [point]) == before
        assert foreign.vectors(user, [point]) == before


@SHOPS
def test_no_feature_moves_when_the_future_is_cut_off(make: Callable[[], Shop]):
    shop, chance = make(), random.Random(6)

    for user, point in shop.decisions(chance):
        assert shop.until(point.decision.as_of_us).vectors(user, [point]) == shop.vectors(user, [point])


@SHOPS
def test_others_of_the_same_day_are_not_known_even_where_they_came_earlier(make: Callable[[], Shop]):
    shop, chance = make(), random.Random(7)

    for user, point in shop.decisions(chance):
        today_us = day_of(point.decision.as_of_us) * DAY_US
        busier = shop.planted("somebody else", around(point, today_us, chance))
        assert busier.vectors(user, [point]) == shop.vectors(user, [point])


@SHOPS
def test_what_came_before_does_move_features_so_these_tests_can_fail(make: Callable[[], Shop]):
    shop, chance = make(), random.Random(8)

    for user, point in shop.decisions(chance):
        as_of_us = point.decision.as_of_us
        before = shop.vectors(user, [point])
        just_now = around(point, as_of_us - 3, chance)
        yesterday = around(point, day_of(as_of_us) * DAY_US - 3, chance)
        assert shop.planted(user, just_now).vectors(user, [point]) != before
        assert shop.planted("somebody else", yesterday).vectors(user, [point]) != before


def test_an_event_of_the_very_instant_is_known():
    shop, chance = simulated(), random.Random(9)

    for user, point in shop.decisions(chance):
        tied = around(point, point.decision.as_of_us, random.Random(0))
        now = [event._replace(time_us=point.decision.as_of_us) for event in tied]
        assert shop.planted(user, now).vectors(user, [point]) != shop.vectors(user, [point])


def test_no_decision_point_appears_or_changes_with_what_comes_later():
    shop, chance = simulated(), random.Random(10)

    for user, point in shop.decisions(chance):
        as_of_us = point.decision.as_of_us
        later = shop.planted(user, around(point, as_of_us + 1, chance))

        asked, asked_later = (
            [one for one in points_of(user, log.users[user]) if one.decision.as_of_us <= as_of_us]
            for log in (shop, later)
        )
        assert asked_later == asked


def test_no_row_of_a_replayed_block_moves_with_what_comes_later():
    shop, chance = simulated(), random.Random(12)

    def rows(log: Shop, as_of_us: int) -> dict[tuple, bytes]:
        table = example_table(canonical(log.users), log.history, horizon_us=DAY_US, log_end_us=0)
        keys = zip(
            *(table[name].to_pylist() for name in ("user", "session", "product", "as_of_us", "kind")), strict=True
        )
        return {key: x.tobytes() for key, x in zip(keys, x_matrix(table), strict=True) if key[3] <= as_of_us}

    for user, point in shop.decisions(chance)[:4]:
        as_of_us = point.decision.as_of_us
        midnight_us = (day_of(as_of_us) + 1) * DAY_US
        later = [event for at_us in (as_of_us + 1, midnight_us) for event in around(point, at_us, chance)]
        assert rows(shop.planted(user, later), as_of_us) == rows(shop, as_of_us)
