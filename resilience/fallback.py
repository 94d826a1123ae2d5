"""Fallback: when a call fails, answer with the next best thing, and say so.

    prices = Fallback[float]("prices", [LastGoodAnswer(60.0), FixedAnswer(0.0)])
    price = await prices.call(lambda: ask_the_shop(item), key=item)

Sources are asked in order until one has an answer: the last good one while it is young enough, a
function, a fixed value. None has: the caller gets the error itself. Every answer that stood in is
noted in the Context as ``degraded``, with its source, its age and what it covers, so that nobody
takes it for the real one (``answer`` says so to the program too).

Around a ``ClientPipeline`` its place is outside, below the deadline: retries come first. Nothing is
covered when the caller left or asked wrongly (``policy.fallback``); a bug (``TypeError``) isn't
either, unless its class is named.

Source: failsafe-go and hyx (value or function), RFC 5861 (stale-if-error); the order of sources and
the note are ours.
Not handled: an inner fallback: its stand-in looks like a good answer from outside, and would be
kept as one; a time limit for functions other than the request's own (they should be local).
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, NamedTuple, TypeVar

from resilience.context import Context, Cut, current
from resilience.errors import ServiceError
from resilience.observer import SILENT, Observer
from resilience.policy.contract import Mode, Snapshot
from resilience.policy.deadline import is_spent
from resilience.policy.fallback import DEFAULT_MAX_KEYS, LastGood, may_cover
from resilience.switches import FixedSwitches, Switches

T = TypeVar("T")

NAME = "fallback"  # its switch, and what decisions are reported under
COVERED = (ServiceError, OSError)  # TimeoutError and ConnectionError are OSErrors
_OFF = Mode.OFF  # see Outcome


class Answer(NamedTuple, Generic[T]):
    """What a call got.

    Args:
        value: The answer.
        source: Which fallback gave it; "" when it is the real one.
        age_s: How old it is; 0.0 when it was made now.
    """

    value: T
    source: str = ""
    age_s: float = 0.0


class Source(ABC, Generic[T]):
    """Something that may stand in for a failed call.

    Args:
        name: What notes call it.
        is_quick: Whether it answers without waiting, so that it serves with no time left too.
    """

    __slots__ = ("is_quick", "name")

    def __init__(self, name: str, *, is_quick: bool) -> None:
        self.name = name
        self.is_quick = is_quick

    @abstractmethod
    async def find(self, key: Hashable, error: Exception, now_s: float) -> Answer[T] | None:
        """Return a stand-in; None when there is none. What it raises counts as none."""

    def keep(self, key: Hashable, value: T, now_s: float) -> None:
        """Hear of a good answer."""


class FixedAnswer(Source[T]):
    """Always the same value: an empty list, a default."""

    __slots__ = ("_value",)

    def __init__(self, value: T, name: str = "value") -> None:
        super().__init__(name, is_quick=True)
        self._value = value

    async def find(self, key: Hashable, error: Exception, now_s: float) -> Answer[T] | None:
        """Return the value."""
        return Answer(self._value, self.name)


class FunctionAnswer(Source[T]):
    """What a function makes of key and error; not begun when the request's time is spent."""

    __slots__ = ("_function",)

    def __init__(
        self, function: Callable[[Hashable, Exception], Awaitable[T]], name: str = "function"
    ) -> None:
        super().__init__(name, is_quick=False)
        self._function = function

    async def find(self, key: Hashable, error: Exception, now_s: float) -> Answer[T] | None:
        """Return what the function returns."""
        return Answer(await self._function(key, error), self.name)


class LastGoodAnswer(Source[T]):
    """The last good answer of the same key, while it is young enough.

    Args:
        max_age_s: Seconds for which it may stand in, > 0.
        max_keys: Most answers kept, >= 1.
    """

    __slots__ = ("kept",)

    def __init__(
        self, max_age_s: float, max_keys: int = DEFAULT_MAX_KEYS, name: str = "cached"
    ) -> None:
        super().__init__(name, is_quick=True)
        self.kept = LastGood[T](max_age_s, max_keys)

    async def find(self, key: Hashable, error: Exception, now_s: float) -> Answer[T] | None:
        """Return it with its age; None when there is none so young."""
        found = self.kept.find(key, now_s)
        return None if found is None else Answer(found[1], self.name, found[0])

    def keep(self, key: Hashable, value: T, now_s: float) -> None:
        """Remember it."""
        self.kept.keep(key, value, now_s)


class Fallback(Generic[T]):
    """Calls to one dependency that something may stand in for.

    Args:
        name: The dependency, e.g. ``prices``.
        sources: Asked in this order; at least one.
        switches: Asked for ``fallback``; in shadow errors go up, and ``would_cover`` counts those
            that could have been covered; off: the same, uncounted, and nothing is kept.
        also: Further exceptions that may be covered, e.g. those of a client library.
        scope: What decisions are reported under; None takes the name.
        observer: Hears of each answer that stood in.
        clock: Monotonic seconds, as deadlines are.
    """

    __slots__ = (
        "_also",
        "_clock",
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
            answer = await self._stand_in(mode, key, error)
            if answer is None:
                raise
            return answer.value
        if mode is not _OFF:
            self._keep(key, value)
        return value

    async def answer(self, work: Callable[[], Awaitable[T]], key: Hashable = None) -> Answer[T]:
        """Return the same with where it came from; ``source`` is "" for the real answer."""
        mode = self._switches.mode(NAME)
        try:
            value = await work()
        except self._also as error:
            answer = await self._stand_in(mode, key, error)
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

    async def _stand_in(self, mode: Mode, key: Hashable, error: Exception) -> Answer[T] | None:
        """Return what covers the error; None lets it go up, and counts why."""
        if mode is _OFF or not _is_coverable(error):
            return None
        if mode is Mode.SHADOW:
            self.would_cover += 1
            return None
        answer = await self._cover(key, error)
        if answer is None:
            self.uncovered += 1
        return answer

    async def _cover(self, key: Hashable, error: Exception) -> Answer[T] | None:
        """Ask the sources in order; one that fails has nothing."""
        context = current()
        for source in self._sources:
            now_s = self._clock()
            if not source.is_quick and context and is_spent(context.deadline_s, now_s):
                continue
            try:
                answer = await source.find(key, error, now_s)
            except Exception as failure:
                self._tell(context, "failed", source=source.name, reason=_reason(failure))
                continue
            if answer is not None:
                self.covered += 1
                age_s = round(answer.age_s, 3)
                reason = _reason(error)
                self._tell(context, "degraded", source=source.name, reason=reason, age_s=age_s)
                return answer
        return None

    def _tell(self, context: Context | None, what: str, **detail: float | str) -> None:
        if context is not None:
            context.note(NAME, what, self._clock(), upstream=self.name, **detail)
        self._observer.on_decision(NAME, what, self._scope, detail)

    def __repr__(self) -> str:
        sources = ", ".join(source.name for source in self._sources)
        return f"<Fallback {self.name} [{sources}] covered {self.covered}>"


def _is_coverable(error: Exception) -> bool:
    """Whether somebody still waits, and the error isn't the caller's own."""
    context = current()
    if context is not None and context.cut is Cut.CALLER:
        return False
    return not isinstance(error, ServiceError) or may_cover(error.code.http_status)


def _reason(error: Exception) -> str:
    return error.reason if isinstance(error, ServiceError) else type(error).__name__
