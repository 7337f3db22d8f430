"""Whom a champion may be compared with."""

import pytest

from training.gates import learned_later


def parts(calibrated_to: str, tested_from: str) -> dict:
    return {"parts": {"calibrate": {"to": calibrated_to}, "test": {"from": tested_from}}}


CHALLENGER = parts("2016-09-20T17:42:04.697200Z", "2016-09-21T17:42:04.697200Z")


@pytest.mark.parametrize(
    ("champion", "later"),
    [
        (CHALLENGER, False),
        (parts("2016-08-20T00:00:00.000000Z", "2016-08-21T00:00:00.000000Z"), False),
        (parts("2016-09-25T00:00:00.000000Z", "2016-09-26T00:00:00.000000Z"), True),
        ({}, False),
    ],
    ids=["of the same log", "of an earlier log", "of a longer log", "unknown"],
)
def test_a_champion_that_learned_from_the_challengers_test_or_later_is_told_apart(champion, later):
    assert learned_later(champion, CHALLENGER) is later
