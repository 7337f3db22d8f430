"""What holds for every feature vector, whatever the shopper did."""

import math
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from common.catalog import Catalog, CatalogHistory
from common.clock import DAY_US, SECOND_US
from common.events import MAX_PRICE, Decision, Event
from common.feature_specs import NAMES, SPECS
from common.features import vector, vectors
from common.replay import decision_of
from common.window import MAX_AGE_US, MAX_EVENTS, window_at
from tests.logs import CART, NOON_US, VIEW, histories
from tests.reference_counts import count
from tests.reference_features import reference_vector

MANY = settings(max_examples=300, deadline=None)

decisions = st.builds(
    lambda seen, hour, user: decision_of(user, seen, seen.time_us)._replace(hour=hour),
    seen=st.builds(
        Event,
        time_us=st.integers(NOON_US, NOON_US + DAY_US),
        kind=st.just(int(VIEW)),
        product=st.sampled_from(["mug", "cap", "never seen"]),
        session=st.sampled_from(["now", "then", "never seen"]),
        price=st.floats(0.0, MAX_PRICE),
        category=st.sampled_from(["kitchen", "apparel", "", "never seen"]),
        brand=st.sampled_from(["acme", "", "never seen"]),
    ),
    hour=st.integers(0, 23),
    user=st.sampled_from(["ann", "bob"]),
)
catalogs = histories().map(lambda events: CatalogHistory(Catalog.empty(), count(events)).as_of(NOON_US))


@MANY
@given(decisions, histories(), catalogs)
def test_every_value_is_finite_and_within_its_stated_range(decision: Decision, events: list[Event], catalog: Catalog):
    values = vector(decision, window_at(events, decision.as_of_us), catalog)

    outside = {
        spec.name: value
        for spec, value in zip(SPECS, values.tolist(), strict=True)
        if not (spec.low <= value <= spec.high and math.isfinite(value))
    }
    assert outside == {}


@MANY
@given(decisions, histories(), catalogs)
def test_is_what_plain_python_computes_to_the_last_bit(decision: Decision, events: list[Event], catalog: Catalog):
    window = window_at(events, decision.as_of_us)

    found, expected = vector(decision, window, catalog), reference_vector(decision, window, catalog)

    assert dict(zip(NAMES, found.tolist(), strict=True)) == dict(zip(NAMES, expected.tolist(), strict=True))
    assert found.tobytes() == expected.tobytes()


@MANY
@given(st.lists(st.tuples(decisions, histories(), catalogs), max_size=5))
def test_a_batch_gives_every_question_what_it_gets_alone(asked: list[tuple[Decision, list[Event], Catalog]]):
    windows = [window_at(events, decision.as_of_us) for decision, events, _ in asked]
    one = [catalog for _, _, catalog in asked[:1]] * len(asked)

    for catalogs in (one, [catalog for _, _, catalog in asked]):
        together = vectors([decision for decision, _, _ in asked], windows, catalogs)
        alone = [
            vector(decision, window, c) for (decision, _, _), window, c in zip(asked, windows, catalogs, strict=True)
        ]
        assert together.tobytes() == b"".join(x.tobytes() for x in alone)


@MANY
@given(decisions, histories(), catalogs, st.randoms(use_true_random=False))
def test_the_order_in_which_events_arrive_never_matters(
    decision: Decision, events: list[Event], catalog: Catalog, chance: random.Random
):
    arrived = list(events)
    chance.shuffle(arrived)

    window, again = (window_at(sorted(order), decision.as_of_us) for order in (events, arrived))

    assert vector(decision, window, catalog).tobytes() == vector(decision, again, catalog).tobytes()


@MANY
@given(decisions, histories(), histories(), catalogs)
def test_events_outside_the_window_never_matter(
    decision: Decision, events: list[Event], others: list[Event], catalog: Catalog
):
    later = [event._replace(time_us=decision.as_of_us + 1 + event.time_us % DAY_US) for event in others]
    older = [event._replace(time_us=decision.as_of_us - MAX_AGE_US - 1 - event.time_us % DAY_US) for event in others]

    window, wider = (window_at(sorted(known), decision.as_of_us) for known in (events, [*older, *events, *later]))

    assert vector(decision, wider, catalog).tobytes() == vector(decision, window, catalog).tobytes()


@MANY
@given(decisions, histories(), catalogs)
def test_whoever_asks_gets_the_same_answer_for_the_same_history(
    decision: Decision, events: list[Event], catalog: Catalog
):
    window = window_at(events, decision.as_of_us)
    before = list(window)

    first = vector(decision, window, catalog)

    assert vector(decision._replace(user="somebody else"), window, catalog).tobytes() == first.tobytes()
    assert window == before


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_a_window_that_is_full_stays_within_the_stated_counts(seed: int):
    chance = random.Random(seed)
    full = sorted(
        Event(
            NOON_US - chance.randrange(3_600) * SECOND_US,
            chance.choice([int(VIEW), int(CART)]),
            f"p{n}",
            "now",
            3.0,
            "",
            "",
        )
        for n in range(MAX_EVENTS)
    )
    asked = Event(NOON_US, int(VIEW), "mug", "now", 3.0, "", "")

    values = vector(decision_of("ann", asked, NOON_US), full, Catalog.empty())

    assert all(spec.low <= value <= spec.high for spec, value in zip(SPECS, values, strict=True))
    assert max(value for spec, value in zip(SPECS, values, strict=True) if spec.unit == "events") == MAX_EVENTS + 1
