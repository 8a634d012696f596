"""Together: calls that come in while another one is under way are done as one, on a thread of their own.

    answer_all = Together(desk.answer_all)       # list of items -> list of results, in the same order
    completion = await answer_all(item)

The answers of many people then share one round trip to Redis and one fsync, and whoever is alone waits for nobody.
*Why not a thread for each request:* a thread woken for every reply of Redis costs more than what it does.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import anyio

Item = TypeVar("Item")
Result = TypeVar("Result")


class Together(Generic[Item, Result]):
    """`work` takes items and gives, for each, a result or the exception that its caller gets; what it raises itself
    everybody gets who was in that call. For one event loop. A caller that is cancelled is not waited for."""

    MOST = 64  # items in one call, which bounds what it may hold up

    def __init__(self, work: Callable[[list[Item]], Sequence[Result | Exception]]) -> None:
        self._work = work
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._thread = anyio.CapacityLimiter(1)  # not the framework's threads: claims must not hold answers up
        self._working: asyncio.Task[None] | None = None

    async def __call__(self, item: Item) -> Result:
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._working is None:
            self._working = asyncio.create_task(self._work_off())
        return await future

    async def _work_off(self) -> None:
        try:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(self.MOST, len(self._waiting)))]
                for (_, future), result in zip(batch, await self._done([item for item, _ in batch]), strict=True):
                    if future.done():
                        continue
                    if isinstance(result, Exception):
                        future.set_exception(result)
                    else:
                        future.set_result(result)
        finally:
            self._working = None

    async def _done(self, items: list[Item]) -> Sequence[Result | Exception]:
        try:
            return await anyio.to_thread.run_sync(self._work, items, limiter=self._thread)
        except Exception as error:
            return [error] * len(items)
