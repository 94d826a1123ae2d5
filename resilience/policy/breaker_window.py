"""Breaker windows: what a breaker remembers of its calls, and that it forgets.

A breaker judges by shares, and a share needs a memory that forgets:

- ``CountWindow``: the last N results, whenever they came. Its share has always the same weight,
  but on a quiet night it may be made of results of hours ago.
- ``TimeWindow``: the results of the last seconds, however many. It forgets a bucket at a time.
- ``AcceptWindow``: requests when they begin and accepts when they have ended, for the SRE breaker.

    failed share = failed / calls          slow share = slow / calls

A call can be failed and slow at once and then counts in both shares, once in ``calls``.

Source: resilience4j:resilience4j-core/.../core/metrics/FixedSizeSlidingWindowMetrics.java and
SlidingTimeWindowMetrics.java; kratos@v1:pkg/stat/metric. Different here: a result is two bits in a
``bytearray``, not an object; buckets are of any length, not of one second. Unlike sony/gobreaker
(issue #21) a window is never dropped whole at the end of an interval: then a hundred calls decide
that had nine hundred. Why not ``window.RollingWindow``: it is made for sums of anything and works
out the bucket at each call; a breaker stands in front of every call, and only counts.
Only requests are ever refunded: an IGNORED call has no result to take back.
Not handled: durations themselves (who counts says what was slow); clocks that run backwards (such
a time counts as now).
"""

from abc import ABC, abstractmethod
from math import inf
from typing import Protocol


class Window(Protocol):
    """What a breaker remembers; read the counts after an ``add``."""

    calls: int
    failed: int
    slow: int

    def add(self, failed: bool, slow: bool, now_s: float) -> None:
        """Remember one result, O(1), and forget what is too old."""

    def reset(self) -> None:
        """Forget everything."""


class CountWindow:
    """The last ``size`` results: a ring of bytes, O(1) a call.

    Args:
        size: Results remembered, >= 1.

    Invariants: calls <= size; failed <= calls; slow <= calls.
    """

    __slots__ = ("_next", "_ring", "calls", "failed", "size", "slow")

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"size={size} must be >= 1")
        self.size = size
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._ring = bytearray(self.size)  # bit 0: failed, bit 1: slow; an unused place says 0
        self._next = 0
        self.calls = 0
        self.failed = 0
        self.slow = 0

    def add(self, failed: bool, slow: bool, now_s: float) -> None:
        """Remember one result in the place of the oldest."""
        place = self._next
        size = self.size
        self._next = place + 1 if place + 1 < size else 0
        if self.calls < size:
            self.calls += 1
        new = failed | slow << 1
        old = self._ring[place]
        if new != old:
            self._ring[place] = new
            self.failed += (new & 1) - (old & 1)
            self.slow += (new >> 1) - (old >> 1)

    def __repr__(self) -> str:
        return f"<CountWindow {self.failed} failed, {self.slow} slow of {self.calls}/{self.size}>"


