"""Cancel an awaitable at its n-th suspension, exactly, on any event loop."""

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class CancelAt(Generic[T]):
    """Await a coroutine, and throw a cancellation into it where it suspends for the n-th time.

    A task's own ``cancel`` can only be timed by turns of the loop; this hits every ``await``.

    Args:
        coroutine: What is awaited.
        step: Which suspension, from 0; beyond the last the coroutine ends by itself.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, T], step: int) -> None:
        self._coroutine = coroutine
        self._step = step
        self.was_thrown = False

    def __await__(self) -> Generator[Any, Any, T]:
        steps = 0
        try:
            yielded = self._coroutine.send(None)
            while True:
                if steps == self._step:
                    self.was_thrown = True
                    yielded = self._coroutine.throw(asyncio.CancelledError())
                else:
                    value = yield yielded
                    yielded = self._coroutine.send(value)
                steps += 1
        except StopIteration as end:
            answer: T = end.value
            return answer
