"""Hedge delay: how long an attempt may be under way before another is sent beside it.

Why: the slowest few of a hundred calls make the page slow, and are slow for reasons of their own (a
queue, a pause, a lost packet) that another replica doesn't share. Sent after the 95th percentile, a
hedge costs at most one call in twenty and takes the tail away.

    delay = max(min_delay, 95th percentile of the last minute, rounded up to its bucket's edge)

None before 100 answers are known.

Two traps. *A hedge that hides what it outran*: the loser is cancelled, so its latency is never
seen, so the percentile sinks, so more is hedged. So a call cut short counts as "at least this
long", as soon as that is above the percentile, where its rank is right whatever it would have
taken; below it the call says nothing. *Hedging an overload*: then all calls are slow, and the
percentile follows within the window; until it has, the retry budget bounds the hedges, since they
come out of it.

Source: Dean & Barroso, "The Tail at Scale" (CACM 2013), "Hedged requests" (95th percentile; about
5 % more load); gRFC A6 (hedgingDelay, as the fixed form); resilience4j Hedge (100 samples).
Not handled: one delay per method (make one each); a loser that had begun to answer.
"""

import math
from dataclasses import dataclass

from resilience.policy.contract import Snapshot
from resilience.policy.percentile import RELATIVE_ERROR, WINDOW_S, Percentile

HEDGE_PERCENTILE = 0.95  # The Tail at Scale: the 95th-percentile expected latency
HEDGE_MIN_SAMPLES = 100  # resilience4j's hedge averages over 100; of fewer, five decide
UPPER_EDGE = 1 + RELATIVE_ERROR  # of a bucket, over its estimate: never more hedges than asked for
HEDGE_MIN_DELAY_S = 0.001  # a timer's grain: below it a hedge is a second call


@dataclass(frozen=True, slots=True)
class HedgeSettings:
    """When to hedge.

    Args:
        delay_s: A fixed delay, seconds, >= 0; None takes it from what was measured.
        percentile: Which of the measured latencies, 0 < q < 1.
        min_delay_s: The least delay when measured, seconds, >= 0.
        min_samples: Latencies in the window below which nothing is hedged, >= 1.
        window_s: How far back is measured, seconds, > 0.
    """

    delay_s: float | None = None
    percentile: float = HEDGE_PERCENTILE
    min_delay_s: float = HEDGE_MIN_DELAY_S
    min_samples: int = HEDGE_MIN_SAMPLES
    window_s: float = WINDOW_S

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: A value is out of its range.
        """
        if self.delay_s is not None and not 0.0 <= self.delay_s < math.inf:
            raise ValueError(f"delay_s={self.delay_s} must be None or >= 0, finite")
        if not 0.0 < self.percentile < 1.0:
            raise ValueError(f"percentile={self.percentile} must be above 0 and below 1")
        if not 0.0 <= self.min_delay_s < math.inf or self.min_samples < 1:
            raise ValueError(
                f"min_delay_s={self.min_delay_s} must be >= 0, finite,"
                f" and min_samples={self.min_samples} >= 1"
            )
        if not 0.0 < self.window_s < math.inf:
            raise ValueError(f"window_s={self.window_s} must be above 0, finite")


class HedgeDelay:
    """What one dependency's calls have taken, and what follows for the next. Every call is O(1).

    Args:
        settings: When to hedge.
    """

    __slots__ = ("_latencies", "sent", "settings", "won", "would_send")

    def __init__(self, settings: HedgeSettings | None = None) -> None:
        self.settings = settings or HedgeSettings()
        self._latencies = Percentile(self.settings.percentile, window_s=self.settings.window_s)
        self.sent = 0  # hedges
        self.won = 0  # calls that a hedge answered
        self.would_send = 0  # hedges that the switch in shadow kept back

    def observe(self, took_s: float, now_s: float) -> None:
        """Take in how long an attempt took that was answered."""
        self._latencies.observe(took_s, now_s)

    def observe_cut(self, took_s: float, now_s: float) -> None:
        """Take in an attempt that was cut short after this time, by whomever."""
        if self._latencies.count and took_s >= self._latencies.value(now_s):
            self._latencies.observe(took_s, now_s)

    def delay_s(self, now_s: float) -> float | None:
        """Return how long to wait before hedging a call that begins now; None: don't."""
        settings = self.settings
        if settings.delay_s is not None:
            return settings.delay_s
        percentile_s = self._latencies.value(now_s)
        if self._latencies.count < settings.min_samples:
            return None
        return max(settings.min_delay_s, percentile_s * UPPER_EDGE)

    def reset(self, now_s: float) -> None:
        """Forget the latencies and the counters."""
        self._latencies.reset(now_s)
        self.sent = self.won = self.would_send = 0

    def snapshot(self) -> Snapshot:
        """Return the figures for a page; the percentile is that of the last call."""
        return {
            "samples": self._latencies.count,
            "percentile_s": self._latencies.snapshot()["value"],
            "sent": self.sent,
            "won": self.won,
            "would_send": self.would_send,
        }

    def __repr__(self) -> str:
        return f"<HedgeDelay {self.sent} sent, {self.won} won, {self._latencies!r}>"
