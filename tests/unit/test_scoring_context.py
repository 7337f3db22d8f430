"""What a question is about: the newest sight of the product that the shopper had, never a later one."""

from dataclasses import dataclass

import pytest

from deployments.scoring.context import History, Question
from tests.logs import CART, NOON_US, PURCHASE, REMOVE, VIEW, event


@dataclass
class Case:
    """Events with the price of the one that should be found."""

    events: list
    price: float | None


def question(at_s: float = 0.0, **changes) -> Question:
    fields = {"user": "ann", "session": "now", "product": "mug", "as_of_us": NOON_US + round(at_s * 1e6)}
    nothing = {"kind": None, "price": None, "category": None, "brand": None}
    return Question(**(fields | nothing | changes))


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
    case = CASES[name]

    shown = History(sorted(case.events)).shown(question())

    assert (shown.price if shown else None) == case.price


def test_the_decision_is_of_the_question_s_session_and_instant():
    history = History([event(-90_000, PURCHASE, session="before", price=4.5, category="c", brand="b")])

    decision = history.decision(question(at_s=30))

    assert decision is not None
    assert (decision.user, decision.session, decision.product) == ("ann", "now", "mug")
    assert (decision.price, decision.category, decision.brand) == (4.5, "c", "b")
    assert (decision.as_of_us, decision.hour) == (NOON_US + 30_000_000, 12)


def test_the_log_is_believed_before_the_question_s_own_columns():
    own = question(price=99.0, category="own", brand="own")

    assert History([event(-9, price=1.0)]).shown(own) == event(-9, price=1.0)
    told = History([]).shown(own)
    assert told is not None
    assert (told.price, told.category, told.brand, told.kind) == (99.0, "own", "own", VIEW)


def test_a_price_alone_is_enough_and_nothing_less():
    decision = History([]).decision(question(price=3.0))

    assert decision is not None
    assert (decision.price, decision.category, decision.brand) == (3.0, "", "")
    assert History([]).decision(question(category="kitchen", brand="acme")) is None
