"""Answers by what they were computed from: an entry can be neither stale nor another variant's."""

import hashlib
from collections.abc import Sequence

from deployments.state.connection import StateRedis

_DIGEST_BYTES = 20


def key_of(bundle_version: str, variant: str, extra: bytes, x_row: bytes) -> bytes:
    """The key of one computation: 20 bytes that stand for all four parts, each framed by its length."""
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for part in (bundle_version.encode(), variant.encode(), extra, x_row):
        digest.update(len(part).to_bytes(4, "big"))
        digest.update(part)
    return digest.digest()


class AnswerCache:
    """A cache in Redis, bounded by the time that its entries live."""

    def __init__(self, redis: StateRedis) -> None:
        self._redis = redis
        self._prefix = redis.key("answer", "").encode()

    async def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The entry of each key, None where there is none, in one command.

        Raises:
            StateUnavailable: Redis does not answer.
        """
        if not keys:
            return []
        entries: list[bytes | None] = await self._redis.call("MGET", *(self._prefix + key for key in keys))
        return entries

    async def put(self, items: Sequence[tuple[bytes, bytes]], ttl_s: int) -> None:
        """Enter (key, value) pairs for `ttl_s` seconds, in one round trip.

        Raises:
            StateUnavailable: Redis does not answer.
        """
        await self._redis.pipeline([("SET", self._prefix + key, value, "EX", ttl_s) for key, value in items])
