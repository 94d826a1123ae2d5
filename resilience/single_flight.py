"""Single-flight: of all who ask the same at the same time, one does the work.

Why: when a hot key leaves a cache, every reader misses at once and asks the store the same. One
question is enough: the first caller of a key begins the work, whoever comes meanwhile waits for it.
Source: golang.org/x/sync/singleflight (``Do``, ``Forget``; a cancelled context there cuts every
follower); groupcache's singleflight (where waiters hang when the first one fails). Ours adds:

- *Cancellation.* The work runs in a task of its own. Who is cancelled only stops waiting, the first
  caller too; when nobody waits any more the work is cancelled.
- *Deadlines.* Each waits until its own. The work has none and lasts as long as somebody waits, so
  that a first caller in a hurry doesn't cut it for the others; ``limit_s`` bounds it by itself.
- *Freshness.* A plain follower may get what was read before it asked. With ``fresh`` it joins only
  work that has not begun: the work under way ends first, then one more serves all who came
  meanwhile. So a caller sees every change that was made before its call.
- *Errors.* Everybody who waits gets the work's error. Without ``share_errors`` a follower shares no
  failure that was under way before it came: it joins or begins one more piece of work, and takes
  whatever that ends with. So one unlucky first caller doesn't fail a thousand, and a failing origin
  is asked at most twice for them, not a thousand times.
- *Bounds.* Beyond ``max_keys`` keys at a time a caller does its own work and shares nothing.

Not handled: several processes (each has its own), results kept after the work, passing the
deadline on to what the work calls (it is cancelled instead). Trace, tenant and criticality of the
work are its first caller's.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

from resilience import context as request_context
from resilience.context import Context
from resilience.cutoff import CutOff
from resilience.errors import Code, DeadlineExpired
from resilience.flight import Flight, Flights
from resilience.observer import SILENT, Observer
from resilience.policy.contract import Mode, Snapshot
from resilience.switches import FixedSwitches, Switches

T = TypeVar("T")

NAME = "single_flight"  # its switch, and what decisions are reported under


class SingleFlight:
    """Share work between callers of one key; use it from one event loop.

    Args:
        switches: Asked for ``single_flight``; off: every caller does its own work, and no deadline
            is looked at; in shadow likewise, and ``would_join`` counts who would have waited.
        scope: What decisions are reported under, e.g. ``video.2``.
        observer: Hears of each caller that joined.
        clock: Monotonic seconds, as deadlines are.
        max_keys: Most keys under way at a time, >= 1; None means as many as there are callers.
        share_errors: Whether a follower takes the error of work begun before it came.

    Invariant: of a key at most one piece of work that anybody can join is under way, and at most
    one more is to follow. (One that was cancelled or forgotten may still be ending.)
    """

    def __init__(
        self,
        switches: Switches | None = None,
        *,
        scope: str = "",
        observer: Observer = SILENT,
        clock: Callable[[], float] = time.monotonic,
        max_keys: int | None = None,
        share_errors: bool = True,
    ) -> None:
        if max_keys is not None and max_keys < 1:
            raise ValueError(f"max_keys={max_keys} must be >= 1, or None for no bound")
        self._switches = switches or FixedSwitches()
        self._scope = scope
        self._observer = observer
        self._clock = clock
        self._max_keys = max_keys
        self._share_errors = share_errors
        self._flights = Flights()
        self._alone: Counter[Hashable] = Counter()  # callers at work in shadow
        self.reset(0.0)

    def __repr__(self) -> str:
        calls = self._led + self._joined
        return f"<SingleFlight {len(self._flights)} keys, joined {self._joined} of {calls}>"

    async def do(
        self,
        key: Hashable,
        work: Callable[[], Awaitable[T]],
        *,
        fresh: bool = False,
        deadline_s: float | None = None,
        limit_s: float | None = None,
    ) -> T:
        """Return what the work returns, doing it or waiting for who does.

        Args:
            key: What the work is about; callers of one key must want the same.
            work: Begins the work; called at most once, and not at all for who joined.
            fresh: Never take an answer that was begun before this call.
            deadline_s: Absolute, of ``clock``; None means the current Context's, if it has one.
            limit_s: Longest the work may take once begun, if this call begins it; > 0.

        Raises:
            DeadlineExpired: This caller's deadline passed; the work goes on for the others.
            UpstreamTimeout: The work took longer than its limit.
            BaseException: Whatever the work raises, to everybody who waits for it.
        """
        mode = self._switches.mode(NAME)
        if mode is Mode.OFF:
            return await work()
        if mode is Mode.SHADOW:
            return await self._do_alone(key, work)
        timeout_s = self._timeout_s(key, deadline_s)
        flight = self._flights.to_join(key, fresh=fresh)
        if flight is None:
            if self._is_full(key):
                return await self._do_unshared(key, work, timeout_s)
            answer: T = await self._lead(key, work, limit_s, timeout_s)
            return answer
        self._note_joined(flight)
        try:
            answer = await self._wait(flight, key, timeout_s)
            return answer
        except Exception:
            if self._share_errors or not flight.has_failed:
                raise
        return await self._do_again(key, work, limit_s, deadline_s)

    def is_under_way(self, key: Hashable) -> bool:
        """Whether work of this key has begun and not ended."""
        return key in self._flights

    def forget(self, key: Hashable) -> bool:
        """Let later callers begin anew; who waits for work under way still gets its answer.

        For a change after which that answer must not be given to newcomers. False when nothing of
        the key was under way.
        """
        return self._flights.forget_begun(key)

    def snapshot(self) -> Snapshot:
        """Return how many keys are under way, and what became of callers since the reset."""
        return {
            "under_way": len(self._flights),
            "led": self._led,
            "joined": self._joined,
            "abandoned": self._abandoned,
            "overflowed": self._overflowed,
            "again": self._again,
            "would_join": self._would_join,
        }

    def reset(self, now_s: float) -> None:
        """Zero the counts; work under way goes on."""
        self._led = self._joined = self._abandoned = self._would_join = 0
        self._overflowed = self._again = 0

    async def close(self) -> None:
        """Cancel all work and wait until it has ended; who still waits is cancelled too."""
        await self._flights.close()

    def _is_full(self, key: Hashable) -> bool:
        flights = self._flights
        return self._max_keys is not None and len(flights) >= self._max_keys and key not in flights

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

    async def _lead(
        self,
        key: Hashable,
        work: Callable[[], Awaitable[Any]],
        limit_s: float | None,
        timeout_s: float | None,
    ) -> Any:
        self._led += 1
        return await self._wait(self._flights.begin(key, work, limit_s), key, timeout_s)

    async def _do_again(
        self,
        key: Hashable,
        work: Callable[[], Awaitable[T]],
        limit_s: float | None,
        deadline_s: float | None,
    ) -> T:
        """Share one more piece of work with all who would not take that failure."""
        self._again += 1
        timeout_s = self._timeout_s(key, deadline_s)
        flight = self._flights.to_join(key, fresh=False)
        if flight is None:
            answer: T = await self._lead(key, work, limit_s, timeout_s)
        else:
            answer = await self._wait(flight, key, timeout_s)
        return answer

    async def _wait(self, flight: Flight, key: Hashable, timeout_s: float | None) -> Any:
        flight.waiting += 1
        try:
            # wait() leaves the work alone when this caller is cancelled.
            await asyncio.wait([flight.task], timeout=timeout_s)
        finally:
            flight.waiting -= 1
            if flight.waiting == 0 and not flight.task.done():
                self._abandoned += 1
                self._flights.leave(key, flight)
        if not flight.task.done():
            raise _expired(key, started=True)
        if flight.task.cancelled():
            raise asyncio.CancelledError
        return flight.task.result()

    async def _do_alone(self, key: Hashable, work: Callable[[], Awaitable[T]]) -> T:
        self._would_join += self._alone[key] > 0
        self._alone[key] += 1
        try:
            return await work()
        finally:
            self._alone[key] -= 1
            if not self._alone[key]:
                del self._alone[key]

    async def _do_unshared(
        self, key: Hashable, work: Callable[[], Awaitable[T]], timeout_s: float | None
    ) -> T:
        self._overflowed += 1
        cut = CutOff(timeout_s)
        try:
            return await work()
        except asyncio.CancelledError:
            if cut.claim():
                raise _expired(key, started=True) from None
            raise
        finally:
            cut.close()

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
