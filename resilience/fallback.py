"""Fallback: when a call fails, answer with the next best thing, and say so.

    prices = Fallback[float]("prices", [LastGoodAnswer(60.0), FixedAnswer(0.0)])
    price = await prices.call(lambda: ask_the_shop(item), key=item)

Sources are asked in order until one has an answer: the last good one while it is young enough, a
function, a fixed value. None has: the caller gets the error itself. Every answer that stood in is
noted in the Context as ``degraded``, with its source, its age and what it covers, so that nobody
takes it for the real one (``answer`` says so to the program too).

In a ``ClientPipeline`` it is a stage of its own, outside the plan and below the deadline: retries
come first, and a function that answers has what is left of the caller's time and not a moment more.
Nothing is covered when the caller left or asked wrongly (``policy.fallback``); a bug
(``TypeError``) isn't either, unless its class is named.

Source: failsafe-go and hyx (value or function), RFC 5861 (stale-if-error); the order of sources and
the note are ours.
Not handled: an inner fallback: its stand-in looks like a good answer from outside, and would be
kept as one; a function that goes on after being cancelled (it holds the answer up).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

from resilience.context import Context, Cut, current
from resilience.cutoff import CutOff
from resilience.errors import Code, DeadlineExpired, ServiceError
from resilience.fallback_sources import Answer, Source
from resilience.observer import SILENT, Observer
from resilience.policy.contract import Mode, Snapshot
from resilience.policy.deadline import is_spent
from resilience.policy.fallback import may_cover
from resilience.switches import FixedSwitches, Switches

T = TypeVar("T")
Covers = Callable[[Exception], bool]
"""Whether a failure may be covered; asked only of those that are not the caller's own."""

NAME = "fallback"  # its switch, and what decisions are reported under
COVERED = (ServiceError, OSError)  # TimeoutError and ConnectionError are OSErrors
_OFF = Mode.OFF  # see Outcome


