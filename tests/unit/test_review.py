"""What is said of bundles that a log judges."""

import io

import numpy as np
import pytest
from rich.console import Console

from common.holdout import Holdout
from training.review import Review, side_by_side, side_by_side_table, title, verdicts

POINTS = 2_000
LABEL = (np.arange(POINTS) % 5 == 0).astype(np.int8)


def review(called: str, confidence: float, *, left_out: int = 0) -> Review:
    """A bundle that says `confidence` of what happened, on points of as many users."""
    numbers = np.arange(POINTS, dtype=np.uint64)
    said = np.where(LABEL == 1, confidence, 1.0 - confidence)
    holdout = Holdout(numbers, numbers, numbers.astype(np.int64), LABEL, LABEL, said, {})
    points = {
        "judged": POINTS,
        "left_out": left_out,
        "learned": 0,
        "from": "2026-01-05T00:00",
        "to": "2026-02-05T00:00",
    }
    return Review(f"20260101T010101-{called:>06}".replace(" ", "0"), called, {"points": points}, holdout)


CHAMPION, CHALLENGER = review("champion, no 7", 0.6), review("challenger, no 8", 0.7)


def test_the_verdict_names_both_by_alias_number_and_version():
    (verdict,) = verdicts(side_by_side([CHAMPION, CHALLENGER]))
    assert verdict.startswith(f"{CHALLENGER.version} (challenger, no 8) is better than {CHAMPION.version} (champion")
    assert "2,000 points" in verdict


def test_the_other_way_round_it_is_worse():
    (verdict,) = verdicts(side_by_side([CHALLENGER, CHAMPION]))
    assert "(champion, no 7) is worse than" in verdict


@pytest.mark.parametrize("width", [40, 80])
def test_a_narrow_table_cuts_nothing_off(width):
    shown = io.StringIO()
    Console(file=shown, width=width).print(side_by_side_table(side_by_side([CHAMPION, CHALLENGER])))
    assert "…" not in shown.getvalue()


def test_a_log_that_begins_after_what_was_learned_is_said_to_lack_histories():
    assert "give the log before it too" in title(CHAMPION)
    assert "give the log" not in title(review("champion", 0.6, left_out=30))
    assert "30 earlier ones are left out" in title(review("champion", 0.6, left_out=30))
