"""Vegas limit: guess the queue from how much longer round trips are than the shortest.

Why: a drop tells that it is too late, a longer round trip that it soon will be. Of L in flight,
the share that the round trip has grown by is waiting, so the limit is steered for a short queue.

    queue = ceil(L × (1 − shortest / rtt))             log = max(1, floor(log10(L)))
    dropped:            L − log
    2 × in flight < L:  L                              (not used up: says nothing)
    queue <= log:       L + 6 log                      log: threshold
    queue < 3 log:      L + log                        3 log: alpha
    queue > 6 log:      L − log                        6 log: beta
    otherwise:          L                              all kept within 1..1000

Source: Netflix concurrency-limits:limit/VegasLimit.java, after Brakmo and Peterson, "TCP Vegas",
1995. Differences, each for a reason:

- The shortest is measured anew after the same jitter(0.5..1) × 30 × L samples, but by a probe that
  drains first (``rtt_probe``). As published one sample of the moment becomes the shortest: under
  load that is a queue, the limit climbs with every probe, and no longer limits (#165). A probe
  costs something, so after one of d seconds the next waits for at least 20 d.
- One step a round trip, as TCP Vegas has it: an answer to what was admitted before the last step
  says nothing of it. As published every sample is a step, and in the one round trip until the first
  of them shows a queue, twenty workers' limit goes from 6 to 300. Drops step at once.
- A drop is never taken for a shortest: it says "at least this long".
- Above 1000 the published table turns from log10 into the square root; here it is log10 throughout.

Not handled: service times that vary much. The shortest of many is far below the mean, so there
is always a "queue": put ``WindowedLimit`` around it, which compares means.
"""

import random
from math import ceil, inf, log10

from resilience.policy.contract import Snapshot
from resilience.policy.rtt_probe import RttProbe, held_ratio

INITIAL_LIMIT = 20  # Netflix: initialLimit
MAX_LIMIT = 1000  # Netflix: maxConcurrency
ALPHA = 3  # Netflix: alphaFunc, times log10 of the limit
BETA = 6  # Netflix: betaFunc, the same
PROBE_MULTIPLIER = 30  # Netflix: probeMultiplier, samples per unit of the limit
PROBE_JITTER = 0.5  # Netflix: resetProbeJitter, 0.5..1 of it
PROBE_SAMPLES = 5  # the least that a probe takes; the published one takes 1
PROBE_TIME_SHARE = 0.05  # of all time; a quarter is refused meanwhile, so 1.25 % of all
PROBE_MAX_S = 3.0  # BBR's PROBE_RTT takes 200 ms; a service at 2 a second needs longer


class VegasLimit:
    """A Limit steered for a short queue. Every call is O(1).

    Args:
        rng: Draws when the next probe is due, so that a fleet does not probe in step.
        initial: Where it begins, within 1..max_limit.
        max_limit: Most.

    Invariant: 1 <= value <= max_limit.
    """

    __slots__ = (
        "_due",
        "_limit",
        "_moved_s",
        "_probe",
        "_probe_after_s",
        "_probed_s",
        "_rng",
        "_samples",
        "initial",
        "max_limit",
        "shortest_s",
    )

    def __init__(
        self, rng: random.Random, initial: int = INITIAL_LIMIT, *, max_limit: int = MAX_LIMIT
    ) -> None:
        if not 1 <= initial <= max_limit:
            raise ValueError(f"1 <= initial={initial} <= max_limit={max_limit} must hold")
        self._rng = rng
        self.initial = initial
        self.max_limit = max_limit
        self._probe = RttProbe(PROBE_SAMPLES, PROBE_MAX_S)
        self._due = 0.0
        self._moved_s = -inf
        self._probe_after_s = 0.0
        self._samples = 0
        self.shortest_s = inf
        self.reset(0.0)

    @property
    def value(self) -> float:
        """How many may be in flight; less while the shortest is measured."""
        return self._probe.limit if self._probe.is_on else self._limit

    def on_sample(self, rtt_s: float, in_flight: int, dropped: bool, now_s: float) -> None:
        """Steer by the queue that this round trip shows."""
        if self._probe.is_on:
            self._measure(rtt_s, in_flight, dropped, now_s)
            return
        self._samples += 1
        if self._samples >= self._due * self._limit and now_s >= self._probe_after_s:
            self._probed_s = now_s
            used = min(in_flight, self._limit)
            self._probe.start(int(used * held_ratio(self.shortest_s, rtt_s)), now_s)
        elif dropped:
            self._move(-1)
        elif rtt_s < self.shortest_s:
            self.shortest_s = rtt_s
        elif in_flight * 2 >= self._limit and now_s - rtt_s >= self._moved_s:
            self._moved_s = now_s
            self._steer(rtt_s)

    def reset(self, now_s: float) -> None:
        """Begin again at the initial limit; the next answer is the shortest."""
        self._limit = float(self.initial)
        self.shortest_s = inf
        self._moved_s = -inf
        self._samples = 0
        self._probe.stop()
        self._probe_after_s = self._probed_s = now_s
        self._due = self._draw()

    def snapshot(self) -> Snapshot:
        """Return the limit, the shortest round trip and whether it is being measured."""
        return {
            "limit": int(self.value),
            "min_rtt_ms": None if self.shortest_s == inf else round(self.shortest_s * 1000, 3),
            "probing": self._probe.is_on,
        }

    def _steer(self, rtt_s: float) -> None:
        log = max(1, int(log10(self._limit)))
        queue = ceil(self._limit * (1.0 - self.shortest_s / rtt_s)) if rtt_s else 0
        if queue <= log:
            self._move(BETA)
        elif queue < ALPHA * log:
            self._move(1)
        elif queue > BETA * log:
            self._move(-1)

    def _move(self, steps: int) -> None:
        log = max(1, int(log10(self._limit)))
        self._limit = max(1.0, min(float(self.max_limit), self._limit + steps * log))

    def _measure(self, rtt_s: float, in_flight: int, dropped: bool, now_s: float) -> None:
        if dropped:
            self._move(-1)
        taken = self._probe.add(inf if dropped else rtt_s, in_flight, now_s)
        if taken is not None:
            self._samples = 0
            self._due = self._draw()
            self._probe_after_s = now_s + (now_s - self._probed_s) / PROBE_TIME_SHARE
            self.shortest_s = min(taken, default=self.shortest_s)

    def _draw(self) -> float:
        return self._rng.uniform(PROBE_JITTER, 1.0) * PROBE_MULTIPLIER

    def __repr__(self) -> str:
        return f"<VegasLimit {self.value:.0f}{', probing' if self._probe.is_on else ''}>"
