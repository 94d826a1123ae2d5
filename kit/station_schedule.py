"""A station: workers that serve in the order of arrival, on a schedule of their own.

Why: drills need a service whose capacity is known and doesn't depend on the machine. So nothing
here works; it says when a request *would* be finished. Time is virtual: what a late caller finds is
computed from when things were due, so a timer that fires 30 ms late costs no capacity, and 2
workers of 100 ms serve exactly 20 a second.

    arrive -> running (a worker is free) -> finished at start + service
           -> waiting (FIFO)             -> running when a worker frees, at that very instant
                                         -> dropped instead, when its deadline has passed by then
    cancel -> leaves the queue, or gives its worker the rest of its time back

A request is dropped when its turn comes and never because its finish is predicted to be late: a
real server can't predict, and the drills show what that costs.
Source: design.md, "Faults, drills, verdicts"; drills.md R2 (capacity is declared, not measured).
Not handled: priorities; the queue in front of a station belongs to policies.
"""

import heapq
import math
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from kit.state import NO_STATION, StationSetting

MAX_WAITING = 10_000  # 50 s of the overload drill's 200 requests/s; then memory matters more


class Job:
    """One request's way through the station; made by ``arrive`` only."""

    __slots__ = (
        *("arrived_s", "deadline_s", "extra_s", "factor", "finish_s", "number"),
        *("slowed_s", "start_s", "state", "useless_s", "usual_s"),
    )

    def __init__(
        self,
        number: int,
        arrived_s: float,
        deadline_s: float | None,
        factor: Callable[[], float] | None = None,
        gone_s: float | None = None,
    ) -> None:
        self.number = number
        self.arrived_s = arrived_s
        self.deadline_s = deadline_s
        self.useless_s = min(  # when its caller stops waiting: at the deadline, or by leaving
            math.inf if deadline_s is None else deadline_s, math.inf if gone_s is None else gone_s
        )
        self.start_s = 0.0
        self.finish_s = 0.0
        self.factor = factor
        self.usual_s = 0.0  # the service time that was drawn
        self.extra_s = 0.0  # what ``factor`` adds to it
        self.slowed_s = 0.0  # of that, what it has been through once it has ended
        self.state = "waiting"

    def __lt__(self, other: "Job") -> bool:
        return (self.finish_s, self.number) < (other.finish_s, other.number)

    def __repr__(self) -> str:
        return f"<Job {self.number} {self.state}>"


class Turn(NamedTuple):
    """What has become of jobs by now."""

    finished: Sequence[Job]
    dropped: Sequence[Job]


class StationStats(NamedTuple):
    """Counters since the last reset; all seconds are the station's own.

    Args:
        arrived: Requests that came.
        done: Requests served to the end.
        dropped: Requests whose deadline had passed when their turn came.
        cancelled: Requests whose caller left.
        refused: Requests that found the waiting room full.
        busy_s: Worker time spent.
        wasted_s: Of it, after the caller's deadline had passed or the caller had left.
        abandoned_s: Of it, all that was spent for requests whose answer came too late or never.
        busy: Workers busy now.
        waiting: Requests waiting now.
    """

    arrived: int
    done: int
    dropped: int
    cancelled: int
    refused: int
    busy_s: float
    wasted_s: float
    abandoned_s: float
    busy: int
    waiting: int


