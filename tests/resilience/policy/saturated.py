"""A service always asked for all that a limit lets in, in plain numbers and without chance.

So many workers of one service time, first come first served. Each that ends is told to the limit
and followed by as many as the limit then allows: the overload in which limits drift.
"""

from heapq import heappop, heappush

from resilience.policy.limit import Limit


class Saturated:
    """Drive a limit at its limit.

    Args:
        limit: What is taught.
        workers: How many serve at the same time.
        service_s: What each takes; may be changed on the way.
    """

    def __init__(self, limit: Limit, workers: int, service_s: float = 0.1) -> None:
        self.limit = limit
        self.service_s = service_s
        self.now_s = 0.0
        self.passed = 0
        self._free_s = [0.0] * workers
        self._under_way: list[tuple[float, float]] = []  # heap of (ends, issued)

    def run(self, seconds: float, most: int = 100_000) -> float:
        """Go on for a while with at most so many wanted at once; return the last round trip."""
        ends_s = self.now_s + seconds
        rtt_s = 0.0
        while self.now_s < ends_s:
            while len(self._under_way) < min(most, int(self.limit.value)):
                end_s = max(self.now_s, heappop(self._free_s)) + self.service_s
                heappush(self._free_s, end_s)
                heappush(self._under_way, (end_s, self.now_s))
            in_flight = len(self._under_way)
            self.now_s, issued_s = heappop(self._under_way)
            rtt_s = self.now_s - issued_s
            self.passed += 1
            self.limit.on_sample(rtt_s, in_flight, False, self.now_s)
        return rtt_s
