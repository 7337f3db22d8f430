"""The journal in a real Redis: the newest records, each once, and never in the way of a request."""

import pytest

from common.errors import StateUnavailable
from deployments.state.journal import CAP, Batch, Journal, JournalStore, serialised

pytestmark = pytest.mark.anyio


def records(start, end):
    return [{"request_id": f"r{i}", "probability": i / 10} for i in range(start, end)]


class LosesAnswers(JournalStore):
    """A journal whose next answers do not arrive, although what was sent did."""

    lost = 0

    async def append(self, batch):
        await super().append(batch)
        if self.lost:
            self.lost -= 1
            raise StateUnavailable("no answer")


async def test_gives_the_newest_first(redis):
    store = JournalStore(redis)
    await store.write(records(0, 3))
    await store.write(records(3, 5))

    assert await store.newest(3) == records(2, 5)[::-1]
    assert await store.newest(100) == records(0, 5)[::-1]


async def test_exactly_the_newest_ten_thousand_can_be_read(redis):
    store = JournalStore(redis)
    for start in range(0, 11_500, 500):
        await store.write(records(start, start + 500))

    newest = await store.newest(1_000_000)

    assert newest == records(11_500 - CAP, 11_500)[::-1]
    assert await redis.call("XLEN", redis.key("journal")) < CAP + 200


async def test_goes_on_reading_from_an_entry(redis):
    store = JournalStore(redis)
    await store.write(records(0, 7))

    first = await store.after("0", 4)
    rest = await store.after(first[-1].entry_id, 100)

    assert [entry.record for entry in [*first, *rest]] == records(0, 7)
    assert await store.after(rest[-1].entry_id, 100) == []


async def test_a_numbered_batch_is_written_once(redis):
    store = JournalStore(redis)
    first, second = ([serialised(record) for record in records(i, i + 1)] for i in range(2))

    for batch in (Batch("a", 1, first), Batch("a", 1, first), Batch("b", 1, first), Batch("a", 2, second)):
        await store.append(batch)

    assert len(await store.newest(10)) == 3


async def test_flushes_everything_in_order(redis):
    store = JournalStore(redis)
    journal = Journal(store)
    for record in records(0, 1_234):
        journal.put_nowait(record)

    await journal.flush()

    assert await store.newest(2_000) == records(0, 1_234)[::-1]
    assert len(journal) == 0


async def test_writes_once_what_arrived_without_an_answer(redis):
    store = LosesAnswers(redis)
    journal = Journal(store)
    store.lost = 2
    for record in records(0, 3):
        journal.put_nowait(record)

    for _ in range(2):
        with pytest.raises(StateUnavailable):
            await journal.flush()
        journal.put_nowait({"request_id": "later"})
    await journal.flush()

    assert await store.newest(10) == [{"request_id": "later"}] * 2 + records(0, 3)[::-1]


async def test_a_full_queue_drops_the_oldest_and_counts_them(redis):
    dropped = []
    store = JournalStore(redis)
    journal = Journal(store, capacity=5, on_dropped=dropped.append)

    for record in records(0, 8):
        journal.put_nowait(record)
    await journal.flush()

    assert sum(dropped) == 3
    assert await store.newest(10) == records(3, 8)[::-1]


async def test_counts_what_is_lost_at_the_end(connect):
    dropped = []
    journal = Journal(JournalStore(connect("redis://127.0.0.1:1/0")), on_dropped=dropped.append)
    for record in records(0, 4):
        journal.put_nowait(record)

    await journal.close()

    assert sum(dropped) == 4


async def test_refuses_a_record_that_is_no_json_where_it_is_put(redis):
    with pytest.raises(TypeError):
        Journal(JournalStore(redis)).put_nowait({"request_id": object()})
