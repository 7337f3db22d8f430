"""The answer cache in a real Redis, and its keys."""

import pytest

from deployments.state.cache import AnswerCache, key_of

pytestmark = pytest.mark.anyio


async def test_gives_back_what_was_entered_in_the_order_asked(redis):
    cache = AnswerCache(redis)
    keys = [key_of("v1", "", b"", bytes([i])) for i in range(4)]

    await cache.put([(keys[0], b"zero"), (keys[2], b"\x00two")], ttl_s=300)

    assert await cache.get(keys[::-1]) == [None, b"\x00two", None, b"zero"]


async def test_takes_empty_batches(redis):
    cache = AnswerCache(redis)

    await cache.put([], ttl_s=300)

    assert await cache.get([]) == []


async def test_entries_end_in_time(redis):
    await AnswerCache(redis).put([(b"k", b"v")], ttl_s=300)

    assert 290 < await redis.call("TTL", redis.key("answer", "k")) <= 300
