"""Work that is done for several requests at once, and a limit on how many may be inside."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Observer = Callable[[str, int, float], None]
"""Called after each batch with the stage's name, the batch's size and its seconds."""

_SMOOTHING = 0.2
_LONGEST_RETRY_S = 60


class Overloaded(RuntimeError):
    """As many requests are inside as may be.

    Attributes:
        retry_after_s: when it is worth trying again.
    """

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"as many requests are being answered as may be; try again in {retry_after_s} s")
        self.retry_after_s = retry_after_s


class Gate:
    """Lets so many requests in at a time; the others hear at once when to come back.

    Attributes:
        inside: requests that are being answered.
    """

    def __init__(self, most: int) -> None:
        """Opens the gate.

        Args:
            most: requests that may be inside.
        """
        self.inside = 0
        self._most = most
        self._seconds_each = 0.0
        self._last_end = 0.0

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Counts a request while the block runs.

        Raises:
            Overloaded: no place is free.
        """
        if self.inside >= self._most:
            wait_s = math.ceil(self.inside * self._seconds_each)
            raise Overloaded(min(max(wait_s, 1), _LONGEST_RETRY_S))
        if self.inside == 0:
            self._last_end = time.monotonic()  # idle time is not service time
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1
            now = time.monotonic()
            self._seconds_each += _SMOOTHING * (now - self._last_end - self._seconds_each)
            self._last_end = now


class Batcher(Generic[Item, Result]):
    """Gathers items while a thread works on earlier ones, and hands it all that wait, up to a limit.

    So batches are as large as the load makes them: a lone item waits `wait_s` at most, and many that arrive while the
    thread is busy go together as soon as it is free.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Item]], Sequence[Result]],
        *,
        name: str,
        most: int,
        wait_s: float = 0.0,
        expected: Callable[[], int] | None = None,
        observe: Observer | None = None,
    ) -> None:
        """Describes the work; `start` begins it.

        Args:
            work: gives a result for each item; runs in one thread of its own.
            name: of the stage, for its thread and its figures.
            most: items in one call of `work`.
            wait_s: how long the first item of a batch waits for others while the thread is free.
            expected: how many items may be coming, those that wait included; nobody waits for more. None: any number.
            observe: is told of each batch.
        """
        self._work = work
        self._name = name
        self._most = most
        self._wait_s = wait_s
        self._expected = expected
        self._observe = observe
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._arrived = asyncio.Event()
        self._closing = False
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._runner: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """Items that wait."""
        return len(self._waiting)

    def start(self) -> None:
        """Begins to work, in the running event loop."""
        self._runner = asyncio.get_running_loop().create_task(self._run(), name=self._name)

    async def close(self) -> None:
        """Finishes what waits, then ends the thread."""
        self._closing = True
        self._arrived.set()
        if self._runner is not None:
            await self._runner
        self._executor.shutdown()

    async def submit(self, item: Item) -> Result:
        """The result of one item.

        Args:
            item: what to work on.

        Raises:
            RuntimeError: the batcher is closed.
        """
        if self._closing:
            raise RuntimeError("the server is being stopped")
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        self._arrived.set()
        return await future

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if not self._waiting:
                if self._closing:
                    return
                self._arrived.clear()
                await self._arrived.wait()
                await self._gather(loop.time() + self._wait_s)
                continue
            batch = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
            batch = [(item, future) for item, future in batch if not future.done()]
            if batch:
                await self._answer(loop, batch)

    async def _gather(self, deadline: float) -> None:
        loop = asyncio.get_running_loop()
        while not self._closing and (left := deadline - loop.time()) > 0:
            most = self._most if self._expected is None else min(self._most, self._expected())
            if len(self._waiting) >= most:
                return
            self._arrived.clear()
            try:
                await asyncio.wait_for(self._arrived.wait(), left)
            except TimeoutError:
                return

    async def _answer(
        self, loop: asyncio.AbstractEventLoop, batch: Sequence[tuple[Item, asyncio.Future[Result]]]
    ) -> None:
        start = loop.time()
        try:
            results = await loop.run_in_executor(self._executor, self._work, [item for item, _ in batch])
        except Exception as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
        else:
            for (_, future), result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)
        if self._observe is not None:
            self._observe(self._name, len(batch), loop.time() - start)
