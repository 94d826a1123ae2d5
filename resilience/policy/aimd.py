"""AIMD limit: one more while the limit is used, a tenth less on every drop.

Why: the rule of TCP Reno needs no round trip, only to be told that something was dropped. So it
works where round trips say nothing (a mix of fast and slow calls), and oscillates by design.

    dropped, or rtt > timeout:      limit = floor(0.9 × limit)
    else if 2 × in flight >= limit: limit + 1            both kept within 1..200

Source: Netflix concurrency-limits:limit/AIMDLimit.java, after Chiu and Jain, "Analysis of the
Increase and Decrease Algorithms for Congestion Avoidance", 1989. One difference: the least limit
is 1, not 20, since twenty in flight are a second's work for two workers of 100 ms.
Why not one step a round trip, as TCP has it: the climb here is by one a sample, so a fall that
counts only once a round trip loses against it, and the limit never comes down.
Not handled: overload that drops nothing. With neither push-back nor deadlines it only grows.
"""

from resilience.policy.contract import Snapshot

INITIAL_LIMIT = 20  # Netflix: initialLimit
MIN_LIMIT = 1  # Netflix: minLimit 20
MAX_LIMIT = 200  # Netflix: maxLimit
BACKOFF_RATIO = 0.9  # Netflix: backoffRatio
TIMEOUT_S = 5.0  # Netflix: DEFAULT_TIMEOUT


class AimdLimit:
    """A Limit that climbs by one and falls by a share. Every call is O(1).

    Args:
        initial: Where it begins, within min_limit..max_limit.
        min_limit: Least, >= 1.
        max_limit: Most.
        backoff_ratio: What a drop leaves, 0.5 <= ratio < 1.
        timeout_s: A round trip above it is a drop, > 0.

    Invariant: min_limit <= value <= max_limit.
    """

    __slots__ = (
        "_limit",
        "backoff_ratio",
        "initial",
        "max_limit",
        "min_limit",
        "timeout_s",
    )

    def __init__(
        self,
        initial: int = INITIAL_LIMIT,
        *,
        min_limit: int = MIN_LIMIT,
        max_limit: int = MAX_LIMIT,
        backoff_ratio: float = BACKOFF_RATIO,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        if not 1 <= min_limit <= initial <= max_limit:
            raise ValueError(f"1 <= min_limit={min_limit} <= {initial=} <= {max_limit=} must hold")
        if not 0.5 <= backoff_ratio < 1.0:
            raise ValueError(f"backoff_ratio={backoff_ratio} must be at least 0.5 and below 1")
        if timeout_s <= 0.0:
            raise ValueError(f"timeout_s={timeout_s} must be above 0")
        self.initial = initial
        self.min_limit = min_limit
        self.max_limit = max_limit
        self.backoff_ratio = backoff_ratio
        self.timeout_s = timeout_s
        self._limit = initial

    @property
    def value(self) -> float:
        """How many may be in flight."""
        return self._limit

    def on_sample(self, rtt_s: float, in_flight: int, dropped: bool, now_s: float) -> None:
        """Climb by one while at least half of the limit is used; fall on a drop."""
        if dropped or rtt_s > self.timeout_s:
            self._limit = max(self.min_limit, int(self._limit * self.backoff_ratio))
        elif in_flight * 2 >= self._limit:
            self._limit = min(self.max_limit, self._limit + 1)

    def reset(self, now_s: float) -> None:
        """Begin again at the initial limit."""
        self._limit = self.initial

    def snapshot(self) -> Snapshot:
        """Return the limit."""
        return {"limit": self._limit}

    def __repr__(self) -> str:
        return f"<AimdLimit {self._limit}>"
