"""Rolling window: what happened in the last N buckets of time, at O(1) a call.

Why buckets: forgetting one by one needs a queue as long as the traffic; forgetting a bucket at a
time needs N slots whatever the rate. Each bucket holds a count and a sum, which serves both users:
a breaker (requests, accepts) and a limiter (passes, seconds of round trip).
Source: aegis:internal/window, go-kratos:pkg/stat/metric.
Not handled: percentiles; clocks that run backwards (such a time counts as now).
"""

from collections.abc import Iterator
from math import inf


class RollingWindow:
    """Count and sum over the last ``buckets`` × ``bucket_s`` seconds.

    Args:
        buckets: How many, > 0; the newest is the one being filled.
        bucket_s: Seconds each covers, > 0.

    Invariant: ``count`` and ``total`` equal the sums over the buckets still remembered.
    """

    __slots__ = (
        *("_counts", "_is_used", "_newest", "_slot", "_totals", "_until_s"),
        *("bucket_s", "buckets", "count", "total"),
    )

    def __init__(self, buckets: int, bucket_s: float) -> None:
        if buckets < 1 or bucket_s <= 0:
            raise ValueError(f"buckets={buckets} and bucket_s={bucket_s} must be above 0")
        self.buckets = buckets
        self.bucket_s = bucket_s
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._counts = [0] * self.buckets
        self._totals = [0.0] * self.buckets
        self._is_used = False
        self._newest = 0  # number of the bucket being filled, counted from time 0
        self._slot = 0  # where it is
        self._until_s = -inf  # when it ends: before then a call need not look for another
        self.count = 0
        self.total = 0.0

    def advance(self, now_s: float) -> int:
        """Forget what is too old; return the number of the bucket being filled now."""
        if not now_s < self._until_s:  # so that NaN is an error
            self._move(int(now_s // self.bucket_s))
        return self._newest

    def add(self, count: int, total: float, now_s: float) -> None:
        """Add to the bucket of now."""
        if not now_s < self._until_s:
            self._move(int(now_s // self.bucket_s))
        slot = self._slot
        self._counts[slot] += count
        self._totals[slot] += total
        self.count += count
        self.total += total

    def take_back(self, count: int, total: float, then_s: float, now_s: float) -> None:
        """Undo an ``add`` made at ``then_s``; nothing happens once that bucket is forgotten."""
        newest = self.advance(now_s)
        number = min(int(then_s // self.bucket_s), newest)
        if number > newest - self.buckets:
            self._put(number, -count, -total)

    def finished(self) -> Iterator[tuple[int, float]]:
        """Yield (count, total) of each bucket but the one being filled; call ``advance`` first."""
        if not self._is_used:
            return
        for number in range(self._newest - self.buckets + 1, self._newest):
            slot = number % self.buckets
            yield self._counts[slot], self._totals[slot]

    def _move(self, number: int) -> None:
        """Begin that bucket unless it is the newest, or a clock that ran backwards names it."""
        if self._is_used:
            if number <= self._newest:
                return
            self._drop(self._newest + 1, number)
        self._is_used = True
        self._newest = number
        self._slot = number % self.buckets
        self._until_s = (number + 1) * self.bucket_s

    def _put(self, number: int, count: int, total: float) -> None:
        slot = number % self.buckets
        self._counts[slot] += count
        self._totals[slot] += total
        self.count += count
        self.total += total

    def _drop(self, first: int, last: int) -> None:
        if last - first + 1 >= self.buckets:  # everything is too old: also clears float residue
            self.reset()
            return
        for number in range(first, last + 1):
            slot = number % self.buckets
            self.count -= self._counts[slot]
            self.total -= self._totals[slot]
            self._counts[slot] = 0
            self._totals[slot] = 0.0

    def __repr__(self) -> str:
        return f"<RollingWindow count={self.count} total={self.total:g} of {self.buckets}>"
