"""Fallback, decided: whether an error may be covered by something else, and how old that may be.

    cover = the other side's fault, or ours, and somebody still waits for the answer

An error of the caller's own making (4xx, and 501) is the right answer, also to the next try: to
cover it would lie. A caller who left wants none. All else, refusals by our own breaker or bulkhead
first of all, is what fallbacks are for.

The last good answer is kept per key, at most ``max_keys`` of them, the one unused for longest
making room; it serves until it is ``max_age_s`` old.

Source: RFC 5861, section 4 (stale-if-error: 500, 502, 503 and 504 may be covered by a stale
answer of limited age); Hystrix getFallback (not called for HystrixBadRequestException).
Not handled: answers told apart by who asks (put that into the key).
"""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T")

DEFAULT_MAX_KEYS = 1024  # ours: last answers of a page's worth of keys

_SERVER_ERROR = 500
_UNIMPLEMENTED = 501  # the caller asks for what is not there, as with 404


def may_cover(status: int) -> bool:
    """Whether an error of that HTTP status may be covered by a fallback."""
    return status >= _SERVER_ERROR and status != _UNIMPLEMENTED


class LastGood(Generic[T]):
    """The last good answer per key. Every call is O(1).

    Args:
        max_age_s: Seconds for which an answer may stand in, > 0.
        max_keys: Most answers kept, >= 1.

    Invariant: never more than ``max_keys`` answers; none is given out when ``max_age_s`` old.
    """

    __slots__ = ("_answers", "max_age_s", "max_keys")

    def __init__(self, max_age_s: float, max_keys: int = DEFAULT_MAX_KEYS) -> None:
        if max_age_s <= 0.0 or max_keys < 1:
            raise ValueError(f"max_age_s={max_age_s} must be > 0 and max_keys={max_keys} >= 1")
        self.max_age_s = max_age_s
        self.max_keys = max_keys
        self._answers: OrderedDict[Hashable, tuple[float, T]] = OrderedDict()

    def keep(self, key: Hashable, answer: T, now_s: float) -> None:
        """Remember a good answer in place of the one before."""
        answers = self._answers
        answers[key] = (now_s, answer)
        answers.move_to_end(key)
        if len(answers) > self.max_keys:
            answers.popitem(last=False)

    def find(self, key: Hashable, now_s: float) -> tuple[float, T] | None:
        """Return the answer's age in seconds and the answer; None when there is none so young."""
        kept = self._answers.get(key)
        if kept is None:
            return None
        age_s = now_s - kept[0]
        if age_s >= self.max_age_s:
            del self._answers[key]
            return None
        self._answers.move_to_end(key)
        return age_s, kept[1]

    def reset(self, now_s: float) -> None:
        """Forget all answers."""
        self._answers.clear()

    def __len__(self) -> int:
        return len(self._answers)

    def __repr__(self) -> str:
        return f"<LastGood {len(self._answers)}/{self.max_keys} up to {self.max_age_s:g} s old>"
