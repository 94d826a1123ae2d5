"""BBR limiter: under pressure, admit no more than the service has shown it can carry.

Why: a queue longer than the deadline serves nobody. Little's law gives the number in flight that
keeps every worker busy with nothing waiting: the best throughput seen times the shortest round
trip seen. Above it, and only while a signal says the machine is under pressure, refuse.

    limit = floor(max passes a second × min round trip + 0.5)
    refuse when in flight > 1 and in flight > limit, and the pressure is at least 0.8
    or fell below that less than 1 s after the first refusal ("cold": else the limiter flaps)

Source: aegis:ratelimit/bbr/bbr.go, after TCP BBR. Differences, each for a reason:

- The windows scale with the rate. At 20 a second a bucket of 100 ms holds two passes and its
  maximum is chance; so below 200 a second the buckets are 1 s long.
- The shortest round trip is the least mean of a *stretch*: as many buckets in a row as hold 100
  passes. Of ten buckets of thirty the least mean is about 0.75 of the true one when service times
  are exponential, the limit with it, and workers idle (docs/bench.md). A window that holds fewer
  goes by its buckets, as aegis does.
- Pressure is any signal in 0..1, not the CPU alone: a service that waits burns none.
- Only an OK teaches. A handler that fails at once would teach a round trip no real answer can
  have, and one cut by our own deadline (OVERLOADED) one that says nothing.
- With ``deadline_share`` no limit times its service time exceeds the deadline (``deadline_cap``).
  Without, a service that takes a third of its deadline is overfilled: of few passes a bucket the
  maximum is far above the mean, and ``> limit`` lets one more in.

Not handled: costs other than 1; priorities (a gate in front of this one).
"""

from collections.abc import Callable, Iterator
from math import floor

from resilience.policy.contract import Outcome, Permit, Rejection, Request, Snapshot
from resilience.policy.deadline_cap import DeadlineCap
from resilience.policy.window import RollingWindow

WINDOW_S = 10.0  # aegis: Window 10 s
FINE_BUCKETS = 100  # aegis: Bucket 100, so 100 ms each
COARSE_BUCKETS = 10  # below COARSE_BELOW_RPS: 1 s each
COARSE_BELOW_RPS = 200.0  # 20 passes to a fine bucket: under that a maximum is mostly chance
STRETCH_PASSES = 100  # the standard error of their mean round trip is a tenth at cv 1
PRESSURE_THRESHOLD = 0.8  # aegis: CPUThreshold 800 of 1000
COLD_S = 1.0  # aegis: time.Second after the first drop
MIN_RTT_S = 0.001  # aegis: round trips count in whole milliseconds, at least one
RETRY_AFTER_S = 1.0  # one coarse bucket: the soonest at which the limit is another


