"""Peak EWMA: of two random endpoints, the one that answers sooner and more often, given its load.

Why: requests in flight say nothing about an endpoint that fails fast, and little at low load. Here
each has a mean of its round trips and of its successes, both forgetting within about two seconds,
and a request that is in flight for longer than the mean counts before it is answered (the peak).
Score = weight * successes / (sqrt(round trip + 5 ms) * (in flight + 1)); the higher of two wins.
Forced re-probe: who loses isn't measured, so a bad moment would last for ever. The loser of a pair
that hasn't been picked for 3 s is picked. That is also how a new endpoint gets its first request.
Source: go-kratos/kratos v3, selector/node/ewma/node.go and selector/p2c/p2c.go: tau 600 ms, 5 ms
added "to eliminate the latency gap" of zones, forcePick 3 s. Its 100 µs without data are compared
with the root of nanoseconds, hence 10 s. The idea is Finagle's Peak EWMA (tau 10 s, no root).
Differs: more than half of what is in flight must be overdue, not half and one, or an endpoint with
two requests could never look stuck; failures are FAILED and OVERLOADED (Kratos passes the arguments
of ``errors.Is`` in reverse order, and so counts a wrapped timeout as a success).
Not handled: who is alive; a fleet's view (each balancer believes its own measurements).
"""

import random
from collections.abc import Sequence
from math import exp, sqrt

from lb.policy.roster import Roster
from resilience.policy.contract import Outcome, Request, Snapshot

DEFAULT_TAU_S = 0.6  # Kratos: tau, after which a measurement weighs 1/e
DEFAULT_FORCE_PICK_S = 3.0  # Kratos: forcePick
LAG_OFFSET_S = 0.005  # Kratos: 5 ms more for everyone, so that 1 ms and 2 ms are alike
UNKNOWN_LAG_S = 10.0  # Kratos: penalty, a round trip of 10 s until the first is known
PREDICT_SHARE = 0.2  # Kratos: what is in flight is looked at every fifth of a round trip …
PREDICT_MIN_S, PREDICT_MAX_S = 0.005, 0.2  # … but after 5 ms at the soonest, 200 ms at the latest

_FAILURES = (Outcome.FAILED, Outcome.OVERLOADED)


class _Record:
    __slots__ = ("lag_s", "overdue_s", "picked_s", "predicted_s", "stamp_s", "started_s", "success")

    def __init__(self) -> None:
        self.lag_s: float | None = None
        self.success = 1.0
        self.stamp_s = 0.0
        self.picked_s = float("-inf")
        self.started_s: list[float] = []  # in flight, oldest first
        self.overdue_s = 0.0
        self.predicted_s = float("-inf")


class PeakEwma(Roster):
    """Pick among candidates by what they were like lately.

    Args:
        rng: Source of chance.
        tau_s: How long a measurement matters, > 0.
        force_pick_s: How long an endpoint may go unpicked; inf never forces.

    A pick is O(1), and O(in flight) of the two endpoints a few times per round trip.
    """

    name = "peak_ewma"

    def __init__(
        self,
        rng: random.Random,
        *,
        tau_s: float = DEFAULT_TAU_S,
        force_pick_s: float = DEFAULT_FORCE_PICK_S,
    ) -> None:
        super().__init__()
        if tau_s <= 0:
            raise ValueError(f"tau_s must be above 0, not {tau_s}")
        self._random = rng.random
        self._tau_s = tau_s
        self._force_pick_s = force_pick_s
        self._records: dict[str, _Record] = {}
        self._forced = 0

    def pick(self, request: Request, exclude: Sequence[str], now_s: float) -> str | None:
        """Name the better of two random candidates; None when all are excluded."""
        names = self.allowed(exclude)
        if len(names) < 2:
            return names[0] if names else None
        one = int(self._random() * len(names))
        other = int(self._random() * (len(names) - 1))
        winner, loser = names[one], names[other + (other >= one)]
        if self.score(loser, now_s) > self.score(winner, now_s):
            winner, loser = loser, winner
        if now_s - self._records[loser].picked_s > self._force_pick_s:
            self._forced += 1
            return loser
        return winner

    def on_start(self, endpoint: str, now_s: float) -> None:
        """Count one more in flight, since now."""
        super().on_start(endpoint, now_s)
        record = self._records.setdefault(endpoint, _Record())
        record.picked_s = now_s
        record.started_s.append(now_s)

    def on_finish(
        self, endpoint: str, outcome: Outcome, now_s: float, started_s: float | None = None
    ) -> None:
        """Count one less, and learn its round trip and whether it succeeded.

        Args:
            started_s: ``now_s`` of its ``on_start``. None: taken to be the oldest in flight. That
                mixes up single round trips, and keeps their sum, so the mean is the same.
        """
        super().on_finish(endpoint, outcome, now_s)
        record = self._records[endpoint]
        began_s = record.started_s[0] if started_s is None else started_s
        record.started_s.remove(began_s)
        self._learn(record, outcome, now_s - began_s, now_s)
        if endpoint not in self.weights and not record.started_s:
            del self._records[endpoint]

    def score(self, endpoint: str, now_s: float) -> float:
        """Return how good an endpoint is to pick now, >= 0; only the order means something."""
        record = self._records[endpoint]
        self._look_at_overdue(record, now_s)
        lag_s = UNKNOWN_LAG_S
        if record.lag_s is not None:
            lag_s = max(record.lag_s, record.overdue_s) + LAG_OFFSET_S
        return (
            self.weights[endpoint] * record.success / (sqrt(lag_s) * (len(record.started_s) + 1.0))
        )

    def snapshot(self) -> Snapshot:
        """By endpoint in flight, round trip (None until known) and successes; forced picks."""
        facts: dict[str, float | int | str | bool | None] = {"forced": self._forced}
        for name in self.weights:
            record = self._records[name]
            facts[f"{name}.active"] = self.active(name)
            facts[f"{name}.lag_s"] = record.lag_s
            facts[f"{name}.success"] = record.success
        return facts

    def _learn(self, record: _Record, outcome: Outcome, lag_s: float, now_s: float) -> None:
        if outcome is Outcome.IGNORED and lag_s <= (record.lag_s or 0.0):
            return  # cut by others before it was late; what is late took at least this long
        kept = exp(min(0.0, record.stamp_s - now_s) / self._tau_s)
        if record.lag_s is None:
            record.lag_s, kept = lag_s, 0.0
        else:
            record.lag_s = record.lag_s * kept + lag_s * (1.0 - kept)
        record.stamp_s = now_s
        if outcome is not Outcome.IGNORED:
            succeeded = 0.0 if outcome in _FAILURES else 1.0
            record.success = record.success * kept + succeeded * (1.0 - kept)

    def _look_at_overdue(self, record: _Record, now_s: float) -> None:
        mean_s = record.lag_s or 0.0
        every_s = min(max(mean_s * PREDICT_SHARE, PREDICT_MIN_S), PREDICT_MAX_S)
        if now_s - record.predicted_s < every_s:
            return
        record.predicted_s = now_s
        overdue = [now_s - began_s for began_s in record.started_s if now_s - began_s > mean_s]
        is_stuck = len(overdue) > len(record.started_s) / 2
        record.overdue_s = sum(overdue) / len(overdue) if is_stuck else 0.0

    def _on_change(self) -> None:
        self._records = {
            name: self._records.get(name) or _Record()
            for name in {**self.weights, **self._records}
            if name in self.weights or self._records[name].started_s
        }