class StationSchedule:
    """Decide when each request is finished; pure, O(log workers) per request.

    Args:
        setting: Workers, mean and cv.
        rng: Draws the service times (gamma distributed).

    Calls must come with ``now_s`` never decreasing. Invariants: at most ``workers`` run (fewer
    workers after a change let those running end); nobody waits while a worker is free.
    """

    def __init__(self, setting: StationSetting, rng: random.Random) -> None:
        self.setting = setting
        self._rng = rng
        self._running: list[Job] = []
        self._waiting: deque[Job] = deque()
        self._gone = 0  # cancelled jobs that still lie in _waiting
        self._number = 0
        self._zero()

    def __repr__(self) -> str:
        workers, mean_s, _ = self.setting
        return (
            f"<StationSchedule {len(self._running)} of {workers} busy at {mean_s * 1000:g} ms, "
            f"{self.waiting} waiting>"
        )

    @property
    def busy(self) -> int:
        """Workers busy at the time of the last call."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Requests waiting for a worker."""
        return len(self._waiting) - self._gone

    @property
    def wait_s(self) -> float:
        """How long a request that comes now is to expect to wait, in seconds; 0 without workers."""
        workers, mean_s, _ = self.setting
        return self.waiting * mean_s / workers if workers else 0.0

    def arrive(
        self,
        now_s: float,
        deadline_s: float | None = None,
        factor: Callable[[], float] | None = None,
        gone_s: float | None = None,
    ) -> Job | None:
        """Take a request in; call ``advance`` first. None when the waiting room is full.

        Args:
            now_s: The time of arrival.
            deadline_s: When its answer is of no use any more; None means never.
            factor: Asked when its service begins: how many times as long it takes, >= 1.
            gone_s: When its caller will have left: counted, and nothing else. None when unknown.
        """
        self._arrived += 1
        if self.waiting >= MAX_WAITING:
            self._refused += 1
            return None
        self._number += 1
        job = Job(self._number, now_s, deadline_s, factor, gone_s)
        if len(self._running) < self.setting.workers:
            self._start(job, now_s)
        else:
            self._waiting.append(job)
        return job

    def advance(self, now_s: float) -> Turn:
        """Play everything that was due by now, in the order in which it was due."""
        finished: list[Job] = []
        dropped: list[Job] = []
        while self._running and self._running[0].finish_s <= now_s:
            job = heapq.heappop(self._running)
            self._finish(job)
            finished.append(job)
            self._fill(job.finish_s, dropped)
        return Turn(finished, dropped)

    def cancel(self, job: Job, now_s: float) -> Turn:
        """Let a request go whose caller has left; call ``advance`` first.

        A worker busy with it is free at once. Cancelling a job that has ended does nothing.
        """
        dropped: list[Job] = []
        if job.state == "waiting":
            job.state = "cancelled"
            self._gone += 1
            self._cancelled += 1
        elif job.state == "running":
            job.state = "cancelled"
            self._running.remove(job)
            heapq.heapify(self._running)
            self._cancelled += 1
            self._spend(job, now_s, in_vain=True)
            self._fill(now_s, dropped)
        return Turn((), dropped)

    def set(self, setting: StationSetting, now_s: float) -> Turn:
        """Change the figures; call ``advance`` first. Requests in service keep their finish.

        Without workers there is no station any more, so those who waited for one are let through.
        """
        self.setting = setting
        dropped: list[Job] = []
        if setting.workers == 0:
            return Turn(self._release_waiting(), ())
        self._fill(now_s, dropped)
        return Turn((), dropped)

    def reset(self) -> Turn:
        """Drop everything, zero the counters."""
        jobs = [*self._running, *(job for job in self._waiting if job.state == "waiting")]
        for job in jobs:
            job.state = "dropped"
        self._running.clear()
        self._waiting.clear()
        self._gone = 0
        self._zero()
        return Turn((), jobs)

    def next_finish_s(self) -> float | None:
        """When ``advance`` has something to do; None when nobody is served."""
        return self._running[0].finish_s if self._running else None

    def busy_s(self, now_s: float) -> float:
        """Worker time spent until now since the last reset, those running included."""
        running = sum(max(0.0, min(now_s, job.finish_s) - job.start_s) for job in self._running)
        return self._busy_s + running

    def wasted_s(self, now_s: float) -> float:
        """Worker time of ``busy_s`` for which nobody waited any more, those running included."""
        running = sum(_wasted_s(job, min(now_s, job.finish_s)) for job in self._running)
        return self._wasted_s + running

    def stats(self, now_s: float) -> StationStats:
        """Return the counters."""
        return StationStats(
            self._arrived, self._done, self._dropped, self._cancelled, self._refused,
            self.busy_s(now_s), self.wasted_s(now_s), self._abandoned_s, self.busy, self.waiting,
        )  # fmt: skip

    def _start(self, job: Job, start_s: float) -> None:
        job.state = "running"
        job.start_s = start_s
        job.usual_s = self._draw_s()
        if job.factor is not None:
            job.extra_s = job.usual_s * (job.factor() - 1.0)
        job.finish_s = start_s + job.usual_s + job.extra_s
        heapq.heappush(self._running, job)

    def _fill(self, free_s: float, dropped: list[Job]) -> None:
        """Give workers that are free since ``free_s`` to those who wait."""
        while self._waiting and len(self._running) < self.setting.workers:
            job = self._waiting.popleft()
            if job.state == "cancelled":
                self._gone -= 1
            elif job.deadline_s is not None and job.deadline_s <= free_s:
                job.state = "dropped"
                self._dropped += 1
                dropped.append(job)
            else:
                self._start(job, free_s)

    def _finish(self, job: Job) -> None:
        job.state = "finished"
        self._done += 1
        self._spend(job, job.finish_s, in_vain=job.useless_s < job.finish_s)

    def _spend(self, job: Job, end_s: float, *, in_vain: bool) -> None:
        spent_s = end_s - job.start_s
        job.slowed_s = min(job.extra_s, max(0.0, spent_s - job.usual_s))
        self._busy_s += spent_s
        if in_vain:
            self._abandoned_s += spent_s
        self._wasted_s += _wasted_s(job, end_s)

    def _draw_s(self) -> float:
        _, mean_s, cv = self.setting
        if cv <= 0.0 or mean_s <= 0.0:
            return mean_s
        shape = 1.0 / (cv * cv)
        return self._rng.gammavariate(shape, mean_s / shape)

    def _release_waiting(self) -> list[Job]:
        jobs = [job for job in self._waiting if job.state == "waiting"]
        for job in jobs:
            job.state = "finished"
        self._done += len(jobs)
        self._waiting.clear()
        self._gone = 0
        return jobs

    def _zero(self) -> None:
        self._arrived = self._done = self._dropped = self._cancelled = self._refused = 0
        self._busy_s = self._wasted_s = self._abandoned_s = 0.0


def _wasted_s(job: Job, end_s: float) -> float:
    """Return how long a job was worked on, up to a moment, after its caller had stopped waiting."""
    return max(0.0, end_s - max(job.start_s, job.useless_s))


def no_station(rng: random.Random) -> StationSchedule:
    """Make a schedule without workers, for a process that has no station."""
    return StationSchedule(NO_STATION, rng)