class Fallback(Generic[T]):
    """Calls to one dependency that something may stand in for.

    Args:
        name: The dependency, e.g. ``prices``.
        sources: Asked in this order; at least one.
        switches: Asked for ``fallback``; in shadow errors go up, and ``would_cover`` counts those
            that could have been covered; off: the same, uncounted, and nothing is kept.
        also: Further exceptions that may be covered, e.g. those of a client library.
        covers: Says of an error that may be covered whether it shall be; None: all of them.
        scope: What decisions are reported under; None takes the name.
        observer: Hears of each answer that stood in.
        clock: Monotonic seconds, as deadlines are.
    """

    __slots__ = (
        "_also",
        "_clock",
        "_covers",
        "_observer",
        "_scope",
        "_sources",
        "_switches",
        "covered",
        "name",
        "uncovered",
        "would_cover",
    )

    def __init__(
        self,
        name: str,
        sources: Sequence[Source[T]],
        switches: Switches | None = None,
        *,
        also: tuple[type[Exception], ...] = (),
        covers: Covers | None = None,
        scope: str | None = None,
        observer: Observer = SILENT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not sources:
            raise ValueError(f"fallback {name!r} has no sources: give at least one")
        self.name = name
        self._sources = tuple(sources)
        self._switches = switches or FixedSwitches()
        self._also = COVERED + also
        self._covers = covers
        self._scope = scope or name
        self._observer = observer
        self._clock = clock
        self.covered = self.uncovered = self.would_cover = 0

    async def call(self, work: Callable[[], Awaitable[T]], key: Hashable = None) -> T:
        """Return what the work returns, or a stand-in.

        Args:
            work: The call.
            key: What it is about, for the last good answer.

        Raises:
            Exception: What the work raised, where nothing may or can cover it.
        """
        mode = self._switches.mode(NAME)
        try:
            value = await work()
        except self._also as error:
            answer = await self._stand_in(mode, key, error, _deadline_s())
            if answer is None:
                raise
            return answer.value
        if mode is not _OFF:
            self._keep(key, value)
        return value

    async def answer(self, work: Callable[[], Awaitable[T]], key: Hashable = None) -> Answer[T]:
        """Return the same with where it came from; ``source`` is "" for the real answer."""
        mode = self._switches.mode(NAME)
        return await self.answer_within(work, key, mode=mode, deadline_s=_deadline_s())

    async def answer_within(
        self,
        work: Callable[[], Awaitable[T]],
        key: Hashable,
        *,
        mode: Mode,
        deadline_s: float | None,
    ) -> Answer[T]:
        """Do as ``answer`` does, for whoever asks the switch and knows the deadline himself.

        Args:
            work: The call; it keeps the deadline by itself.
            key: What it is about, for the last good answer.
            mode: How the switch stands.
            deadline_s: Absolute, of ``clock``: no source that waits goes on beyond it; None: none.

        Raises:
            Exception: What the work raised, where nothing may or can cover it.
        """
        try:
            value = await work()
        except self._also as error:
            answer = await self._stand_in(mode, key, error, deadline_s)
            if answer is None:
                raise
            return answer
        if mode is not _OFF:
            self._keep(key, value)
        return Answer(value)

    def reset(self, now_s: float) -> None:
        """Zero the counts; good answers are kept."""
        self.covered = self.uncovered = self.would_cover = 0

    def snapshot(self) -> Snapshot:
        """Count the errors that were covered, that nothing could cover, and those in shadow."""
        return {
            "covered": self.covered,
            "uncovered": self.uncovered,
            "would_cover": self.would_cover,
        }

    def _keep(self, key: Hashable, value: T) -> None:
        now_s = self._clock()
        for source in self._sources:
            source.keep(key, value, now_s)

    async def _stand_in(
        self, mode: Mode, key: Hashable, error: Exception, deadline_s: float | None
    ) -> Answer[T] | None:
        """Return what covers the error; None lets it go up, and counts why."""
        if mode is _OFF or not _is_coverable(error):
            return None
        if self._covers is not None and not self._covers(error):
            return None
        if mode is Mode.SHADOW:
            self.would_cover += 1
            return None
        answer = await self._cover(key, error, deadline_s)
        if answer is None:
            self.uncovered += 1
        return answer

    async def _cover(
        self, key: Hashable, error: Exception, deadline_s: float | None
    ) -> Answer[T] | None:
        """Ask the sources in order; one that fails has nothing."""
        context = current()
        for source in self._sources:
            try:
                answer = await self._ask(source, key, error, deadline_s)
            except Exception as failure:
                self._tell(context, "failed", source=source.name, reason=_reason(failure))
                continue
            if answer is not None:
                self.covered += 1
                age_s = round(answer.age_s, 3)
                reason = _reason(error)
                self._tell(context, "degraded", source=source.name, reason=reason, age_s=age_s)
                return answer._replace(reason=reason)
        return None

    async def _ask(
        self, source: Source[T], key: Hashable, error: Exception, deadline_s: float | None
    ) -> Answer[T] | None:
        """Ask one source, for as long as there is time; None when it has nothing, or none is.

        Raises:
            DeadlineExpired: It was cut at the deadline.
            Exception: What the source raised.
        """
        now_s = self._clock()
        if source.is_quick or deadline_s is None:
            return await source.find(key, error, now_s)
        if is_spent(deadline_s, now_s):
            return None
        cut = CutOff(deadline_s - now_s)
        try:
            return await source.find(key, error, now_s)
        except asyncio.CancelledError:
            if cut.claim():
                raise _out_of_time(self.name, source.name) from None
            raise
        finally:
            cut.close()

    def _tell(self, context: Context | None, what: str, **detail: float | str) -> None:
        if context is not None:
            context.note(NAME, what, self._clock(), upstream=self.name, **detail)
        self._observer.on_decision(NAME, what, self._scope, detail)

    def __repr__(self) -> str:
        sources = ", ".join(source.name for source in self._sources)
        return f"<Fallback {self.name} [{sources}] covered {self.covered}>"


def _deadline_s() -> float | None:
    context = current()
    return None if context is None else context.deadline_s


def _is_coverable(error: Exception) -> bool:
    """Whether somebody still waits, and the error isn't the caller's own."""
    context = current()
    if context is not None and context.cut is Cut.CALLER:
        return False
    return not isinstance(error, ServiceError) or may_cover(error.code.http_status)


def _reason(error: Exception) -> str:
    return error.reason if isinstance(error, ServiceError) else type(error).__name__


def _out_of_time(name: str, source: str) -> DeadlineExpired:
    return DeadlineExpired(
        Code.DEADLINE_EXCEEDED,
        "DEADLINE_EXCEEDED",
        f"the deadline passed while {source} was to stand in for {name}",
    )
