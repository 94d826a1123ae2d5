"""Gradient2 limit: hold the round trip of now against its long-term mean.

Why: a shortest round trip is one lucky sample, and some traffic has no typical one. The gradient
compares means: it may be half as long again as usual, beyond that the limit shrinks in proportion.

    long = EWMA of 600 samples (plain mean of the first 10), factor 2 / 601
    long × 0.95 while long > 2 × rtt                 (the past was worse: forget it faster)
    in flight < limit / 2:  no change
    gradient = max(0.5, min(1, 1.5 × long / rtt))
    target   = gradient × limit + (4 if gradient is 1 else 0)
    limit    = 0.8 × limit + 0.2 × target            kept within 1..200

Put ``WindowedLimit`` around it, as Netflix does: its samples are meant to be a second's means.

Source: Netflix concurrency-limits:limit/{Gradient2Limit,measurement/ExpAvgMeasurement}.java.
Differences, each for a reason:

- The four are added only while nothing queues. As published they are added to a shrinking limit
  too, so that it never falls below 4 / (1 − gradient), and climbs to it: 20 at 0.8 (#134).
- A drop is a gradient of 0.5, and teaches the mean nothing. As published drops are ignored (#176)
  and a constant timeout becomes the usual round trip: the gradient is 1, the limit grows (#137).
- The least limit is 1, not 20: twenty in flight are a second's work for two workers of 100 ms.

Not handled: overload that lasts for long without a drop. The mean learns the queue as usual, in
ten minutes of windows; the deadline cap of the gate is what holds then.
"""

from resilience.policy.contract import Snapshot

INITIAL_LIMIT = 20  # Netflix: initialLimit
MIN_LIMIT = 1  # Netflix: minLimit 20
MAX_LIMIT = 200  # Netflix: maxConcurrency
QUEUE_SIZE = 4  # Netflix: queueSize
SMOOTHING = 0.2  # Netflix: smoothing
RTT_TOLERANCE = 1.5  # Netflix: rttTolerance
LONG_WINDOW = 600  # Netflix: longWindow, samples
WARM_UP = 10  # Netflix: ExpAvgMeasurement's warmupWindow
MIN_GRADIENT = 0.5  # Netflix: one sample may halve no more than this
FORGET_ABOVE = 2.0  # Netflix: longRtt / shortRtt from which the past is forgotten faster
FORGET_RATIO = 0.95  # Netflix: what is left of it each sample


class LongMean:
    """An exponential mean that begins as a plain one. Every call is O(1).

    Args:
        window: Samples it stands for, >= 1; the newest weighs 2 / (window + 1).
        warm_up: Samples of which it is the plain mean, >= 1.
    """

    __slots__ = ("_count", "_factor", "value", "warm_up")

    def __init__(self, window: int = LONG_WINDOW, warm_up: int = WARM_UP) -> None:
        if window < 1 or warm_up < 1:
            raise ValueError(f"window={window} and warm_up={warm_up} must be at least 1")
        self._factor = 2.0 / (window + 1)
        self.warm_up = warm_up
        self.reset()

    def add(self, sample: float) -> float:
        """Take in a sample; return the mean."""
        if self._count < self.warm_up:
            self._count += 1
            self.value += (sample - self.value) / self._count
        else:
            self.value += (sample - self.value) * self._factor
        return self.value

    def reset(self) -> None:
        """Forget everything."""
        self._count = 0
        self.value = 0.0

    def __repr__(self) -> str:
        return f"<LongMean {self.value:g}>"


class Gradient2Limit:
    """A Limit held against the long-term mean round trip. Every call is O(1).

    Args:
        initial: Where it begins, within min_limit..max_limit.
        min_limit: Least, >= 1.
        max_limit: Most.
        queue_size: What it may grow by while nothing queues, > 0.

    Invariant: min_limit <= value <= max_limit.
    """

    __slots__ = ("_limit", "_long", "gradient", "initial", "max_limit", "min_limit", "queue_size")

    def __init__(
        self,
        initial: int = INITIAL_LIMIT,
        *,
        min_limit: int = MIN_LIMIT,
        max_limit: int = MAX_LIMIT,
        queue_size: float = QUEUE_SIZE,
    ) -> None:
        if not 1 <= min_limit <= initial <= max_limit:
            raise ValueError(f"1 <= {min_limit=} <= {initial=} <= {max_limit=} must hold")
        if queue_size <= 0:
            raise ValueError(f"queue_size={queue_size} must be above 0")
        self.initial = initial
        self.min_limit = min_limit
        self.max_limit = max_limit
        self.queue_size = queue_size
        self._long = LongMean()
        self.reset(0.0)

    @property
    def value(self) -> float:
        """How many may be in flight."""
        return self._limit

    def on_sample(self, rtt_s: float, in_flight: int, dropped: bool, now_s: float) -> None:
        """Move a fifth of the way to what the gradient asks for."""
        if dropped:
            self._move(MIN_GRADIENT)
            return
        long_s = self._long.add(rtt_s)
        if long_s > FORGET_ABOVE * rtt_s:
            self._long.value = long_s * FORGET_RATIO
        if in_flight < self._limit / 2:
            return
        tolerated_s = RTT_TOLERANCE * long_s
        self._move(1.0 if tolerated_s >= rtt_s else max(MIN_GRADIENT, tolerated_s / rtt_s))

    def reset(self, now_s: float) -> None:
        """Begin again at the initial limit, with no usual round trip."""
        self._long.reset()
        self._limit = float(self.initial)
        self.gradient = 1.0

    def snapshot(self) -> Snapshot:
        """Return the limit, the last gradient and the long-term mean."""
        return {
            "limit": int(self._limit),
            "gradient": round(self.gradient, 3),
            "long_rtt_ms": round(self._long.value * 1000, 3),
        }

    def _move(self, gradient: float) -> None:
        self.gradient = gradient
        target = self._limit * gradient + (self.queue_size if gradient == 1.0 else 0.0)
        limit = self._limit * (1.0 - SMOOTHING) + target * SMOOTHING
        self._limit = max(float(self.min_limit), min(float(self.max_limit), limit))

    def __repr__(self) -> str:
        return f"<Gradient2Limit {self._limit:.1f}, gradient {self.gradient:.2f}>"
