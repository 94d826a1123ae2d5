"""Fallback sources: what may stand in for a failed call, and the answer that says so.

Three of them: the last good answer of the same key, what a function makes of the error, a fixed
value. ``resilience.fallback`` asks them, in the order given.

Source: failsafe-go and hyx (value or function), RFC 5861 (stale-if-error).
Not handled: a stand-in kept beyond this process.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, NamedTuple, TypeVar

from resilience.policy.fallback import DEFAULT_MAX_KEYS, LastGood

T = TypeVar("T")


class _Unkeyed:
    """The key of a call that has none; nothing is kept for it."""

    def __repr__(self) -> str:
        return "UNKEYED"


UNKEYED = _Unkeyed()


class Answer(NamedTuple, Generic[T]):
    """What a call got.

    Args:
        value: The answer.
        source: Which fallback gave it; "" when it is the real one.
        age_s: How old it is, seconds; 0.0 when it was made now.
        reason: What it covers, e.g. ``BREAKER_OPEN``; "" when it is the real one.
    """

    value: T
    source: str = ""
    age_s: float = 0.0
    reason: str = ""

    @property
    def is_degraded(self) -> bool:
        """Whether it stands in for the real one."""
        return bool(self.source)


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
    """What a function makes of key and error; not begun when no time is left, and cut when none is.

    Args:
        function: Gets the key (``UNKEYED`` where a pipeline was given none) and the error.
        name: What notes call it.
    """

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
        """Return it with its age; None when there is none so young, or no key."""
        found = self.kept.find(key, now_s)
        return None if found is None else Answer(found[1], self.name, found[0])

    def keep(self, key: Hashable, value: T, now_s: float) -> None:
        """Remember it, if it has a key."""
        if key is not UNKEYED:
            self.kept.keep(key, value, now_s)
