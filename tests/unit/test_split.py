"""Parts of a log by time, with a label horizon of silence between them."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.clock import DAY_US, HOUR_US
from common.errors import EventLogError
from training.split import PARTS, SHARES, split_by_time


def a_log(days: float, rows: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    as_of_us = np.sort(rng.integers(0, int(days * DAY_US), rows))
    return as_of_us, (np.arange(rows) % 3 == 0).astype(np.int8)


@settings(deadline=None)
@given(days=st.floats(12, 200), rows=st.integers(500, 3_000), horizon_h=st.integers(1, 48), seed=st.integers(0, 99))
def test_every_label_of_a_part_is_settled_before_the_next_part_begins(days, rows, horizon_h, seed):
    as_of_us, y = a_log(days, rows, seed=seed)
    horizon_us = horizon_h * HOUR_US

    split = split_by_time(as_of_us, y, embargo_us=horizon_us)

    parts = [as_of_us[split.rows[part]] for part in PARTS]
    for earlier, later in pairwise(parts):
        assert earlier.max() + horizon_us < later.min()
    # what lies in no part lies in a silence
    dropped = len(as_of_us) - sum(len(part) for part in parts)
    silent = sum(
        int(((as_of_us >= split.span_us[a][1]) & (as_of_us < split.span_us[b][0])).sum()) for a, b in pairwise(PARTS)
    )
    assert dropped == silent


def test_parts_have_their_shares_of_the_time_that_the_silences_leave():
    as_of_us, y = a_log(60, 50_000)

    split = split_by_time(as_of_us, y, embargo_us=DAY_US)

    for part, share in zip(PARTS, SHARES, strict=True):
        start_us, end_us = split.span_us[part]
        assert (end_us - start_us) / (57 * DAY_US) == pytest.approx(share, abs=0.001)
    assert split.rows["fit"].start == 0
    assert split.rows["test"].stop == len(y)


def test_what_lies_before_a_part_is_settled_when_it_begins():
    as_of_us, y = a_log(60, 5_000)

    split = split_by_time(as_of_us, y, embargo_us=DAY_US)

    assert split.before("fit") == slice(0, 0)
    for part in PARTS[1:]:
        before = as_of_us[split.before(part)]
        assert before[0] == as_of_us[0]
        assert before.max() + DAY_US < as_of_us[split.rows[part]].min()
        assert as_of_us[split.before(part).stop] + DAY_US >= split.span_us[part][0]


def test_a_log_that_the_silences_use_up_is_refused():
    as_of_us, y = a_log(3, 500)
    with pytest.raises(EventLogError, match=r"span 7[12] h, which 3 silences of 24 h use up.*longer log"):
        split_by_time(as_of_us, y, embargo_us=DAY_US)


def test_a_part_without_purchases_is_named():
    as_of_us, y = a_log(30, 1_000)
    y[as_of_us > 16 * DAY_US] = 0
    with pytest.raises(EventLogError, match=r"no purchase follows .* part 'tune' \(1970-01-\d\d to 1970-01-\d\d\)"):
        split_by_time(as_of_us, y, embargo_us=DAY_US)


@pytest.mark.parametrize(("label", "complaint"), [(0, "no purchase follows"), (1, "every decision point of the log")])
def test_a_log_with_one_outcome_is_refused(label, complaint):
    as_of_us, y = a_log(30, 1_000)
    with pytest.raises(EventLogError, match=complaint):
        split_by_time(as_of_us, np.full_like(y, label), embargo_us=DAY_US)


def test_nothing_to_split_is_refused():
    with pytest.raises(EventLogError, match="no decision point"):
        split_by_time(np.array([], np.int64), np.array([], np.int8), embargo_us=DAY_US)
