"""The station in front of a process's handlers: wait as long as its schedule says.

Why: see ``kit.station_schedule``, which decides; this file owns the one timer and the futures.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable

from faults.slowness import slowness
from kit.state import StationSetting
from kit.station_schedule import Job, StationSchedule, StationStats, Turn
from resilience.errors import Code, DeadlineExpired, LimitExceeded, ServiceError

BUSY_WINDOW_S = 1.0  # pressure looks at the last second: long enough for 8 of 100 ms to even out
TIMER_STEP_S = 0.001  # uvloop's timers count milliseconds; rounding up saves empty wake-ups


class Station:
    """Hold each request for its service time.

    Args:
        schedule: Decides; nobody else may drive it.
        clock: Monotonic seconds.
    """

    def __init__(
        self, schedule: StationSchedule, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._schedule = schedule
        self._clock = clock
        self._waiters: dict[Job, asyncio.Future[None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due_s = math.inf
        self._samples: deque[tuple[float, float]] = deque([(clock(), 0.0)])

    def __repr__(self) -> str:
        return repr(self._schedule).replace("StationSchedule", "Station")

    async def serve(
        self,
        deadline_s: float | None = None,
        now_s: float | None = None,
        gone_s: float | None = None,
    ) -> None:
        """Return when the request is served.

        Args:
            deadline_s: Absolute monotonic seconds; None means none.
            now_s: The time of arrival; None reads the clock.
            gone_s: When the caller will have left, for the counters alone; None when unknown.

        Raises:
            DeadlineExpired: Its deadline had passed when its turn came; no work was begun.
            LimitExceeded: The waiting room is full.
            ServiceError: The station was reset.
            CancelledError: The caller left; its worker is free again.
        """
        if self._schedule.setting.workers == 0:
            return
        now_s = self._clock() if now_s is None else now_s
        self._settle(self._schedule.advance(now_s))
        slow = slowness.get()
        job = self._schedule.arrive(now_s, deadline_s, slow.factor if slow else None, gone_s)
        if job is None:
            raise LimitExceeded(
                Code.UNAVAILABLE, "STATION_FULL", "too many requests wait for this service"
            )
        future = asyncio.get_running_loop().create_future()
        self._waiters[job] = future
        self._arm(now_s)
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                future.exception()  # both came in one turn: nobody else will look at it
            self._cancel(job)
            raise
        finally:
            if slow is not None and job.slowed_s > 0.0:
                slow.on_slowed(job.slowed_s)

    def set(self, setting: StationSetting) -> None:
        """Take new figures; the same ones change nothing."""
        if setting == self._schedule.setting:
            return
        now_s = self._clock()
        self._settle(self._schedule.advance(now_s))
        self._settle(self._schedule.set(setting, now_s))
        self._arm(now_s)

    def reset(self) -> None:
        """Drop everything that waits or is served, and zero the counters."""
        for job in self._schedule.reset().dropped:
            self._fail(
                job, ServiceError(Code.UNAVAILABLE, "STATION_RESET", "the station was reset")
            )
        self._samples = deque([(self._clock(), 0.0)])
        self._arm(self._clock())

    def busy_share(self) -> float:
        """Return the share of worker time spent in the last second, 0..1; ask a few times a second.

        While fewer workers are set than are busy it may exceed 1 for a moment; it is cut to 1.
        """
        workers = self._schedule.setting.workers
        if workers == 0:
            return 0.0
        now_s = self._clock()
        busy_s = self._schedule.busy_s(now_s)
        while len(self._samples) > 1 and self._samples[1][0] <= now_s - BUSY_WINDOW_S:
            self._samples.popleft()
        then_s, busy_then_s = self._samples[0]
        if now_s - self._samples[-1][0] >= BUSY_WINDOW_S / 20:
            self._samples.append((now_s, busy_s))
        if now_s <= then_s:
            return 0.0
        return min(1.0, max(0.0, (busy_s - busy_then_s) / ((now_s - then_s) * workers)))

    def wait_s(self) -> float:
        """Return how long a request that comes now is to expect to wait for a worker, seconds."""
        return self._schedule.wait_s

    def stats(self) -> StationStats:
        """Return the counters since the last reset."""
        return self._schedule.stats(self._clock())

    @property
    def in_flight(self) -> int:
        """Requests being served or waiting."""
        return len(self._waiters)

    def _cancel(self, job: Job) -> None:
        self._waiters.pop(job, None)
        now_s = self._clock()
        self._settle(self._schedule.advance(now_s))
        self._settle(self._schedule.cancel(job, now_s))
        self._arm(now_s)

    def _on_timer(self) -> None:
        self._timer = None
        self._timer_due_s = math.inf
        now_s = self._clock()
        self._settle(self._schedule.advance(now_s))
        self._arm(now_s)

    def _settle(self, turn: Turn) -> None:
        for job in turn.finished:
            future = self._waiters.pop(job, None)
            if future is not None and not future.done():
                future.set_result(None)
        for job in turn.dropped:
            self._fail(
                job,
                DeadlineExpired(
                    Code.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED",
                    "the deadline passed while the request waited for a worker", started=False,
                ),
            )  # fmt: skip

    def _fail(self, job: Job, error: ServiceError) -> None:
        future = self._waiters.pop(job, None)
        if future is not None and not future.done():
            future.set_exception(error)

    def _arm(self, now_s: float) -> None:
        due_s = self._schedule.next_finish_s()
        if due_s is None or due_s >= self._timer_due_s:
            return  # a timer that fires too early finds nothing to do and arms the next one
        if self._timer is not None:
            self._timer.cancel()
        wait_s = math.ceil(max(0.0, due_s - now_s) / TIMER_STEP_S) * TIMER_STEP_S
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._on_timer)
        self._timer_due_s = due_s
