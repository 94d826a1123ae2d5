"""Deadline cap: no more in flight than can be answered before the deadline.

Why: a limiter learns in the unit "requests in flight" and never asks how long those take. Twenty
in flight is modest for a service of 1 ms and hopeless for two workers of 100 ms under a deadline of
a second: the twentieth is answered just when its caller leaves.

The rule. Of n in flight before workers that together finish ``rate`` a second, the last one ends
after n / rate, since 1 / rate is the service time per worker. With ``left`` seconds to its deadline

    n × (1 / rate) <= min(left, max(0.5 × left, 1.5 × shortest round trip))
    cap = max(1, floor(rate × that + 0.5))

Half of the time left is for service times that vary. The shortest round trip is there for services
that take more than a third of it: all their workers may be busy (Little's law), with half as many
waiting behind them. Nobody is let in who could not be answered in the time left.

What makes it honest:

- ``rate`` is answers per *busy* second (something in flight), else a service hardly asked looks
  slow; and the best of the last slices, since one not fully busy says too little.
- It binds only once a queue shows: recent round trips 1.5 times the shortest, or a slice of which
  more than half came too late. Before, the rate says what was asked for, not what can be carried,
  and a burst on an idle service of a thousand workers is no overload. Then it binds until a
  slice passes in which no queue showed and it refused nobody: else its own success would lift it.
- A slice of which more than half came too late makes those before it void: the service could once.
- The shortest round trip is the least mean of a slice; one with hardly anything beside it (fewer
  than 1.5 in flight, by Little's law) replaces it even if longer, for it saw no queue.

Source: Little, "A Proof for the Queuing Formula L = λW", 1961. To bound the wait and not the length
is the idea of CoDel and DAGOR, here taken before admission.
Not handled: a slow and a fast route behind one gate (give each its own); workers that take the
newest first; a service that became so slow that a round trip is most of the deadline and always has
several in flight (the old shortest stays, and too few are let in).
"""

from collections import deque
from math import floor, inf

from resilience.policy.contract import Outcome

DEADLINE_SHARE = 0.5  # as much again for service times that vary
SLICE_SAMPLES = 20  # bbr: under 20 to a bucket a maximum is mostly chance
SLICE_MIN_S = 0.1  # bbr: a fine bucket; with 20 samples a slice ends from then on
SLICE_MAX_S = 1.0  # bbr: a coarse bucket; a slice ends with fewer, but not with
SLICE_LEAST = 4  # fewer than these, which tell a queue of one from none
SLICES = 5  # at most 5 s when busy; bbr's 10 s remember a fast past for too long
QUEUED_RATIO = 1.5  # Netflix Gradient2: rttTolerance
LATE_RATIO = 0.5  # the median is too late; a tail of slow work is not a queue
ALONE = 1.5  # mean in flight below which a round trip is a service time
SMOOTHING = 0.125  # TCP's weight of a new round trip (RFC 6298, 2.3)


class DeadlineCap:
    """Learn a drain rate from what is settled; cap what may be in flight. O(1) a call.

    The gate that owns it asks before each admission and tells it each ending.

    Args:
        share: Part of the time left that may be spent, 0 < share <= 1.

    Invariant: a cap is at least 1, so work goes on and the rate can be learned anew.
    """

    __slots__ = (
        "_begun_s",
        "_busy_s",
        "_busy_since_s",
        "_late",
        "_passed_s",
        "_passes",
        "_rates",
        "_recent_s",
        "_refused",
        "binds",
        "rate",
        "share",
        "shortest_s",
    )

    def __init__(self, share: float = DEADLINE_SHARE) -> None:
        if not 0.0 < share <= 1.0:
            raise ValueError(f"share={share} must be above 0 and at most 1")
        self.share = share
        self._busy_since_s: float | None = None
        self._rates: deque[float] = deque(maxlen=SLICES)
        self.reset(0.0)

    def reset(self, now_s: float) -> None:
        """Forget what was learned; a busy spell under way goes on from now."""
        self._rates.clear()
        self.rate = 0.0
        self.shortest_s = inf
        self._recent_s = 0.0
        self.binds = False
        self._begin(now_s)

    def cap(self, left_s: float) -> float:
        """Return how many may be in flight for one with so much time left; inf: any number."""
        if not self.binds:
            return inf
        stay_s = max(self.share * left_s, QUEUED_RATIO * self.shortest_s)
        return max(1, floor(self.rate * min(left_s, stay_s) + 0.5))

    def refuse(self, in_flight: int, deadline_s: float | None, now_s: float) -> float | None:
        """Return the cap that forbids one more; None lets it in, and counts on that it goes."""
        if not in_flight:
            self._busy_since_s = now_s
        elif self.binds and deadline_s is not None:
            most = self.cap(deadline_s - now_s)
            if in_flight >= most:
                self._refused = True
                return most
        return None

    def settle(self, rtt_s: float, outcome: Outcome | None, in_flight: int, now_s: float) -> None:
        """Count how one ended; ``in_flight`` are left, and an outcome of None teaches nothing."""
        if outcome is Outcome.OK:
            self._passes += 1
            self._passed_s += rtt_s
            self._recent_s += (rtt_s - self._recent_s) * SMOOTHING
            if self._recent_s > QUEUED_RATIO * self.shortest_s:
                self.binds = True
        elif outcome is Outcome.OVERLOADED:
            self._late += 1
        samples = self._passes + self._late
        if samples >= SLICE_LEAST:
            least_s = SLICE_MIN_S if samples >= SLICE_SAMPLES else SLICE_MAX_S
            if now_s - self._begun_s >= least_s:
                self._close(now_s)
        if not in_flight:
            self._count_busy(now_s)
            self._busy_since_s = None

    def _close(self, now_s: float) -> None:
        self._count_busy(now_s)
        passes, late = self._passes, self._late
        is_late = late > LATE_RATIO * (passes + late)
        if is_late:
            self._rates.clear()
        if self._busy_s > 0.0:
            self._rates.append(passes / self._busy_s)
            self.rate = max(self._rates)
            if passes:
                is_alone = self._passed_s < ALONE * self._busy_s
                mean_s = self._passed_s / passes
                self.shortest_s = mean_s if is_alone else min(self.shortest_s, mean_s)
        is_queued = self._recent_s > QUEUED_RATIO * self.shortest_s
        self.binds = is_late or is_queued or (self.binds and self._refused)
        self._begin(now_s)

    def _count_busy(self, now_s: float) -> None:
        if self._busy_since_s is not None:
            self._busy_s += max(0.0, now_s - self._busy_since_s)
            self._busy_since_s = now_s

    def _begin(self, now_s: float) -> None:
        self._begun_s = now_s
        self._busy_s = 0.0
        self._passes = 0
        self._passed_s = 0.0
        self._late = 0
        self._refused = False
        if self._busy_since_s is not None:
            self._busy_since_s = now_s

    def __repr__(self) -> str:
        state = "binds" if self.binds else "free"
        return f"<DeadlineCap {state}, {self.rate:.1f} a second>"
