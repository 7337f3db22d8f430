"""A cache key stands for exactly what was computed."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from deployments.state.cache import key_of

parts = st.tuples(st.text(max_size=3), st.text(max_size=3), st.binary(max_size=3), st.binary(max_size=3))


@given(parts, parts)
def test_different_computations_have_different_keys(one, other):
    assert (key_of(*one) == key_of(*other)) == (one == other)


def test_where_one_part_ends_and_the_next_begins_matters():
    texts = ["", "a", "ab", "b"]
    keys = {key_of(*four[:2], four[2].encode(), four[3].encode()) for four in itertools.product(texts, repeat=4)}

    assert len(keys) == len(texts) ** 4
