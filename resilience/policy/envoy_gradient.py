"""Envoy's gradient limit: hold the median round trip against one measured without load.

Why: it needs no knowledge of the service and reacts ten times a second. The least round trip is
measured on purpose, now and then, with concurrency held low; the limit follows their ratio.

    gradient = max(0.5, min(2, 1.25 × min_rtt / median of the last 100 ms))
    limit    = gradient × limit + sqrt(gradient × limit)         kept within 3..1000

min_rtt is the median of 50 requests, measured at the start, every 60 s (plus up to 15 %), and at
once after 5 updates in a row at the least limit, since that may mean that it is wrong.

Source: envoy:source/extensions/filters/http/adaptive_concurrency/controller/
gradient_controller.cc, adaptive_concurrency.proto. Differences, each for a reason:

- The probe holds most of what the workers do (``rtt_probe``), not 3, for at most 5 % of the
  interval: it refuses a quarter of them for 3 s a minute, not nearly all while 50 requests take.
  From PR #46602: never more than the limit in force, and its concurrency apart from the limit's
  floor. Only the probe at the start holds 3: nothing is known yet.
- Only requests begun after the drain count. As first published, and in part since #11579, those
  queued behind older ones do too, and under load min_rtt climbs from probe to probe.
- A drop counts as a round trip of at least what it took; in Envoy it is forgotten, so a service
  that answers nothing in time keeps its limit.
- A window opens with the first answer to a request admitted since the last update. As published
  the limit moves every 100 ms on answers that say nothing of the last move: with round trips of
  100 ms and twenty workers it swings between 16 and 75.
- No growth while less than half of the limit is in flight: as published an idle service arrives at
  1000, and the burst comes in whole.

Not handled: more than one million samples a second in a window (they are kept until its end).
"""

import random
from math import inf, sqrt

from resilience.policy.contract import Snapshot
from resilience.policy.rtt_probe import RttProbe, held_ratio

MIN_LIMIT = 3  # Envoy: min_concurrency_limit, else min_rtt_calc_params.min_concurrency
MAX_LIMIT = 1000  # Envoy: max_concurrency_limit
UPDATE_S = 0.1  # Envoy: concurrency_update_interval as in its example; it has no default
INTERVAL_S = 60.0  # Envoy: min_rtt_calc_params.interval as in its example; it has no default
JITTER = 0.15  # Envoy: jitter
PROBE_REQUESTS = 50  # Envoy: request_count
PROBE_CONCURRENCY = 3  # Envoy: min_concurrency
BUFFER = 0.25  # Envoy: buffer
MIN_GRADIENT, MAX_GRADIENT = 0.5, 2.0  # Envoy: calculateNewLimit
WINDOWS_AT_MIN = 5  # Envoy: consecutive_min_concurrency_set
PROBE_TIME_SHARE = 0.05  # of the interval; a quarter is refused meanwhile, so 1.25 % of all


