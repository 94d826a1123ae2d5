"""Flights: pieces of work by key, each in a task of its own, at most one to follow another.

This is the half of ``single_flight`` that knows of work and not of callers: what is under way, what
follows when it ends, and that nobody can join what has ended.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import replace
from typing import Any, TypeVar

from resilience import context as request_context
from resilience.cutoff import CutOff
from resilience.errors import Code, UpstreamTimeout

T = TypeVar("T")


class Flight:
    """One piece of work and how many wait for it."""

    __slots__ = ("is_begun", "task", "waiting")

    task: "asyncio.Task[Any]"

    def __init__(self) -> None:
        self.waiting = 0
        self.is_begun = False

    @property
    def has_failed(self) -> bool:
        """Whether the work ended with an error of its own, not by being cancelled."""
        task = self.task
        return task.done() and not task.cancelled() and task.exception() is not None


class Flights:
    """All flights that can be joined; use it from one event loop. Every call is O(1).

    Invariant: of a key at most one flight has begun and at most one more is to follow.
    """

    __slots__ = ("_by_key", "_tasks")

    def __init__(self) -> None:
        self._by_key: dict[Hashable, list[Flight]] = {}  # under way, then the one to follow
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._by_key)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._by_key

    def to_join(self, key: Hashable, *, fresh: bool) -> Flight | None:
        """Return the flight a caller may share; a fresh one only what has not begun."""
        flights = self._by_key.get(key)
        if not flights:
            return None
        if not fresh:
            return flights[0]
        return None if flights[-1].is_begun else flights[-1]

    def begin(
        self, key: Hashable, work: Callable[[], Awaitable[Any]], limit_s: float | None
    ) -> Flight:
        """Start work now, or right after the one of this key that is under way.

        Args:
            key: What others join it by.
            work: Called once, when its turn has come.
            limit_s: Longest it may take from then; None means as long as somebody waits.
        """
        flights = self._by_key.setdefault(key, [])
        after = flights[-1].task if flights else None
        flight = Flight()
        flights.append(flight)
        running = self._run(key, flight, work, after, limit_s)
        flight.task = asyncio.get_running_loop().create_task(running)
        self._tasks.add(flight.task)  # the loop itself holds tasks only weakly
        flight.task.add_done_callback(self._on_end)
        return flight

    def leave(self, key: Hashable, flight: Flight) -> None:
        """Cancel what nobody waits for any more, and let nobody join it."""
        self._drop(key, flight)
        flight.task.cancel()

    def forget_begun(self, key: Hashable) -> bool:
        """Let nobody join what has begun; who waits for it still gets its answer."""
        begun = [flight for flight in self._by_key.get(key, ()) if flight.is_begun]
        for flight in begun:
            self._drop(key, flight)
        return bool(begun)

    async def close(self) -> None:
        """Cancel all work and wait until it has ended."""
        tasks = list(self._tasks)
        self._by_key.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(
        self,
        key: Hashable,
        flight: Flight,
        work: Callable[[], Awaitable[T]],
        after: "asyncio.Task[Any] | None",
        limit_s: float | None,
    ) -> T:
        try:
            if after is not None:
                await asyncio.wait([after])
            flight.is_begun = True
            caller = request_context.current()
            if caller is not None:  # a copy that shares the list of notes
                request_context.enter(replace(caller, deadline_s=None, cut=None))
            return await (work() if limit_s is None else _limited(key, work, limit_s))
        finally:
            # In the same step as the work's end: nobody can join what has ended.
            self._drop(key, flight)

    def _drop(self, key: Hashable, flight: Flight) -> None:
        flights = self._by_key.get(key, [])
        if flight in flights:
            flights.remove(flight)
            if not flights:
                del self._by_key[key]

    def _on_end(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, even when nobody waited for it any more


async def _limited(key: Hashable, work: Callable[[], Awaitable[T]], limit_s: float) -> T:
    cut = CutOff(limit_s)
    try:
        return await work()
    except asyncio.CancelledError:
        if cut.claim():
            raise UpstreamTimeout(
                Code.DEADLINE_EXCEEDED,
                "UPSTREAM_TIMEOUT",
                f"the work for {key!r} took longer than {limit_s} s",
            ) from None
        raise
    finally:
        cut.close()
