"""Zipf choice: a few things are asked for often, most hardly ever.

Why: with uniform keys no cache, no hot key and no skewed shard ever shows.
Source: Breslau et al., "Web Caching and Zipf-like Distributions" (INFOCOM 1999): 0.64 to 0.83 at
web proxies; video sites lie near 1.
"""

import random
from bisect import bisect_left
from itertools import accumulate

# Video popularity: Cha et al., "I Tube, You Tube, Everybody Tubes" (IMC 2007).
DEFAULT_EXPONENT = 1.0
DEFAULT_VIDEOS = 200  # what `squall seed` writes


class Zipf:
    """Choose a rank in 1..count with probability proportional to rank ** -exponent.

    Args:
        count: How many things there are, >= 1.
        exponent: 0 is uniform; larger is more skewed.

    Building is O(count), choosing O(log count).
    """

    def __init__(self, count: int = DEFAULT_VIDEOS, exponent: float = DEFAULT_EXPONENT) -> None:
        if count < 1:
            raise ValueError(f"count is {count}; it must be at least 1")
        if exponent < 0:
            raise ValueError(f"exponent is {exponent}; it must not be negative")
        self._cumulative = list(accumulate(rank**-exponent for rank in range(1, count + 1)))

    def choose(self, rng: random.Random) -> int:
        """Return a rank; the same generator gives the same sequence."""
        return bisect_left(self._cumulative, rng.random() * self._cumulative[-1]) + 1
