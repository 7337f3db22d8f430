"""What a question is about: the newest sight of the product that the shopper had, never a later one."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa
import pytest

from common.event_columns import columns_of
from common.events import Event
from deployments.scoring.context import in_full, legible
from deployments.scoring.points import POINTS
from tests.logs import CART, NOON_US, PURCHASE, REMOVE, canonical, event


class Told(NamedTuple):
    """What a question is found to be about."""

    price: float
    category: str
    brand: str


@dataclass
class Case:
    """Events with the price of the one that should be found."""

    events: list[Event]
    price: float | None


def question(at_s: float = 0.0, **changes: Any) -> dict[str, Any]:
    fields = {"user": "ann", "session": "now", "product": "mug", "as_of_us": NOON_US + round(at_s * 1e6)}
    nothing = {"kind": None, "price": None, "category": None, "brand": None}
    return fields | nothing | changes


def told(events: list[Event], *questions: dict[str, Any]) -> list[Told | None]:
    """What some questions are about, given the events of ann; another shopper saw a mug as well."""
    bob = [one._replace(price=55.0, category="of bob", brand="of bob") for one in events]
    asked_table = legible(pa.Table.from_pylist(list(questions), schema=POINTS))
    log, codes = columns_of(canonical({"ann": events, "bob": bob}), asked_table)
    asked, can_be_asked = in_full(log, asked_table, codes)
    columns = (
        asked.price.tolist(),
        *(log.text(name, getattr(asked, name)).to_pylist() for name in ("category", "brand")),
    )
    found = [Told(*fields) for fields in zip(*columns, strict=True)]
    return [one if is_known else None for one, is_known in zip(found, can_be_asked, strict=True)]


CASES = {
    "the newest view of this session": Case([event(-9, price=1.0), event(-5, price=2.0)], 2.0),
    "a cart as well as a view": Case([event(-9, price=1.0), event(-5, CART, price=2.0)], 2.0),
    "the event of the very instant": Case([event(-9, price=1.0), event(0, price=2.0)], 2.0),
    "no later one": Case([event(-9, price=1.0), event(1e-6, price=2.0)], 1.0),
    "this session before a newer one of another": Case([event(-9, price=1.0), event(-5, session="b", price=2.0)], 1.0),
    "a view before a newer removal": Case([event(-9, price=1.0), event(-5, REMOVE, price=2.0)], 1.0),
    "another session where this one has none": Case([event(-9, session="b", price=1.0)], 1.0),
    "whatever kind where there is no better": Case([event(-9, PURCHASE, session="b", price=1.0)], 1.0),
    "the newest of the other sessions": Case(
        [event(-9, session="b", price=1.0), event(-7, REMOVE, session="c", price=2.0)], 2.0
    ),
    "nothing of another product": Case([event(-9, product="cap", price=1.0)], None),
    "nothing that comes later only": Case([event(5, price=1.0)], None),
}


@pytest.mark.parametrize("name", CASES)
def test_finds(name: str):
    (found,) = told(CASES[name].events, question())

    assert (found.price if found else None) == CASES[name].price


def test_what_was_seen_is_told_whole():
    seen = event(-90_000, PURCHASE, session="before", price=4.5, category="c", brand="b")

    assert told([seen], question(at_s=30)) == [Told(4.5, "c", "b")]


def test_the_log_is_believed_before_the_question_s_own_columns():
    own = question(price=99.0, category="own", brand="own")

    assert told([event(-9, price=1.0)], own, own | {"product": "new"}) == [
        Told(1.0, "kitchen", "acme"),
        Told(99.0, "own", "own"),
    ]


def test_a_price_alone_is_enough_and_nothing_less():
    assert told([], question(price=3.0), question(category="kitchen", brand="acme")) == [Told(3.0, "", ""), None]


def test_a_shopper_without_events_is_asked_about_by_the_question_alone():
    assert told([event(-9)], question(user="new", price=3.0), question(user="new")) == [Told(3.0, "", ""), None]
