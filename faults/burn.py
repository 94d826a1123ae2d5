"""Burn CPU without blocking the event loop: a service that has become expensive, not stuck.

Why: a loop that stands still is a fault of its own (``block``). Here the loop goes on between
slices, so other requests, health checks and the lease are served, only slower, as they are on a
machine that is short of CPU. Requests that burn at the same time take turns, one slice each.
What is burnt is measured with the thread's CPU clock: on a busy machine a slice takes longer and
costs the same.
Not handled: other threads; Python runs one at a time anyway.
"""

import asyncio
import time
from collections.abc import Callable

SLICE_S = 0.004  # below the 5 ms that this fault may hold the loop at a time


class Burner:
    """Spend CPU for requests in turn; one per process, used from one loop.

    Args:
        cpu_s: CPU seconds of this thread so far.
    """

    def __init__(self, cpu_s: Callable[[], float] = time.thread_time) -> None:
        self._cpu_s = cpu_s
        self._turn = asyncio.Lock()  # FIFO: as fair as an operating system's scheduler

    async def burn(self, seconds: float, on_burnt: Callable[[float], None]) -> None:
        """Spend so many seconds of CPU.

        Args:
            seconds: Of CPU, > 0.
            on_burnt: Told after each slice how much it was, so that a cancelled burn counts too.
        """
        left_s = seconds
        while left_s > 0.0:
            async with self._turn:
                burnt_s = self._burn_slice(min(SLICE_S, left_s))
                on_burnt(burnt_s)
                left_s -= burnt_s
                await asyncio.sleep(0)  # inside the turn: the loop runs between any two slices

    def _burn_slice(self, seconds: float) -> float:
        began_s = self._cpu_s()
        while (burnt_s := self._cpu_s() - began_s) < seconds:
            pass
        return burnt_s
