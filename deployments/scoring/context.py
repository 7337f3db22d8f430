"""What a question is about: price, category and brand as the shopper last saw them."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from common.events import Decision, Event, EventKind
from common.replay import decision_of


class Question(NamedTuple):
    """A point as it was given (see `deployments.scoring.points.POINTS`)."""

    user: str
    session: str
    product: str
    as_of_us: int
    kind: int | None
    price: float | None
    category: str | None
    brand: str | None


class History:
    """One user's events (in canonical order), by product."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._of_product: dict[str, list[Event]] = {}
        for event in events:
            self._of_product.setdefault(event.product, []).append(event)

    def shown(self, question: Question) -> Event | None:
        """The event that shows what is asked about: nothing after as_of is looked at.

        It is the newest view of or addition to the cart of the product in that session, else the user's newest event
        on the product, else what the question itself says, else None.
        """
        events = self._of_product.get(question.product, [])
        known = events[: bisect_right(events, question.as_of_us, key=lambda event: event.time_us)]
        for event in reversed(known):
            if event.session == question.session and event.kind <= EventKind.CART:
                return event
        return known[-1] if known else _told_by(question)

    def decision(self, question: Question) -> Decision | None:
        """The question in full; None where nothing shows what it is about."""
        shown = self.shown(question)
        if shown is None:
            return None
        return decision_of(question.user, shown, question.as_of_us)._replace(session=question.session)


def _told_by(question: Question) -> Event | None:
    if question.price is None:
        return None
    return Event(
        question.as_of_us,
        EventKind.VIEW,
        question.product,
        question.session,
        question.price,
        question.category or "",
        question.brand or "",
    )
