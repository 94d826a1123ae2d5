"""Breaker settings: when a three-state breaker opens, for how long, and how it looks again.

The defaults are resilience4j's, except where its default is a known defect: there half-open lasts
forever when its calls never return (max wait 0; issues #903, #935, #2028). They suit a service of
hundreds of calls a second; one of five a second wants a window and a ``min_calls`` of ten.
Source: resilience4j:resilience4j-circuitbreaker/.../CircuitBreakerConfig.java.
"""

import random
from dataclasses import dataclass

from resilience.policy.breaker_window import CountWindow, TimeWindow, Window

WINDOW_CALLS = 100  # resilience4j: slidingWindowSize, COUNT_BASED
BUCKETS = 10  # of a time window, as in the SRE breakers; resilience4j has one for each second
MIN_CALLS = 100  # resilience4j: minimumNumberOfCalls
FAILURE_RATIO = 0.5  # resilience4j: failureRateThreshold 50
SLOW_RATIO = 1.0  # resilience4j: slowCallRateThreshold 100, which is as good as off
SLOW_S = 60.0  # resilience4j: slowCallDurationThreshold
OPEN_S = 60.0  # resilience4j: waitDurationInOpenState
OPEN_GROWTH = 1.0  # resilience4j waits equally long each time; its back-off function takes 1.5
OPEN_CAP_S = 300.0  # Envoy's outlier ejection: max_ejection_time; resilience4j has none
OPEN_JITTER_RATIO = 0.0  # resilience4j: none; its randomized functions take 0.5
HALF_OPEN_CALLS = 10  # resilience4j: permittedNumberOfCallsInHalfOpenState
MAX_HALF_OPEN_S = 60.0  # as long as it is open; resilience4j's 0 is forever


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """How a three-state breaker judges; all of it is checked when made.

    Args:
        window_calls: Results remembered, >= 1; not used with ``window_s``.
        window_s: Seconds remembered instead, > 0, in ten buckets; None counts results.
        min_calls: Results below which nothing opens it, >= 1, and <= window_calls if that is used.
        failure_ratio: Share of failed results at which it opens, 0 < ratio <= 1.
        slow_ratio: Share of slow results at which it opens, 0 < ratio <= 1.
        slow_s: What takes longer is slow, failed or not, >= 0.
        open_s: How long it refuses the first time, > 0.
        open_growth: Factor on that for each time it opens again without having closed, >= 1.
        open_cap_s: Longest, jitter included, >= open_s.
        open_jitter_ratio: Each time is drawn from ±that share, 0 <= ratio < 1: breakers that open
            together should not look again together.
        half_open_calls: Calls let through to see, >= 1; so many at most are under way.
        max_half_open_s: When half-open is judged by what there is, > 0.

    Raises:
        ValueError: A value is out of its range.
    """

    window_calls: int = WINDOW_CALLS
    window_s: float | None = None
    min_calls: int = MIN_CALLS
    failure_ratio: float = FAILURE_RATIO
    slow_ratio: float = SLOW_RATIO
    slow_s: float = SLOW_S
    open_s: float = OPEN_S
    open_growth: float = OPEN_GROWTH
    open_cap_s: float = OPEN_CAP_S
    open_jitter_ratio: float = OPEN_JITTER_RATIO
    half_open_calls: int = HALF_OPEN_CALLS
    max_half_open_s: float = MAX_HALF_OPEN_S

    def __post_init__(self) -> None:
        """Refuse what can't work, naming the value and its range."""
        self._check("window_calls", self.window_calls >= 1, ">= 1")
        self._check("window_s", self.window_s is None or self.window_s > 0, "> 0 or None")
        most = self.window_calls if self.window_s is None else None
        fits = self.min_calls >= 1 and (most is None or self.min_calls <= most)
        self._check("min_calls", fits, ">= 1" if most is None else f"1..{most}, the window")
        self._check("failure_ratio", 0 < self.failure_ratio <= 1, "> 0 and <= 1")
        self._check("slow_ratio", 0 < self.slow_ratio <= 1, "> 0 and <= 1")
        self._check("slow_s", self.slow_s >= 0, ">= 0")
        self._check("open_s", self.open_s > 0, "> 0")
        self._check("open_growth", self.open_growth >= 1, ">= 1")
        self._check("open_cap_s", self.open_cap_s >= self.open_s, f">= open_s={self.open_s}")
        self._check("open_jitter_ratio", 0 <= self.open_jitter_ratio < 1, ">= 0 and < 1")
        self._check("half_open_calls", self.half_open_calls >= 1, ">= 1")
        self._check("max_half_open_s", self.max_half_open_s > 0, "> 0")

    def new_window(self) -> Window:
        """Make the memory that these settings ask for."""
        if self.window_s is None:
            return CountWindow(self.window_calls)
        return TimeWindow(BUCKETS, self.window_s / BUCKETS)

    def jittered_s(self, time_s: float, rng: random.Random | None) -> float:
        """Draw an open time around this one, capped; without jitter it is the same."""
        if rng is None or self.open_jitter_ratio == 0:
            return time_s
        factor = 1 + self.open_jitter_ratio * (2 * rng.random() - 1)
        return min(self.open_cap_s, time_s * factor)

    def _check(self, field: str, is_right: bool, allowed: str) -> None:
        if not is_right:
            raise ValueError(f"{field}={getattr(self, field)} must be {allowed}")
