"""Detached work: what goes on when whoever asked for it is cancelled.

Why: without cancellation passed on, a caller that leaves, or gives up on one try, frees nothing.
The call it made is answered by somebody, to nobody. That is what most systems do, and the drill
`abandoned-work` shows what it costs; so it is built here once, held, and counted.
Source: Google SRE Book, ch. 22, "Cancellation propagation". Why not ``asyncio.shield``: it holds
the inner task only weakly once the outer is gone.
Not handled: limiting how much of it there is; that is what cancelling is for.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from resilience.policy.contract import Snapshot

T = TypeVar("T")


class Detached:
    """Run work in tasks of their own, which outlive their askers. Every call is O(1)."""

    def __init__(self) -> None:
        self._left: set[asyncio.Task[Any]] = set()
        self.abandoned = 0

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Await work; when this task is cancelled, the work goes on without it.

        Raises:
            Exception: What the work raised; after a cancellation nobody hears of it.
        """
        task = asyncio.get_running_loop().create_task(work)
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError:
            self._leave(task)
            raise
        return task.result()

    async def close(self) -> None:
        """Cancel what is still going on."""
        for task in tuple(self._left):
            task.cancel()
        await asyncio.gather(*self._left, return_exceptions=True)

    def reset(self, now_s: float) -> None:
        """Forget the counter; what goes on goes on."""
        self.abandoned = 0

    def snapshot(self) -> Snapshot:
        """Count what goes on for nobody, and all there was since the last reset."""
        return {"running": len(self._left), "abandoned": self.abandoned}

    def _leave(self, task: "asyncio.Task[Any]") -> None:
        self.abandoned += not task.done()
        self._left.add(task)
        task.add_done_callback(self._end)

    def _end(self, task: "asyncio.Task[Any]") -> None:
        self._left.discard(task)
        if not task.cancelled():
            task.exception()  # or asyncio complains that nobody looked

    def __repr__(self) -> str:
        return f"<Detached {len(self._left)} running, {self.abandoned} abandoned>"
