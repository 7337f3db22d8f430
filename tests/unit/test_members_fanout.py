import asyncio
import math

import numpy as np
import pytest

from common.feature_specs import WIDTH
from deployments.members import Opinions, ask_members

ROWS = np.zeros((3, WIDTH), dtype=np.float32)


class Says:
    """A member that gives one probability for every row."""

    def __init__(self, *values: float) -> None:
        self._values = values

    async def predict(self, version: str, rows: bytes) -> bytes:
        return np.array(self._values, dtype=np.float64).tobytes()


class Fails:
    async def predict(self, version: str, rows: bytes) -> bytes:
        raise RuntimeError("replica died")


class Hangs:
    def __init__(self) -> None:
        self.cancelled = False

    async def predict(self, version: str, rows: bytes) -> bytes:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        raise AssertionError


def ask(**members: object) -> Opinions:
    return asyncio.run(ask_members(members, "v1", ROWS, deadline_s=0.05))  # type: ignore[arg-type]


def test_all_answers_come_back_by_name() -> None:
    opinions = ask(a=Says(0.1, 0.2, 0.3), b=Says(0.4, 0.5, 0.6))

    assert opinions.missing == {}
    assert opinions.probabilities["b"].tolist() == [0.4, 0.5, 0.6]


def test_a_member_past_its_deadline_is_left_out_and_cancelled() -> None:
    hanging = Hangs()

    opinions = ask(a=Says(0.1, 0.2, 0.3), slow=hanging)

    assert opinions.missing == {"slow": "late"}
    assert list(opinions.probabilities) == ["a"]
    assert hanging.cancelled


def test_a_member_that_fails_is_left_out() -> None:
    assert ask(a=Says(0.1, 0.2, 0.3), broken=Fails()).missing == {"broken": "failed"}


@pytest.mark.parametrize(
    "values", [(0.1, 0.2), (math.nan, 0.2, 0.3), (0.1, 1.2, 0.3), (-0.1, 0.2, 0.3), (0.1, math.inf, 0.3)]
)
def test_a_member_that_answers_nonsense_is_left_out(values: tuple[float, ...]) -> None:
    assert ask(a=Says(0.1, 0.2, 0.3), wrong=Says(*values)).missing == {"wrong": "invalid"}


def test_bytes_that_are_no_numbers_are_left_out() -> None:
    class Torn:
        async def predict(self, version: str, rows: bytes) -> bytes:
            return b"abc"

    assert ask(torn=Torn()).missing == {"torn": "invalid"}
