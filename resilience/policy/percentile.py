"""Percentile of a signal over the last seconds: log buckets, O(1) a value, bounded error.

Why not P²: its five markers can't forget, and what a latency was an hour ago is no delay for a
hedge now. Why not a sorted window: it costs log n, and memory that grows with the traffic. Buckets
whose edges grow by a constant factor bound the error as a *share* of the value, at any scale.

    gamma = (1 + e) / (1 - e);   bucket i holds (gamma^(i-1), gamma^i] × min_value
    value = 2 × gamma^i / (gamma + 1) × min_value, of the bucket with the ceil(q × n)-th smallest

Source: Masson, Rim & Lee, "DDSketch" (VLDB 2019), sections 2.1 and 2.2; the slices that expire one
at a time are those of ``window``. A pointer follows the percentile from value to value, so asking
costs no scan.
Not handled: values below ``min_value`` or above ``max_value``, which count as these; forgetting
within a slice (a sixth of the window goes at once); weights.
"""

from math import ceil, log

RELATIVE_ERROR = 0.05  # a hedge sent 5 % late costs nothing; 138 buckets over six decades
MIN_VALUE = 1e-4  # 100 µs: no network answers sooner
MAX_VALUE = 100.0
WINDOW_S = (
    60.0  # a hundred samples at two calls a second, and a deployment is forgotten in a minute
)
SLICES = 6


class Percentile:
    """An Estimator of one percentile of positive values over a sliding window.

    Args:
        q: Which, 0 < q < 1; 0.95 is the 95th percentile.
        window_s: How far back it looks, seconds, > 0.
        relative_error: Largest error of the estimate as a share of it, 0 < e < 1.
        min_value: Smallest value told apart, > 0.
        max_value: Largest value told apart.

    ``observe`` is O(1); a slice that expires costs one pass over the buckets. ``value`` moves the
    pointer by what has changed since it was asked last.
    Invariant: ``count`` equals the sum over the slices still remembered.
    """

    __slots__ = (
        "_at",
        "_below",
        "_estimates",
        "_log_gamma",
        "_newest",
        "_slice_s",
        "_slices",
        "_totals",
        "count",
        "min_value",
        "q",
    )

    def __init__(
        self,
        q: float,
        *,
        window_s: float = WINDOW_S,
        relative_error: float = RELATIVE_ERROR,
        min_value: float = MIN_VALUE,
        max_value: float = MAX_VALUE,
    ) -> None:
        if not (0.0 < q < 1.0 and 0.0 < relative_error < 1.0):
            raise ValueError(f"q={q} and relative_error={relative_error} must be above 0, below 1")
        if not (window_s > 0.0 and 0.0 < min_value < max_value):
            raise ValueError(
                f"window_s={window_s} must be above 0, and 0 < min_value={min_value}"
                f" < max_value={max_value}"
            )
        gamma = (1 + relative_error) / (1 - relative_error)
        self.q = q
        self.min_value = min_value
        self._log_gamma = log(gamma)
        buckets = ceil(log(max_value / min_value) / self._log_gamma) + 1
        self._estimates = [2 * min_value * gamma**i / (gamma + 1) for i in range(buckets)]
        self._slice_s = window_s / SLICES
        self.reset(0.0)

    def reset(self, now_s: float) -> None:
        """Forget everything."""
        self._slices: list[list[int] | None] = [None] * SLICES
        self._totals = [0] * len(self._estimates)
        self._newest: int | None = None  # number of the slice being filled, counted from time 0
        self._at = 0  # the bucket the pointer stands on
        self._below = 0  # values in the buckets below it
        self.count = 0

    def observe(self, value: float, now_s: float) -> None:
        """Take in one value; above 0, else it counts as the smallest."""
        counts = self._advance(now_s)
        steps = log(max(value, self.min_value) / self.min_value) / self._log_gamma
        i = min(ceil(steps), len(counts) - 1)
        counts[i] += 1
        self._totals[i] += 1
        self.count += 1
        if i < self._at:
            self._below += 1

    def value(self, now_s: float) -> float:
        """Return the percentile, in the unit of the values; 0 when none is remembered."""
        self._advance(now_s)
        if self.count == 0:
            return 0.0
        rank = ceil(self.q * self.count)  # counted from 1
        totals = self._totals
        while self._below >= rank:
            self._at -= 1
            self._below -= totals[self._at]
        while self._below + totals[self._at] < rank:
            self._below += totals[self._at]
            self._at += 1
        return self._estimates[self._at]

    def _advance(self, now_s: float) -> list[int]:
        """Forget the slices that are too old; return the one being filled."""
        number = int(now_s // self._slice_s)
        if self._newest is None:
            self._newest = number
        while self._newest < number:  # at most SLICES of these passes forget anything
            self._newest = max(self._newest + 1, number - SLICES + 1)
            self._forget(self._newest % SLICES)
        slot = self._newest % SLICES
        counts = self._slices[slot]
        if counts is None:
            counts = self._slices[slot] = [0] * len(self._totals)
        return counts

    def _forget(self, slot: int) -> None:
        counts = self._slices[slot]
        self._slices[slot] = None
        if counts is None:
            return
        self._totals = [total - gone for total, gone in zip(self._totals, counts, strict=True)]
        self.count -= sum(counts)
        self._below -= sum(counts[: self._at])

    def snapshot(self) -> dict[str, float | int | str | bool | None]:
        """Return the figures for a page; the value is that of the last call."""
        return {"q": self.q, "count": self.count, "value": self._estimates[self._at]}

    def __repr__(self) -> str:
        return f"<Percentile {self.q:g} of {self.count}>"
