"""Single-flight: of all who ask the same at the same time, one does the work.

Why: when a hot key leaves a cache, every reader misses at once and asks the store the same. One
question is enough: the first caller of a key begins the work, whoever comes meanwhile waits for it.
Source: golang.org/x/sync/singleflight (``Do``; a forgotten context there cuts every follower);
groupcache's singleflight (where waiters hang when the first one fails). Ours adds:

- *Cancellation.* The work runs in a task of its own. Who is cancelled only stops waiting, the first
  caller too; when nobody waits any more the work is cancelled.
- *Deadlines.* Each waits until its own. The work has none and lasts as long as somebody waits, so
  that a first caller in a hurry doesn't cut it for the others.
- *Freshness.* A plain follower may get what was read before it asked. With ``fresh`` it joins only
  work that has not begun: the work under way ends first, then one more serves all who came
  meanwhile. So a caller sees every change that was made before its call.

Not handled: several processes (each has its own), results kept after the work, passing the
deadline on to what the work calls (it is cancelled instead). Trace, tenant and criticality of the
work are its first caller's.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import replace
from typing import Any, TypeVar

from resilience import context as request_context
from resilience.context import Context
from resilience.errors import Code, DeadlineExpired
from resilience.observer import SILENT, Observer
from resilience.policy.contract import Mode, Snapshot
from resilience.switches import FixedSwitches, Switches

T = TypeVar("T")

NAME = "single_flight"  # its switch, and what decisions are reported under


class Flight:
    """One piece of work and how many wait for it."""

    __slots__ = ("is_begun", "task", "waiting")

    task: "asyncio.Task[Any]"

    def __init__(self) -> None:
        self.waiting = 0
        self.is_begun = False


class SingleFlight:
    """Share work between callers of one key; use it from one event loop.

    Args:
        switches: Asked for ``single_flight``; off: every caller does its own work, and no deadline
            is looked at; in shadow likewise, and ``would_join`` counts who would have waited.
        scope: What decisions are reported under, e.g. ``video.2``.
        observer: Hears of each caller that joined.
        clock: Monotonic seconds, as deadlines are.

    Invariant: of a key at most one piece of work that anybody waits for is under way, and at most
    one more is to follow. (One that was cancelled may still be ending.)
    """

    def __init__(
        self,
        switches: Switches | None = None,
        *,
        scope: str = "",
        observer: Observer = SILENT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._switches = switches or FixedSwitches()
        self._scope = scope
        self._observer = observer
        self._clock = clock
        self._flights: dict[Hashable, list[Flight]] = {}  # under way, then the one to follow
        self._alone: Counter[Hashable] = Counter()  # callers at work in shadow
        self._tasks: set[asyncio.Task[Any]] = set()
        self._led = self._joined = self._abandoned = self._would_join = 0

    def __repr__(self) -> str:
        return f"<SingleFlight {len(self._flights)} keys, joined {self._joined} of {self._calls}>"

    async def do(
        self,
        key: Hashable,
        work: Callable[[], Awaitable[T]],
        *,
        fresh: bool = False,
        deadline_s: float | None = None,
    ) -> T:
        """Return what the work returns, doing it or waiting for who does.

        Args:
            key: What the work is about; callers of one key must want the same.
            work: Begins the work; called at most once, and not at all for who joined.
            fresh: Never take an answer that was begun before this call.
            deadline_s: Absolute, of ``clock``; None means the current Context's, if it has one.

        Raises:
            DeadlineExpired: This caller's deadline passed; the work goes on for the others.
            BaseException: Whatever the work raises, to everybody who waits for it.
        """
        mode = self._switches.mode(NAME)
        if mode is Mode.OFF:
            return await work()
        if mode is Mode.SHADOW:
            return await self._do_alone(key, work)
        timeout_s = self._timeout_s(key, deadline_s)
        flight = self._to_join(key, fresh)
        if flight is None:
            self._led += 1
            flight = self._begin(key, work)
        else:
            self._note_joined(flight)
        answer: T = await self._wait(flight, key, timeout_s)
        return answer

    def is_under_way(self, key: Hashable) -> bool:
        """Whether work of this key has begun and not ended."""
        return key in self._flights

    def snapshot(self) -> Snapshot:
        """Return how many keys are under way, and who led, joined and left since the reset."""
        return {
            "under_way": len(self._flights),
            "led": self._led,
            "joined": self._joined,
            "abandoned": self._abandoned,
            "would_join": self._would_join,
        }

    def reset(self, now_s: float) -> None:
        """Zero the counts; work under way goes on."""
        self._led = self._joined = self._abandoned = self._would_join = 0

    async def close(self) -> None:
        """Cancel all work and wait until it has ended; who still waits is cancelled too."""
        tasks = list(self._tasks)
        self._flights.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def _calls(self) -> int:
        return self._led + self._joined

    def _timeout_s(self, key: Hashable, deadline_s: float | None) -> float | None:
        """Return how long this caller may wait; raise when its time has passed already."""
        if deadline_s is None:
            context = request_context.current()
            deadline_s = None if context is None else context.deadline_s
        if deadline_s is None:
            return None
        timeout_s = deadline_s - self._clock()
        if timeout_s <= 0.0:
            raise _expired(key, started=False)
        return timeout_s

    def _to_join(self, key: Hashable, fresh: bool) -> Flight | None:
        flights = self._flights.get(key)
        if not flights:
            return None
        if not fresh:
            return flights[0]
        return None if flights[-1].is_begun else flights[-1]

    def _begin(self, key: Hashable, work: Callable[[], Awaitable[Any]]) -> Flight:
        """Start work now, or right after the one of this key that is under way."""
        flights = self._flights.setdefault(key, [])
        after = flights[-1].task if flights else None
        flight = Flight()
        flights.append(flight)
        running = self._run(key, flight, work, after)
        flight.task = asyncio.get_running_loop().create_task(running)
        self._tasks.add(flight.task)  # the loop itself holds tasks only weakly
        flight.task.add_done_callback(self._on_end)
        return flight

    async def _run(
        self,
        key: Hashable,
        flight: Flight,
        work: Callable[[], Awaitable[T]],
        after: "asyncio.Task[Any] | None",
    ) -> T:
        try:
            if after is not None:
                await asyncio.wait([after])
            flight.is_begun = True
            caller = request_context.current()
            if caller is not None:  # a copy that shares the list of notes
                request_context.enter(replace(caller, deadline_s=None, cut=None))
            return await work()
        finally:
            # In the same step as the work's end: nobody can join what has ended.
            self._forget(key, flight)

    async def _wait(self, flight: Flight, key: Hashable, timeout_s: float | None) -> Any:
        flight.waiting += 1
        try:
            # wait() leaves the work alone when this caller is cancelled.
            await asyncio.wait([flight.task], timeout=timeout_s)
        finally:
            flight.waiting -= 1
            if flight.waiting == 0 and not flight.task.done():
                self._abandoned += 1
                self._forget(key, flight)
                flight.task.cancel()
        if not flight.task.done():
            raise _expired(key, started=True)
        if flight.task.cancelled():
            raise asyncio.CancelledError
        return flight.task.result()

    def _forget(self, key: Hashable, flight: Flight) -> None:
        flights = self._flights.get(key, [])
        if flight in flights:
            flights.remove(flight)
        if not flights:
            self._flights.pop(key, None)

    def _on_end(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, even when nobody waited for it any more

    async def _do_alone(self, key: Hashable, work: Callable[[], Awaitable[T]]) -> T:
        self._would_join += self._alone[key] > 0
        self._alone[key] += 1
        try:
            return await work()
        finally:
            self._alone[key] -= 1
            if not self._alone[key]:
                del self._alone[key]

    def _note_joined(self, flight: Flight) -> None:
        self._joined += 1
        context: Context | None = request_context.current()
        if context is not None:
            context.note(NAME, "joined", self._clock(), waiting=flight.waiting)
        self._observer.on_decision(NAME, "joined", self._scope, {"waiting": flight.waiting})


def _expired(key: Hashable, *, started: bool) -> DeadlineExpired:
    return DeadlineExpired(
        Code.DEADLINE_EXCEEDED,
        "DEADLINE_EXCEEDED",
        f"the deadline passed {'while waiting' if started else 'before asking'} for {key!r}",
        started=started,
    )
