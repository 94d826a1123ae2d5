"""Windowed limit: let a limit learn from the mean of a second, not from each answer.

Why: one round trip is mostly chance. A limit that compares round trips (Vegas, Gradient2) does so
better with means; and with one sample a second a constant like "600 samples" is ten minutes
whatever the traffic.

Each window ends 1 s after the last; with 10 samples or more it becomes one sample: mean round
trip, most in flight, dropped when more than a tenth was. Round trips under 100 µs don't count.

Source: Netflix concurrency-limits:limit/{WindowedLimit,window/AverageSampleWindowFactory}.java.
Differences, each for a reason:

- A window is dropped when more than a tenth of it was; as published by a single drop, so that at
  10,000 a second one in 10,000 too late takes any limit to its least.
- The mean leaves drops out (unless there is nothing else): their times say "at least".

Not handled: percentiles (Netflix has them as an option).
"""

from resilience.policy.contract import Snapshot
from resilience.policy.limit import Limit

WINDOW_S = 1.0  # Netflix: minWindowTime and maxWindowTime
MIN_SAMPLES = 10  # Netflix: windowSize
MIN_RTT_S = 0.0001  # Netflix: minRttThreshold 100 µs; below it an answer came from no service
DROP_RATIO = 0.1  # as deadline_cap: what chance may take


class WindowedLimit:
    """A Limit that teaches another once a window. Every call is O(1).

    Args:
        learner: Who is taught.
        window_s: Seconds between two lessons, > 0.
        min_samples: Fewer in a window teach nothing, >= 1.
    """

    __slots__ = (
        "_dropped_s",
        "_drops",
        "_ends_s",
        "_most",
        "_passes",
        "_total_s",
        "learner",
        "min_samples",
        "window_s",
    )

    def __init__(
        self, learner: Limit, *, window_s: float = WINDOW_S, min_samples: int = MIN_SAMPLES
    ) -> None:
        if window_s <= 0.0 or min_samples < 1:
            raise ValueError(f"{window_s=} must be above 0 and {min_samples=} at least 1")
        self.learner = learner
        self.window_s = window_s
        self.min_samples = min_samples
        self._ends_s: float | None = None
        self._most = 0
        self._begin()

    @property
    def value(self) -> float:
        """What the learner says."""
        return self.learner.value

    def on_sample(self, rtt_s: float, in_flight: int, dropped: bool, now_s: float) -> None:
        """Add to the window; the first sample after its end closes it, and is part of it."""
        if rtt_s < MIN_RTT_S:
            return
        if dropped:
            self._drops += 1
            self._dropped_s += rtt_s
        else:
            self._passes += 1
            self._total_s += rtt_s
        if in_flight > self._most:
            self._most = in_flight
        if self._ends_s is None:
            self._ends_s = now_s + self.window_s
        elif now_s > self._ends_s:
            self._ends_s = now_s + self.window_s
            self._teach(now_s)

    def reset(self, now_s: float) -> None:
        """Forget the window, and let the learner forget."""
        self._ends_s = None
        self._begin()
        self.learner.reset(now_s)

    def snapshot(self) -> Snapshot:
        """Return what the learner shows."""
        return self.learner.snapshot()

    def _teach(self, now_s: float) -> None:
        count = self._passes + self._drops
        if count >= self.min_samples:
            mean_s = self._total_s / self._passes if self._passes else self._dropped_s / count
            self.learner.on_sample(mean_s, self._most, self._drops > DROP_RATIO * count, now_s)
        self._begin()

    def _begin(self) -> None:
        self._passes = 0
        self._total_s = 0.0
        self._drops = 0
        self._dropped_s = 0.0
        self._most = 0

    def __repr__(self) -> str:
        return f"<WindowedLimit {self._passes + self._drops} samples, {self.learner!r}>"
