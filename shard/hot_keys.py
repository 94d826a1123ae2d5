"""Hot keys: which keys a client asks for most, from a sample of what it asks.

Why a sample: ``HeavyKeeper`` takes 2 µs for a key, where a cached read takes ten; one in a few is
enough to know the few that matter. The gaps between samples are drawn, so that no rhythm of the
caller hides a key.
Not handled: hot keys of all clients at once; whoever shows them adds the lists up by name.
"""

import time
from collections.abc import Callable
from random import Random

from resilience.policy.contract import Snapshot
from shard.policy.heavy_keeper import HeavyKeeper, Hot
from shard.resp import Argument

DEFAULT_EVERY = 8  # reads for each that is counted


class HotKeys:
    """Count a sample of keys.

    Args:
        rng: Source of chance.
        clock: Monotonic seconds.
        every: One in so many is counted in the mean, >= 1.
    """

    def __init__(
        self,
        rng: Random,
        clock: Callable[[], float] = time.monotonic,
        every: int = DEFAULT_EVERY,
    ) -> None:
        if every < 1:
            raise ValueError(f"every is {every}; give 1 at least")
        self._keeper = HeavyKeeper(rng)
        self._draw = rng.random
        self._clock = clock
        self._every = every
        self._left = 0

    def see(self, key: Argument) -> None:
        """Take a key that is asked for; bytes that are no UTF-8 are told with marks in place."""
        if self._left:
            self._left -= 1
            return
        self._left = int(self._draw() * (2 * self._every - 1))  # the mean is one less than every
        text = key.decode(errors="replace") if isinstance(key, bytes) else str(key)
        self._keeper.observe(text, self._clock())

    def top(self) -> list[Hot]:
        """Return the hottest, with rates of what is asked and not of what is counted."""
        found = self._keeper.top(self._clock())
        return [Hot(one.key, one.rate * self._every, one.share) for one in found]

    def rate(self) -> float:
        """Return how many keys a second are asked for, all together."""
        return self._keeper.rate(self._clock()) * self._every

    def reset(self, now_s: float) -> None:
        """Forget what was seen."""
        self._keeper.reset(now_s)

    def snapshot(self) -> Snapshot:
        """How many were counted, as far as they weigh, and how many names are kept."""
        return self._keeper.snapshot()
