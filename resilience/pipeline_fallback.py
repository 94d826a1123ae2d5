"""Fallback of a pipeline, as settings: what may stand in for a call that failed for good.

    FallbackSettings(last_good_s=60.0, value=0.0)  ▸  make  ▸  Fallback

Asked in this order: the last good answer of the same key while it is young enough, the function,
the value. One object may make the fallbacks of many dependencies; each keeps answers of its own.

Source: resilience4j and failsafe-go (value, function, which failures); the order is ours.
Not handled: a value per method. A pipeline whose calls answer with different things wants a
function, or a ``Fallback`` around each kind of call.
"""

from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from enum import Enum
from math import inf
from typing import Any, Final, Literal

from resilience.admission import Clock
from resilience.fallback import Covers, Fallback
from resilience.fallback_sources import FixedAnswer, FunctionAnswer, LastGoodAnswer, Source
from resilience.observer import Observer
from resilience.policy.fallback import DEFAULT_MAX_KEYS
from resilience.switches import Switches


class Absent(Enum):
    """That there is no value; None is one."""

    NO_VALUE = "no value"


NO_VALUE: Final = Absent.NO_VALUE


@dataclass(frozen=True, slots=True)
class FallbackSettings:
    """What stands in, and for what. At least one of the first three.

    Args:
        last_good_s: For how long the last good answer of the same key may, seconds, > 0; None:
            never. Calls need a key for it.
        function: Makes an answer of key and error, within what is left of the call's time.
        value: The answer when nothing else has one; any value, None included.
        max_keys: Most last good answers kept, >= 1.
        also: Further exceptions that may be covered, e.g. those of a client library. Without them
            it is errors of the model (5xx but 501, our own refusals included) and ``OSError``.
        covers: Says of a failure that may be covered whether it shall be; None: all of them. It is
            never asked about the caller's own: 4xx, a cancellation, a caller who left.
    """

    last_good_s: float | None = None
    function: Callable[[Hashable, Exception], Awaitable[Any]] | None = None
    value: Any | Literal[Absent.NO_VALUE] = NO_VALUE
    max_keys: int = DEFAULT_MAX_KEYS
    also: tuple[type[Exception], ...] = ()
    covers: Covers | None = None

    def __post_init__(self) -> None:
        """Check the ranges, and that there is something to answer with.

        Raises:
            ValueError: A value is out of its range, or nothing could stand in.
        """
        if self.last_good_s is not None and not 0.0 < self.last_good_s < inf:
            raise ValueError(f"last_good_s={self.last_good_s} must be None or above 0, finite")
        if self.max_keys < 1:
            raise ValueError(f"max_keys={self.max_keys} must be >= 1")
        if self.last_good_s is None and self.function is None and self.value is NO_VALUE:
            raise ValueError("nothing could stand in: give last_good_s, a function or a value")

    def make(
        self, name: str, switches: Switches, *, scope: str | None, observer: Observer, clock: Clock
    ) -> Fallback[Any]:
        """Make the fallback of one dependency, which has kept nothing yet."""
        return Fallback(
            name,
            self._sources(),
            switches,
            also=self.also,
            covers=self.covers,
            scope=scope,
            observer=observer,
            clock=clock,
        )

    def _sources(self) -> list[Source[Any]]:
        sources: list[Source[Any]] = []
        if self.last_good_s is not None:
            sources.append(LastGoodAnswer(self.last_good_s, self.max_keys))
        if self.function is not None:
            sources.append(FunctionAnswer(self.function))
        if self.value is not NO_VALUE:
            sources.append(FixedAnswer(self.value))
        return sources
