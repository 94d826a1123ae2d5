"""Recent load: requests of about the last second, forgotten exponentially.

Why not requests in flight, which HAProxy counts: a cache answers in 0.2 ms, so even at 1,000
requests a second a client has none or one in flight, and two gets that happen to meet would look
like an overloaded node. A rate says how hot a node is; that it is slow is ejection's business.
Source: exponentially decayed counter, as in Cohen and Strauss, "Maintaining Time-Decaying Stream
Aggregates" (2003), section 3.1.
"""

from math import exp

DEFAULT_MEMORY_S = 1.0  # as long as what overflowed is kept


class RecentLoad:
    """A counter that decays; at a steady rate r it stands at r * memory_s.

    Args:
        memory_s: Time in which a request's weight falls to 1/e, seconds, > 0.
    """

    __slots__ = ("_at_s", "_load", "memory_s")

    def __init__(self, memory_s: float = DEFAULT_MEMORY_S) -> None:
        self.memory_s = memory_s
        self._load = 0.0
        self._at_s = 0.0

    def add(self, now_s: float, requests: float = 1.0) -> None:
        """Count requests that leave now."""
        self._load = self.value(now_s) + requests
        self._at_s = now_s

    def value(self, now_s: float) -> float:
        """Return the load, in requests."""
        elapsed_s = max(0.0, now_s - self._at_s)
        return self._load * exp(-elapsed_s / self.memory_s)
