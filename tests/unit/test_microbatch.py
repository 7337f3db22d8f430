import asyncio
from collections.abc import Callable, Sequence

import pytest

from deployments.microbatch import MicroBatcher, QueueFull


class Doubler:
    """Answers twice the ask, once its gate is open; remembers the batches it was given."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.batches: list[list[int]] = []

    async def __call__(self, asks: Sequence[int]) -> list[int]:
        self.batches.append(list(asks))
        await self.gate.wait()
        return [2 * ask for ask in asks]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


def test_a_lone_ask_is_answered_without_waiting_for_others() -> None:
    async def scenario() -> list[int]:
        return await MicroBatcher(Doubler(), max_batch=8, max_waiting=8).ask(21)

    assert asyncio.run(scenario()) == [42]


def test_what_queues_up_during_a_batch_forms_the_next_one() -> None:
    async def scenario() -> list[list[int]]:
        doubler = Doubler()
        doubler.gate.clear()
        batcher = MicroBatcher(doubler, max_batch=8, max_waiting=8)
        asks = [asyncio.create_task(batcher.ask(0))]
        await until(lambda: doubler.batches == [[0]])
        asks += [asyncio.create_task(batcher.ask(n)) for n in range(1, 5)]
        await until(lambda: len(batcher) == 4)
        doubler.gate.set()
        assert await asyncio.gather(*asks) == [[0], [2], [4], [6], [8]]
        return doubler.batches

    assert asyncio.run(scenario()) == [[0], [1, 2, 3, 4]]


def test_batches_are_no_larger_than_allowed() -> None:
    async def scenario() -> tuple[list[int], list[list[int]]]:
        doubler = Doubler()
        replies = await MicroBatcher(doubler, max_batch=3, max_waiting=100).ask(*range(8))
        return replies, doubler.batches

    replies, batches = asyncio.run(scenario())
    assert replies == [2 * n for n in range(8)]
    assert [len(batch) for batch in batches] == [3, 3, 2]


def test_a_full_queue_refuses_and_starts_nothing() -> None:
    async def scenario() -> list[list[int]]:
        doubler = Doubler()
        batcher = MicroBatcher(doubler, max_batch=8, max_waiting=2)
        with pytest.raises(QueueFull):
            await batcher.ask(1, 2, 3)
        return doubler.batches

    assert asyncio.run(scenario()) == []


def test_an_error_reaches_everyone_in_the_batch_and_the_next_batch_runs() -> None:
    async def scenario() -> list[int]:
        async def answer(asks: Sequence[int]) -> list[int]:
            if 13 in asks:
                raise ValueError("unlucky")
            return list(asks)

        batcher = MicroBatcher(answer, max_batch=8, max_waiting=8)
        with pytest.raises(ValueError, match="unlucky"):
            await batcher.ask(13, 14)
        return await batcher.ask(15)

    assert asyncio.run(scenario()) == [15]


def test_an_ask_whose_caller_has_gone_is_not_computed() -> None:
    async def scenario() -> list[list[int]]:
        doubler = Doubler()
        doubler.gate.clear()
        batcher = MicroBatcher(doubler, max_batch=8, max_waiting=8)
        first = asyncio.create_task(batcher.ask(1))
        await until(lambda: doubler.batches == [[1]])
        gone = asyncio.create_task(batcher.ask(2))
        stays = asyncio.create_task(batcher.ask(3))
        await until(lambda: len(batcher) == 2)
        gone.cancel()
        await asyncio.wait([gone])
        doubler.gate.set()
        await asyncio.gather(first, stays)
        return doubler.batches

    assert asyncio.run(scenario()) == [[1], [3]]
