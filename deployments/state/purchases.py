"""Who bought what and when: what labels are made of; `append_event.lua` does the writing."""

from collections.abc import Sequence
from typing import NamedTuple

from deployments.state.connection import StateRedis

BOUGHT = "bought"

CAP = 200
"""How many newest purchases of a user are kept."""

TTL_S = 7 * 86_400
"""How long they are kept after the user's last one: a label that is made later is not made at all."""


class PurchaseQuestion(NamedTuple):
    """Whether the user bought the product in (after_us, until_us]."""

    user: str
    product: str
    after_us: int
    until_us: int


class PurchaseIndex:
    """Answers who bought what and when."""

    def __init__(self, redis: StateRedis) -> None:
        self._redis = redis

    async def bought(self, questions: Sequence[PurchaseQuestion]) -> list[bool]:
        """The answer to each question, in one round trip.

        Raises:
            StateUnavailable: Redis does not answer.
        """
        replies = await self._redis.pipeline(
            [
                ("ZRANGEBYSCORE", self._redis.key(BOUGHT, one.user), f"({one.after_us}", one.until_us)
                for one in questions
            ]
        )
        return [
            any(member.startswith(f"{one.product}|".encode()) for member in members)
            for one, members in zip(questions, replies, strict=True)
        ]