class _Buckets(ABC):
    """Numbered stretches of time, the last of which are remembered; subclasses say what is in them.

    Args:
        buckets: How many, >= 1; more forget more smoothly.
        bucket_s: Seconds each covers, > 0.
    """

    __slots__ = ("_newest", "_slot", "bucket_s", "buckets", "until_s")

    def __init__(self, buckets: int, bucket_s: float) -> None:
        if buckets < 1 or not bucket_s > 0:
            raise ValueError(f"buckets={buckets} must be >= 1 and bucket_s={bucket_s} > 0")
        self.buckets = buckets
        self.bucket_s = bucket_s
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._newest: int | None = None  # number of the bucket being filled, counted from time 0
        self._slot = 0  # its place in the lists
        self.until_s = -inf  # its end; before the first result any time is past it

    def advance(self, now_s: float) -> None:
        """Begin the bucket of now and forget those that are too old, O(buckets) at most.

        Costs less than a call when skipped before ``until_s``.
        """
        number = int(now_s // self.bucket_s)
        newest = self._newest
        if newest is not None:
            if number <= newest:
                return
            for passed in range(max(newest, number - self.buckets) + 1, number + 1):
                self._forget(passed % self.buckets)
        self._newest = number
        self._slot = number % self.buckets
        self.until_s = (number + 1) * self.bucket_s

    @abstractmethod
    def _forget(self, slot: int) -> None:
        """Empty a bucket whose time is over."""

    def _span_s(self) -> float:
        return self.buckets * self.bucket_s


class TimeWindow(_Buckets):
    """The results of the last ``buckets`` × ``bucket_s`` seconds, O(1) a call.

    Args:
        buckets: How many, >= 1; each costs three integers.
        bucket_s: Seconds each covers, > 0.

    Invariant: ``calls``, ``failed`` and ``slow`` are the sums over the buckets remembered.
    """

    __slots__ = ("_calls", "_failed", "_slow", "calls", "failed", "slow")

    def reset(self) -> None:
        """Forget everything."""
        super().reset()
        self._calls = [0] * self.buckets
        self._failed = [0] * self.buckets
        self._slow = [0] * self.buckets
        self.calls = 0
        self.failed = 0
        self.slow = 0

    def add(self, failed: bool, slow: bool, now_s: float) -> None:
        """Remember one result in the bucket of now."""
        if now_s >= self.until_s:
            self.advance(now_s)
        slot = self._slot
        self._calls[slot] += 1
        self.calls += 1
        if failed:
            self._failed[slot] += 1
            self.failed += 1
        if slow:
            self._slow[slot] += 1
            self.slow += 1

    def _forget(self, slot: int) -> None:
        self.calls -= self._calls[slot]
        self.failed -= self._failed[slot]
        self.slow -= self._slow[slot]
        self._calls[slot] = self._failed[slot] = self._slow[slot] = 0

    def __repr__(self) -> str:
        counts = f"{self.failed} failed, {self.slow} slow of {self.calls}"
        return f"<TimeWindow {counts} in {self._span_s():g} s>"


class AcceptWindow(_Buckets):
    """Requests and accepts of the last ``buckets`` × ``bucket_s`` seconds, O(1) a call.

    What an SRE breaker remembers: a request counts when it begins, an accept when it has ended.

    Args:
        buckets: How many, >= 1; each costs two integers.
        bucket_s: Seconds each covers, > 0.

    Invariant: ``requests`` and ``accepts`` are the sums over the buckets remembered.
    """

    __slots__ = ("_accepts", "_requests", "accepts", "requests")

    def reset(self) -> None:
        """Forget everything."""
        super().reset()
        self._requests = [0] * self.buckets
        self._accepts = [0] * self.buckets
        self.requests = 0
        self.accepts = 0

    def add_request(self, now_s: float) -> None:
        """Count a request in the bucket of now."""
        if now_s >= self.until_s:
            self.advance(now_s)
        self._requests[self._slot] += 1
        self.requests += 1

    def add_accept(self, now_s: float) -> None:
        """Count an accept in the bucket of now."""
        if now_s >= self.until_s:
            self.advance(now_s)
        self._accepts[self._slot] += 1
        self.accepts += 1

    def refund(self, then_s: float, now_s: float) -> None:
        """Take back the request counted at ``then_s``, unless its bucket is forgotten."""
        self.advance(now_s)
        assert self._newest is not None, "nothing was counted"
        number = min(int(then_s // self.bucket_s), self._newest)
        if number > self._newest - self.buckets:
            self._requests[number % self.buckets] -= 1
            self.requests -= 1

    def _forget(self, slot: int) -> None:
        self.requests -= self._requests[slot]
        self.accepts -= self._accepts[slot]
        self._requests[slot] = self._accepts[slot] = 0

    def __repr__(self) -> str:
        counts = f"{self.accepts} of {self.requests} accepted"
        return f"<AcceptWindow {counts} in {self._span_s():g} s>"
