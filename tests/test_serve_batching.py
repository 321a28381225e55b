"""Work for several requests at once, and the gate before it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from unrealperson.serve.batching import Batcher, Gate, Overloaded


class Work:
    """Doubles numbers; holds on until it is let go, and remembers its batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = threading.Event()
        self.go.set()

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        assert self.go.wait(10)
        if 13 in items:
            raise ValueError("thirteen")
        return [2 * item for item in items]


def run(scenario, **settings):
    work = Work()
    seen: list[tuple[str, int]] = []

    async def whole():
        batcher = Batcher(work, name="double", observe=lambda name, size, _: seen.append((name, size)), **settings)
        batcher.start()
        try:
            return await scenario(batcher, work)
        finally:
            work.go.set()
            await batcher.close()

    return asyncio.run(whole()), work.batches, seen


def test_a_batch_grows_while_the_thread_is_busy():
    async def scenario(batcher, work):
        work.go.clear()
        first = asyncio.create_task(batcher.submit(0))
        while not work.batches:
            await asyncio.sleep(0.001)
        others = [asyncio.create_task(batcher.submit(item)) for item in range(1, 8)]
        await asyncio.sleep(0.01)
        assert len(batcher) == 7
        work.go.set()
        return await asyncio.gather(first, *others)

    answers, batches, seen = run(scenario, most=5)
    assert answers == [0, 2, 4, 6, 8, 10, 12, 14]
    assert batches == [[0], [1, 2, 3, 4, 5], [6, 7]]
    assert seen == [("double", 1), ("double", 5), ("double", 2)]


@pytest.mark.parametrize(("expected", "batches"), [(None, 1), (lambda: 3, 1), (lambda: 1, 2)])
def test_the_first_item_waits_for_others_only_so_long(expected, batches):
    async def scenario(batcher, _):
        loop = asyncio.get_running_loop()
        start = loop.time()
        first = asyncio.create_task(batcher.submit(1))
        await asyncio.sleep(0.02)
        second = asyncio.create_task(batcher.submit(2))
        third = asyncio.create_task(batcher.submit(3))
        answers = await asyncio.gather(first, second, third)
        return answers, loop.time() - start

    (answers, seconds), found, _ = run(scenario, most=8, wait_s=0.15, expected=expected)
    assert answers == [2, 4, 6] and len(found) == batches
    assert (seconds > 0.14) == (expected is None)


def test_an_error_belongs_to_its_batch():
    async def scenario(batcher, work):
        with pytest.raises(ValueError, match="thirteen"):
            await batcher.submit(13)
        return await batcher.submit(4)

    assert run(scenario, most=2)[0] == 8


def test_closing_finishes_what_waits_and_takes_no_more():
    async def scenario(batcher, work):
        work.go.clear()
        waiting = [asyncio.create_task(batcher.submit(item)) for item in range(5)]
        await asyncio.sleep(0.01)
        closing = asyncio.create_task(batcher.close())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="being stopped"):
            await batcher.submit(9)
        work.go.set()
        await closing
        return await asyncio.gather(*waiting)

    assert run(scenario, most=2)[0] == [0, 2, 4, 6, 8]


def test_who_no_longer_waits_is_left_out():
    async def scenario(batcher, work):
        work.go.clear()
        first = asyncio.create_task(batcher.submit(0))
        await asyncio.sleep(0.01)
        gone, stays = asyncio.create_task(batcher.submit(1)), asyncio.create_task(batcher.submit(2))
        await asyncio.sleep(0.01)
        gone.cancel()
        await asyncio.sleep(0)
        work.go.set()
        return await asyncio.gather(first, stays)

    answers, batches, _ = run(scenario, most=4)
    assert answers == [0, 4] and batches == [[0], [2]]


def test_the_gate_counts_and_tells_when_to_come_back():
    gate = Gate(2)
    with gate.entered(), gate.entered():
        assert gate.inside == 2
        with pytest.raises(Overloaded, match="try again in 1 s") as refused, gate.entered():
            pass
        assert refused.value.retry_after_s == 1 and gate.inside == 2
    with pytest.raises(KeyError), gate.entered():
        raise KeyError
    assert gate.inside == 0
    gate._seconds_each = 100.0
    with gate.entered(), gate.entered(), pytest.raises(Overloaded) as refused, gate.entered():
        pass
    assert refused.value.retry_after_s == 60
