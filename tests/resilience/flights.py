"""Work that ends when a test says so, and callers who wait for it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from resilience import context as request_context
from resilience.single_flight import SingleFlight

LIMIT_S = 10.0


class Origin:
    """Work that ends when the test says so; its answers are numbered by when they began."""

    def __init__(self) -> None:
        self.begun = 0
        self.under_way = 0
        self.most_under_way = 0
        self.cancelled = 0
        self.contexts: list[request_context.Context | None] = []
        self._doors: list[asyncio.Future[None]] = []

    async def work(self) -> int:
        """Wait for ``finish`` or ``fail`` and return the number of this piece of work."""
        self.begun += 1
        number = self.begun
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        self.contexts.append(request_context.current())
        door: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._doors.append(door)
        try:
            await door
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.under_way -= 1
            self._doors.remove(door)
        return number

    def finish(self) -> None:
        """End what is under way, oldest first."""
        if self._doors and not self._doors[0].done():
            self._doors[0].set_result(None)

    def fail(self, error: Exception) -> None:
        """Let the oldest piece of work fail."""
        if self._doors and not self._doors[0].done():
            self._doors[0].set_exception(error)


async def turns(condition: Callable[[], object] = lambda: False, most: int = 20) -> None:
    """Let the loop turn until a condition holds, or a few times."""
    for _ in range(most):
        if condition():
            return
        await asyncio.sleep(0)


def call(flights: SingleFlight, origin: Origin, **options: Any) -> "asyncio.Task[int]":
    """Begin a call of the key ``k`` in a task of its own, as a request would."""
    return asyncio.create_task(flights.do("k", origin.work, **options))


async def within_limit(awaitable: Awaitable[Any]) -> Any:
    """Await, and fail rather than hang."""
    return await asyncio.wait_for(awaitable, LIMIT_S)