class EnvoyGradientLimit:
    """A Limit held against a round trip measured without load.

    A call is O(1); the one that ends a window sorts its n samples, O(n log n).

    Args:
        rng: Draws the jitter, so that a fleet does not probe in step.
        min_limit: Least, >= 1.
        max_limit: Most, >= min_limit.
        interval_s: Seconds between two probes, > 0.
        update_s: Seconds between two updates, > 0.

    Invariant: 1 <= value <= max_limit, and min_limit <= value when no probe is on.
    """

    __slots__ = (
        "_at_min",
        "_limit",
        "_most",
        "_probe",
        "_probe_at_s",
        "_rng",
        "_samples",
        "_update_at_s",
        "_updated_s",
        "gradient",
        "interval_s",
        "max_limit",
        "min_limit",
        "min_rtt_s",
        "update_s",
    )

    def __init__(
        self,
        rng: random.Random,
        *,
        min_limit: int = MIN_LIMIT,
        max_limit: int = MAX_LIMIT,
        interval_s: float = INTERVAL_S,
        update_s: float = UPDATE_S,
    ) -> None:
        if not 1 <= min_limit <= max_limit:
            raise ValueError(f"1 <= min_limit={min_limit} <= max_limit={max_limit} must hold")
        if interval_s <= 0.0 or update_s <= 0.0:
            raise ValueError(f"{interval_s=} and {update_s=} must be above 0")
        self._rng = rng
        self.min_limit = min_limit
        self.max_limit = max_limit
        self.interval_s = interval_s
        self.update_s = update_s
        self._probe = RttProbe(PROBE_REQUESTS, PROBE_TIME_SHARE * interval_s)
        self._samples: list[float] = []
        self._most = 0
        self._update_at_s = 0.0
        self._updated_s = -inf
        self.reset(0.0)

    @property
    def value(self) -> float:
        """How many may be in flight; less while a probe is on."""
        return min(self._limit, self._probe.limit) if self._probe.is_on else self._limit

    def on_sample(self, rtt_s: float, in_flight: int, dropped: bool, now_s: float) -> None:
        """Add to the probe or the window; the first sample after its end closes it."""
        if self._probe_at_s is None or now_s >= self._probe_at_s:
            self._start_probe(rtt_s, in_flight, now_s)
        if self._probe.is_on:
            taken = self._probe.add(inf if dropped else rtt_s, in_flight, now_s)
            if taken is not None:
                self._end_probe(sorted(taken), now_s)
            return
        if now_s - rtt_s < self._updated_s:
            return
        if not self._samples:
            self._update_at_s = now_s + self.update_s
        self._samples.append(rtt_s)
        if in_flight > self._most:
            self._most = in_flight
        if now_s >= self._update_at_s:
            self._update(now_s)

    def reset(self, now_s: float) -> None:
        """Begin again, with a probe."""
        self._limit = float(max(self.min_limit, PROBE_CONCURRENCY))
        self._most = 0
        self._at_min = 0
        self._samples.clear()
        self._probe.stop()
        self._probe_at_s: float | None = None
        self._update_at_s = now_s
        self._updated_s = -inf
        self.min_rtt_s = inf
        self.gradient = 1.0

    def snapshot(self) -> Snapshot:
        """Return the limit, the last gradient, the least round trip and whether a probe is on."""
        return {
            "limit": int(self.value),
            "gradient": round(self.gradient, 3),
            "min_rtt_ms": None if self.min_rtt_s == inf else round(self.min_rtt_s * 1000, 3),
            "probing": self._probe.is_on,
        }

    def _start_probe(self, rtt_s: float, in_flight: int, now_s: float) -> None:
        used = min(max(in_flight, self._most), self._limit)
        held = int(used * held_ratio(self.min_rtt_s, rtt_s))
        self._probe.start(max(PROBE_CONCURRENCY, held), now_s)
        self._probe_at_s = inf

    def _end_probe(self, taken: list[float], now_s: float) -> None:
        if taken:
            self.min_rtt_s = taken[len(taken) // 2]
        wait_s = self.interval_s * (1.0 + self._rng.random() * JITTER)
        self._probe_at_s = now_s if self.min_rtt_s == inf else now_s + wait_s
        self._begin_window(now_s)

    def _begin_window(self, now_s: float) -> None:
        self._samples.clear()
        self._most = 0
        self._updated_s = now_s

    def _update(self, now_s: float) -> None:
        samples = sorted(self._samples)
        median_s = samples[len(samples) // 2]
        most = self._most
        self._begin_window(now_s)
        ideal_s = self.min_rtt_s * (1.0 + BUFFER)
        ratio = ideal_s / median_s if median_s else MAX_GRADIENT
        self.gradient = max(MIN_GRADIENT, min(MAX_GRADIENT, ratio))
        limit = self._limit * self.gradient
        limit += sqrt(limit)
        if limit > self._limit and most < self._limit / 2:
            return
        self._at_min = self._at_min + 1 if limit <= self.min_limit else 0
        self._limit = max(float(self.min_limit), min(float(self.max_limit), limit))
        if self._at_min >= WINDOWS_AT_MIN:
            self._at_min = 0
            self._probe_at_s = now_s

    def __repr__(self) -> str:
        state = ", probing" if self._probe.is_on else ""
        return f"<EnvoyGradientLimit {self.value:.1f}, gradient {self.gradient:.2f}{state}>"
