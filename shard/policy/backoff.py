"""When to connect again to a node that didn't take the connection: later each time, never together.

Why: hundreds of clients that lost one node would meet again at its door in the same instant.
Source: Marc Brooker, "Exponential Backoff And Jitter" (AWS, 2015), full jitter; the half that is
fixed keeps a single client from hammering.
Not handled: giving up; who has no use for the node any more drops it.
"""

from random import Random

DEFAULT_BASE_S = 0.05
DEFAULT_CAP_S = 1.0  # as long as the node timeout: a node that is back is found within it


class Backoff:
    """Time of the next attempt at one node.

    Args:
        rng: Source of the jitter.
        base_s: Longest first pause, seconds, > 0.
        cap_s: Longest pause ever, seconds, >= base_s.
    """

    __slots__ = ("_failures", "_retry_at_s", "_rng", "base_s", "cap_s")

    def __init__(
        self, rng: Random, base_s: float = DEFAULT_BASE_S, cap_s: float = DEFAULT_CAP_S
    ) -> None:
        self.base_s = base_s
        self.cap_s = cap_s
        self._rng = rng
        self._failures = 0
        self._retry_at_s = 0.0

    def may_try(self, now_s: float) -> bool:
        """Whether the pause is over."""
        return now_s >= self._retry_at_s

    def wait_s(self, now_s: float) -> float:
        """Return how long the pause still lasts, seconds, >= 0."""
        return max(0.0, self._retry_at_s - now_s)

    def on_failure(self, now_s: float) -> None:
        """Note a failed attempt, which doubles the pause."""
        longest = min(self.cap_s, self.base_s * 2.0 ** min(self._failures, 16))
        self._failures += 1
        self._retry_at_s = now_s + longest * (0.5 + 0.5 * self._rng.random())

    def on_success(self) -> None:
        """Begin anew."""
        self._failures = 0
        self._retry_at_s = 0.0
