"""View counts: told to the counter service beside the answer, never in its way.

A view that isn't counted hurts nobody, so nobody waits for one: at most 32 are on their way, and
under pressure none is sent at all. A failure is counted and forgotten.
Not handled: several views of one video in one call.
"""

import asyncio
import contextvars
import time
from collections.abc import Awaitable, Callable

from resilience import context as request_context
from resilience.context import Context
from resilience.errors import ServiceError
from resilience.policy.contract import Criticality, Snapshot

MAX_IN_FLIGHT = 32
TIMEOUT_S = 0.3  # as long as an optional part of a page may take
PRESSURE_LIMIT = 0.8  # where the limiter, too, begins to refuse


class ViewCounter:
    """Send views in the background; stop it with ``close``.

    Args:
        add_view: Tells the counter service of one view.
        pressure: This process's pressure, 0..1 and above.
        max_in_flight: Views on their way at once; what comes on top is dropped.
    """

    def __init__(
        self,
        add_view: Callable[[int], Awaitable[None]],
        pressure: Callable[[], float],
        max_in_flight: int = MAX_IN_FLIGHT,
    ) -> None:
        self._add_view = add_view
        self._pressure = pressure
        self._max_in_flight = max_in_flight
        self._tasks: set[asyncio.Task[None]] = set()
        self._counted = 0
        self._dropped = 0
        self._failed = 0

    def count(self, video_id: int) -> None:
        """Count a view of the current request; returns at once."""
        if len(self._tasks) >= self._max_in_flight or self._pressure() >= PRESSURE_LIMIT:
            self._dropped += 1
            return
        # Kept in a set until done, so that it is neither collected nor forgotten at the end. Its
        # contextvars are its own: the request's deadline doesn't bind what comes after its answer.
        task = asyncio.get_running_loop().create_task(
            self._send(video_id, request_context.current()), context=contextvars.Context()
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Let what is on its way arrive, for as long as a view may take."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=TIMEOUT_S)
        for task in self._tasks:
            task.cancel()

    def snapshot(self) -> Snapshot:
        """Say how many were counted, dropped, failed, and how many are on their way."""
        return {
            "in_flight": len(self._tasks),
            "counted": self._counted,
            "dropped": self._dropped,
            "failed": self._failed,
        }

    async def _send(self, video_id: int, parent: Context | None) -> None:
        request_context.enter(_detached(parent))
        try:
            await self._add_view(video_id)
            self._counted += 1
        except ServiceError:
            self._failed += 1


def _detached(parent: Context | None) -> Context:
    """Make a Context with the same trace, a deadline of its own, and the least importance."""
    now_s = time.monotonic()
    return Context(
        request_id=parent.request_id if parent else request_context.new_id(32),
        trace_id=parent.trace_id if parent else request_context.new_id(32),
        span_id=request_context.new_id(16),
        arrived_s=now_s,
        deadline_s=now_s + TIMEOUT_S,
        criticality=Criticality.SHEDDABLE,
        tenant=parent.tenant if parent else "",
    )