class BbrLimiter:
    """A Gate on the number in flight, learned from throughput and round trip.

    Each call is O(1), but the first after a bucket ends reads the window, O(buckets).

    Args:
        pressure: Asked at each admission; 1.0 means the machine has nothing left to give.
        threshold: Pressure at which the limit begins to bind, 0..1.
        deadline_share: Part of a request's time left that its place in line may cost, 0 < share
            <= 1; None leaves the deadline out, as aegis does.
    """

    name = "limiter"

    __slots__ = (
        "_cap",
        "_coarse",
        "_fine",
        "_first_drop_s",
        "_generation",
        "_learned_bucket",
        "_max_rps",
        "_min_rtt_s",
        "_pressure",
        "_rejected",
        "in_flight",
        "threshold",
    )

    def __init__(
        self,
        pressure: Callable[[], float],
        *,
        threshold: float = PRESSURE_THRESHOLD,
        deadline_share: float | None = None,
    ) -> None:
        self._pressure = pressure
        self.threshold = threshold
        self.in_flight = 0
        self._cap = None if deadline_share is None else DeadlineCap(deadline_share)
        self._fine = RollingWindow(FINE_BUCKETS, WINDOW_S / FINE_BUCKETS)
        self._coarse = RollingWindow(COARSE_BUCKETS, WINDOW_S / COARSE_BUCKETS)
        self._generation = 0
        self._first_drop_s: float | None = None
        self._learned_bucket: int | None = None
        self._max_rps = 0.0
        self._min_rtt_s = MIN_RTT_S
        self._rejected = 0

    def admit(self, request: Request, now_s: float) -> Permit | Rejection:
        """Let the request in, or refuse it with in flight against the limit."""
        if self._must_drop(now_s):
            self._rejected += 1
            return Rejection(
                self.name, "LIMIT_EXCEEDED", RETRY_AFTER_S, self.in_flight, self.limit(now_s)
            )
        if self._cap is not None:
            most = self._cap.refuse(self.in_flight, request.deadline_s, now_s)
            if most is not None:
                self._rejected += 1
                return Rejection(self.name, "LIMIT_EXCEEDED", RETRY_AFTER_S, self.in_flight, most)
        self.in_flight += 1
        return Permit(self._generation, now_s, request.cost)

    def settle(self, permit: Permit, outcome: Outcome, now_s: float) -> None:
        """Give the place back; an OK teaches a pass and its round trip."""
        permit.mark_settled()
        self.in_flight -= 1
        is_current = permit.generation == self._generation
        if self._cap is not None:
            taught = outcome if is_current else None
            self._cap.settle(now_s - permit.issued_s, taught, self.in_flight, now_s)
        if outcome is Outcome.OK and is_current:
            rtt_s = now_s - permit.issued_s
            self._fine.add(1, rtt_s, now_s)
            self._coarse.add(1, rtt_s, now_s)

    def limit(self, now_s: float) -> int:
        """How many may be in flight; the buckets being filled do not speak yet."""
        bucket = self._fine.advance(now_s)
        if bucket != self._learned_bucket:
            self._learned_bucket = bucket
            self._coarse.advance(now_s)
            self._learn()
        return floor(self._max_rps * self._min_rtt_s + 0.5)

    def reset(self, now_s: float) -> None:
        """Forget what was learned; what is in flight stays counted and teaches nothing."""
        self._generation += 1
        self._fine.reset()
        self._coarse.reset()
        if self._cap is not None:
            self._cap.reset(now_s)
        self._first_drop_s = None
        self._learned_bucket = None
        self._max_rps = 0.0
        self._min_rtt_s = MIN_RTT_S
        self._rejected = 0

    def snapshot(self) -> Snapshot:
        """Return what was learned up to the last call; reads the window, O(buckets)."""
        self._learn()
        return {
            "in_flight": self.in_flight,
            "limit": floor(self._max_rps * self._min_rtt_s + 0.5),
            "max_rps": round(self._max_rps, 2),
            "min_rtt_ms": round(self._min_rtt_s * 1000, 3),
            "pressure": round(self._pressure(), 3),
            "dropping": self._first_drop_s is not None,
            "rejected": self._rejected,
        }

    def _must_drop(self, now_s: float) -> bool:
        if self._pressure() < self.threshold:
            if self._first_drop_s is None:
                return False
            if now_s - self._first_drop_s > COLD_S:
                self._first_drop_s = None
                return False
            return self._is_over(now_s)
        if not self._is_over(now_s):
            return False
        if self._first_drop_s is None:
            self._first_drop_s = now_s
        return True

    def _is_over(self, now_s: float) -> bool:
        return self.in_flight > 1 and self.in_flight > self.limit(now_s)

    def _learn(self) -> None:
        is_sparse = self._fine.count < COARSE_BELOW_RPS * WINDOW_S
        window = self._coarse if is_sparse else self._fine
        buckets = [each for each in window.finished() if each[0]]
        most = max((count for count, _ in buckets), default=1)  # aegis: maxPASS is at least 1
        self._max_rps = most / window.bucket_s
        stretches = list(_stretches(buckets)) or buckets
        shortest_s = min((total_s / count for count, total_s in stretches), default=0.0)
        self._min_rtt_s = max(MIN_RTT_S, shortest_s)

    def __repr__(self) -> str:
        return f"<BbrLimiter {self.in_flight} in flight, rejected {self._rejected}>"


def _stretches(buckets: list[tuple[int, float]]) -> Iterator[tuple[int, float]]:
    """Yield (count, total) of buckets in a row that hold enough passes; the last few may not."""
    count, total_s = 0, 0.0
    for passes, spent_s in buckets:
        count += passes
        total_s += spent_s
        if count >= STRETCH_PASSES:
            yield count, total_s
            count, total_s = 0, 0.0
