"""A process's life: starting, ready, draining, stopped.

Why: a process that closes while balancers still send to it answers with errors at each deploy. So
SIGTERM first says *not ready* (the lease, at once), then waits until balancers have noticed, then
stops accepting and finishes what is in flight, then closes. A second signal ends it at once.
Source: design.md, "kit"; issue 2 (readiness, drain); Kubernetes' termination sequence.
Policy ``drain`` off closes at once: the control arm of the drill ``rolling-restart``.
"""

import asyncio
import logging
import os
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine
from enum import Enum
from typing import Any

from kit.listeners import call_all

NOTICE_S = 1.0  # three checks of 300 ms, or one renewal of the balancer's picture
QUIET_S = 1.0  # nobody asked for this long: hardly anybody has to notice
QUIET_NOTICE_S = 0.2  # then the hint's way is enough, which takes milliseconds
FINISH_LIMIT_S = 10.0  # compose's stop_grace_period is 15 s
EXIT_SECOND_SIGNAL = 130

SIGNALS = (signal.SIGTERM, signal.SIGINT)

log = logging.getLogger(__name__)


class Phase(Enum):
    """Where in its life a process is."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    STOPPED = "stopped"


class Lifecycle:
    """Lead a process from its start to its end.

    Args:
        announce: Called, and awaited, whenever readiness has changed.
        is_drain_on: Whether to drain; asked when the stop begins.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        announce: Callable[[], Awaitable[None]],
        is_drain_on: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._announce = announce
        self._is_drain_on = is_drain_on
        self._clock = clock
        self._stop = asyncio.Event()
        self._last_request_s = -QUIET_S
        self._listeners: list[Callable[[bool], None]] = []
        self.phase = Phase.STARTING
        self.in_flight = 0

    def __repr__(self) -> str:
        return f"<Lifecycle {self.phase.value}, {self.in_flight} in flight>"

    @property
    def is_ready(self) -> bool:
        """Whether the process wants requests."""
        return self.phase is Phase.READY

    @property
    def is_stopping(self) -> bool:
        """Whether the end has begun."""
        return self._stop.is_set()

    def begin_request(self) -> None:
        """Count a request in; pair with ``end_request``."""
        self.in_flight += 1
        self._last_request_s = self._clock()

    def end_request(self) -> None:
        """Count a request out."""
        self.in_flight -= 1

    def on_ready_change(self, listener: Callable[[bool], None]) -> None:
        """Call this with True and False whenever readiness changes."""
        self._listeners.append(listener)

    def install_signals(self) -> None:
        """Make SIGTERM and SIGINT stop the process, a second one at once."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self.request_stop)

    def remove_signals(self) -> None:
        """Give the signals back."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.remove_signal_handler(number)

    def request_stop(self) -> None:
        """Begin the end; a second call is the end."""
        if self._stop.is_set():
            os._exit(EXIT_SECOND_SIGNAL)
        self._stop.set()

    async def wait_stop(self) -> None:
        """Return when the process has been asked to stop."""
        await self._stop.wait()

    async def unless_stopped(self, work: Coroutine[Any, Any, None]) -> bool:
        """Do this work, but let a stop signal end it; False when one did.

        Raises:
            Exception: What the work ended with.
        """
        working = asyncio.ensure_future(work)
        stopping = asyncio.ensure_future(self.wait_stop())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
                return True
            return False
        finally:
            for task in (working, stopping):
                task.cancel()
            await asyncio.gather(working, stopping, return_exceptions=True)

    async def serve(self, close: Callable[[float], Awaitable[None]]) -> None:
        """Be ready until asked to stop, then drain and close.

        Args:
            close: Stops accepting, lets what is in flight finish for at most so many seconds (0:
                none), then breaks off what is left.
        """
        if not self._stop.is_set():
            await self._move(Phase.READY)
        await self._stop.wait()
        if self._is_drain_on():
            await self._move(Phase.DRAINING)
            await self._wait_noticed()
            await close(FINISH_LIMIT_S)
        else:
            await close(0.0)
        await self._move(Phase.STOPPED)

    async def _wait_noticed(self) -> None:
        is_quiet = self.in_flight == 0 and self._clock() - self._last_request_s > QUIET_S
        await asyncio.sleep(QUIET_NOTICE_S if is_quiet else NOTICE_S)

    async def _move(self, phase: Phase) -> None:
        was_ready = self.is_ready
        self.phase = phase
        log.info("lifecycle", extra={"phase": phase.value})
        if was_ready != self.is_ready:
            call_all(self._listeners, self.is_ready)
            await self._announce()
