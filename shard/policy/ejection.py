"""Ejection of one cache node: leave it alone while it fails, and look again later each time.

    up ──3 failures in a row, or no connection──▶ ejected ──time is up──▶ ejected, may be probed
     ▲                                               ▲                        │
     └──────────────── probe answered ───────────────┼────────────────────────┘
                                                     └── probe failed: twice as long

Why: a read costs its whole timeout at a node that doesn't answer, and a cache that makes readers
wait is worse than none. A refused connection is certain; a late answer may be the network's or our
own fault, so it takes three, and those that fail within the same timeout are one: a pause of our
own event loop fails all that is in flight at once.
Source: Envoy's outlier detection: consecutive failures, ejection time times the number of
ejections. Here it doubles, is capped, and is forgotten after the node has stood as long as the cap.
Not handled: a largest share of ejected nodes (Envoy's 10 %): with all of them gone the origin
answers, which is right for a cache.
"""

DEFAULT_FAILURES = 3  # Envoy's consecutive_5xx is 5, for answers; here each costs a timeout
FAILURE_SPACING_S = 0.05  # failures closer together are one: the cache's timeout
DEFAULT_BASE_S = 0.5  # a restarted node listens again within it
DEFAULT_CAP_S = 5.0  # a node that is back is used within it


class Ejection:
    """Whether one node may be used.

    Args:
        failures: In a row, each ``FAILURE_SPACING_S`` after the last, until it is ejected; >= 1.
        base_s: First ejection, seconds, > 0.
        cap_s: Longest ejection, seconds, >= base_s.
    """

    __slots__ = (
        "_counted_s",
        "_failures",
        "_limit",
        "_times",
        "_until_s",
        "_up_since_s",
        "base_s",
        "cap_s",
        "count",
        "is_up",
    )

    def __init__(
        self,
        failures: int = DEFAULT_FAILURES,
        base_s: float = DEFAULT_BASE_S,
        cap_s: float = DEFAULT_CAP_S,
    ) -> None:
        self.base_s = base_s
        self.cap_s = cap_s
        self.is_up = True
        self.count = 0  # ejections ever
        self._limit = failures
        self._failures = 0
        self._counted_s = float("-inf")
        self._times = 0  # ejections without a long enough life between
        self._until_s = float("-inf")
        self._up_since_s = float("-inf")

    def on_success(self, now_s: float) -> bool:
        """Note an answer; True when it brought an ejected node back."""
        self._failures = 0
        if self.is_up:
            return False
        self.is_up = True
        self._up_since_s = now_s
        return True

    def on_failure(self, now_s: float) -> bool:
        """Note a late or wrong answer; True when that ejected the node."""
        if not self.is_up:
            self._eject(now_s)
            return False
        if now_s - self._counted_s < FAILURE_SPACING_S:
            return False
        self._counted_s = now_s
        self._failures += 1
        return self._failures >= self._limit and self._eject(now_s)

    def on_unreachable(self, now_s: float) -> bool:
        """Note a connection that could not be made; True when that ejected the node."""
        was_up = self.is_up
        self._eject(now_s)
        return was_up

    def may_probe(self, now_s: float) -> bool:
        """Whether an ejected node's time is up."""
        return not self.is_up and now_s >= self._until_s

    def probe_now(self) -> None:
        """Let the next probe come at once, since something has changed."""
        self._until_s = float("-inf")

    def remaining_s(self, now_s: float) -> float:
        """Return how long it stays ejected, 0 when it is up or may be probed."""
        return 0.0 if self.is_up else max(0.0, self._until_s - now_s)

    def _eject(self, now_s: float) -> bool:
        if self.is_up:
            self.count += 1
            if now_s - self._up_since_s >= self.cap_s:
                self._times = 0
        elif now_s < self._until_s:
            return True  # an old attempt that ended now: it is ejected already
        self.is_up = False
        self._failures = 0
        self._until_s = now_s + min(self.cap_s, self.base_s * 2.0 ** min(self._times, 16))
        self._times += 1
        return True
