"""Cancel a call at its n-th step, for every n: what no single test of a cancellation can show.

Two kinds of step. *Await*: each time the coroutine itself hands control to the loop; cancelled
there, it meets every ``await`` it has. *Turn*: each turn of the loop; that also hits what other
tasks of the call are doing meanwhile.

::

    async def test_it_leaks_nothing() -> None:
        def begin() -> Victim:
            world = World()
            return Victim(world.call("answer"), world.assert_balanced)

        assert await cancel_at_every_await(begin) > 1
        await cancel_at_every_turn(begin)

The coroutine must end by itself within ``MAX_STEPS`` steps, so no sleep in it may last.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, NamedTuple

MAX_STEPS = 500


class Victim(NamedTuple):
    """A call to cancel, and what must hold once it has ended.

    Args:
        call: What runs; it may swallow nothing: cancelled, it must end so.
        check: Raises when something is left behind; called after each end.
        others: Calls that run beside it and are waited for.
    """

    call: Coroutine[Any, Any, object]
    check: Callable[[], None]
    others: tuple[Awaitable[object], ...] = ()


class _Counted(Coroutine[Any, Any, object]):
    """A coroutine that counts how often it suspends, and asks to be cancelled at one of them."""

    def __init__(self, inner: Coroutine[Any, Any, object], at: int) -> None:
        self._inner = inner
        self._at = at
        self.awaits = 0
        self.cancel: Callable[[], object] = lambda: None

    def send(self, value: Any) -> Any:
        yielded = self._inner.send(value)
        self._count()
        return yielded

    def throw(self, *error: Any) -> Any:
        yielded = self._inner.throw(*error)
        self._count()
        return yielded

    def _count(self) -> None:
        self.awaits += 1
        if self.awaits == self._at:
            asyncio.get_running_loop().call_soon(self.cancel)

    def close(self) -> None:
        self._inner.close()

    def __await__(self) -> Generator[Any, Any, object]:
        raise NotImplementedError("it is run as a task")


async def cancel_at_every_await(begin: Callable[[], Victim]) -> int:
    """Run the call anew for each n, cancelled at its n-th await; return how many awaits it has."""
    for at in range(1, MAX_STEPS):
        victim = begin()
        counted = _Counted(victim.call, at)
        task = asyncio.create_task(counted)
        counted.cancel = task.cancel
        await _settle(task, victim)
        if counted.awaits < at:
            return counted.awaits
    raise AssertionError(f"the call has not ended after {MAX_STEPS} awaits")


async def cancel_at_every_turn(begin: Callable[[], Victim]) -> int:
    """Run the call anew for each n, cancelled in the n-th turn of the loop; return how many."""
    for turns in range(MAX_STEPS):
        victim = begin()
        task = asyncio.create_task(victim.call)
        for _ in range(turns):
            await asyncio.sleep(0)
        ended_alone = task.done()
        task.cancel()
        await _settle(task, victim)
        if ended_alone:
            return turns
    raise AssertionError(f"the call has not ended after {MAX_STEPS} turns")


async def _settle(task: asyncio.Task[object], victim: Victim) -> None:
    """Wait for everything, then hold the world to its check and to having no task left."""
    await asyncio.gather(task, *victim.others, return_exceptions=True)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left, f"tasks outlive the call: {left}"
    victim.check()
