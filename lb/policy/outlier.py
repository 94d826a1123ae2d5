"""Outlier ejection: leave an endpoint whose answers keep failing while its checks are green.

Why: a check asks an easy question. What an endpoint does to real requests is seen only there.
Source: Envoy, outlier.rst and outlier_detection.proto: 5 consecutive 5xx or gateway failures;
ejected for 30 s x times ejected, at most 300 s; at most 10 % of the cluster, but at least one; the
multiplier shrinks by one for each 10 s without an ejection. ``outlier_rates`` adds success rate and
failure percentage, looked at every 10 s. They need five endpoints and many requests, which a lab
hasn't: ``small_fleet`` is what two or three replicas of a few requests a second need.
Differs on purpose: an answer that says "overloaded" counts neither way. All endpoints are
overloaded together, and ejecting one would turn overload into an outage. And a good check doesn't
end an ejection (Envoy's does unless told otherwise): checks are what ejection is to correct.
Not handled: jitter of the ejection time (Envoy's default is none).
"""

from collections.abc import Iterable

from lb.policy.outlier_rates import OutlierRates
from resilience.policy.contract import Outcome, Snapshot

DEFAULT_CONSECUTIVE_FAILURES = 5  # Envoy: consecutive_5xx
DEFAULT_EJECTION_S = 30.0  # Envoy: base_ejection_time
DEFAULT_MAX_EJECTION_S = 300.0  # Envoy: max_ejection_time
DEFAULT_MAX_EJECTED_RATIO = 0.1  # Envoy: max_ejection_percent
DEFAULT_INTERVAL_S = 10.0  # Envoy: interval, after which the multiplier shrinks by one
CONSECUTIVE = "CONSECUTIVE"

# Two or three replicas of a service, some requests a second each: issue 5's `bad-canary` must be
# left within 5 s.
SMALL_FLEET_INTERVAL_S = 2.0
SMALL_FLEET_FAILURE_RATIO = 0.3
SMALL_FLEET_MIN_ENDPOINTS = 2
SMALL_FLEET_MIN_REQUESTS = 10
SMALL_FLEET_FAILING_SHARE = 0.5


class _Record:
    __slots__ = ("ejected_until_s", "failures", "reason", "times")

    def __init__(self) -> None:
        self.failures = 0
        self.times = 0
        self.ejected_until_s = float("-inf")
        self.reason = ""  # of the last ejection


class OutlierEjection:
    """Count failures in a row by endpoint and eject. Each result is O(1), an ejection O(n).

    Args:
        consecutive_failures: Failures in a row that eject, >= 1.
        ejection_s: Length of the first ejection.
        max_ejection_s: Longest ejection.
        max_ejected_ratio: Share of endpoints that may be out at once, 0..1; always at least one.
        interval_s: Time without ejection that takes one from the multiplier, > 0.
        rates_interval_s: Between two looks at the rates, > 0; None: the same (Envoy has only one).
        rates: Finds outliers by their rates; None: only failures in a row eject.
    """

    def __init__(
        self,
        *,
        consecutive_failures: int = DEFAULT_CONSECUTIVE_FAILURES,
        ejection_s: float = DEFAULT_EJECTION_S,
        max_ejection_s: float = DEFAULT_MAX_EJECTION_S,
        max_ejected_ratio: float = DEFAULT_MAX_EJECTED_RATIO,
        interval_s: float = DEFAULT_INTERVAL_S,
        rates_interval_s: float | None = None,
        rates: OutlierRates | None = None,
    ) -> None:
        self._consecutive = consecutive_failures
        self._ejection_s = ejection_s
        self._max_ejection_s = max_ejection_s
        self._max_ratio = max_ejected_ratio
        self._interval_s = interval_s
        self._rates_interval_s = rates_interval_s or interval_s
        self._rates = rates
        self._interval_end_s: float | None = None
        self._detected = 0
        self._records: dict[str, _Record] = {}
        self._ejections = 0

    def set_endpoints(self, names: Iterable[str]) -> None:
        """Know these; those that stay keep their record, those that left are forgotten."""
        self._records = {name: self._records.get(name) or _Record() for name in names}
        if self._rates is not None:
            self._rates.set_endpoints(self._records)

    def on_result(self, endpoint: str, outcome: Outcome, now_s: float) -> bool:
        """Take one request's outcome; True when it ejected the endpoint (by rates: or another)."""
        record = self._records.get(endpoint)
        if record is None:
            return False
        by_rates = self._rates is not None and self._look_at_rates(
            self._rates, endpoint, outcome, now_s
        )
        return self._count_in_a_row(record, outcome, now_s) or by_rates

    def is_ejected(self, endpoint: str, now_s: float) -> bool:
        """Whether the endpoint is out now."""
        record = self._records.get(endpoint)
        return record is not None and now_s < record.ejected_until_s

    def ejected_until_s(self, endpoint: str) -> float:
        """Return when its last ejection ends or ended; minus infinity without one."""
        record = self._records.get(endpoint)
        return record.ejected_until_s if record is not None else float("-inf")

    def reason(self, endpoint: str) -> str:
        """Return why it was ejected last: ``CONSECUTIVE``, or an ``Outlier``'s reason; or ""."""
        record = self._records.get(endpoint)
        return record.reason if record is not None else ""

    def reset(self) -> None:
        """Forget every failure and end every ejection."""
        self._records = {name: _Record() for name in self._records}
        self._interval_end_s = None
        if self._rates is not None:
            self._rates.reset()

    def snapshot(self) -> Snapshot:
        """Failures in a row by endpoint, all ejections so far; with rates, all outliers found."""
        facts: dict[str, int] = {"ejections": self._ejections}
        if self._rates is not None:
            facts["outliers"] = self._detected
        return facts | {name: record.failures for name, record in self._records.items()}

    def _count_in_a_row(self, record: _Record, outcome: Outcome, now_s: float) -> bool:
        if outcome is Outcome.OK:
            record.failures = 0
            return False
        if outcome is not Outcome.FAILED:
            return False
        record.failures += 1
        if record.failures < self._consecutive or not self._has_room(record, now_s):
            return False
        self._eject(record, CONSECUTIVE, now_s)
        return True

    def _look_at_rates(
        self, rates: OutlierRates, endpoint: str, outcome: Outcome, now_s: float
    ) -> bool:
        """End the interval if its time has passed, then count; True when somebody was ejected."""
        if self._interval_end_s is None:
            self._interval_end_s = now_s + self._rates_interval_s
        ejected = False
        if now_s >= self._interval_end_s:
            self._interval_end_s = now_s + self._rates_interval_s
            ejected = self._eject_by_rates(rates, now_s)
        rates.on_result(endpoint, outcome)
        return ejected

    def _eject_by_rates(self, rates: OutlierRates, now_s: float) -> bool:
        before = self._ejections
        out = {n for n, record in self._records.items() if now_s < record.ejected_until_s}
        for outlier in rates.end_interval(skip=out):
            self._detected += 1
            record = self._records[outlier.endpoint]
            if outlier.is_enforced and self._has_room(record, now_s):
                self._eject(record, outlier.reason, now_s)
        return self._ejections > before

    def _has_room(self, record: _Record, now_s: float) -> bool:
        if now_s < record.ejected_until_s:
            return False  # out already; a panic still sends it requests
        out = sum(now_s < other.ejected_until_s for other in self._records.values())
        return out < max(1, int(self._max_ratio * len(self._records)))

    def _eject(self, record: _Record, reason: str, now_s: float) -> None:
        record.reason = reason
        quiet_s = now_s - record.ejected_until_s
        forgiven = record.times if quiet_s == float("inf") else int(quiet_s / self._interval_s)
        record.times = max(0, record.times - forgiven) + 1
        record.failures = 0
        record.ejected_until_s = now_s + min(self._ejection_s * record.times, self._max_ejection_s)
        self._ejections += 1


def small_fleet() -> OutlierEjection:
    """Return one for two or three endpoints: who fails 30 % of its requests over 2 s is left too.

    Not when more than half of them do: then it is what they share that fails.
    """
    return OutlierEjection(
        rates_interval_s=SMALL_FLEET_INTERVAL_S,
        rates=OutlierRates(
            failure_ratio=SMALL_FLEET_FAILURE_RATIO,
            failure_min_endpoints=SMALL_FLEET_MIN_ENDPOINTS,
            failure_min_requests=SMALL_FLEET_MIN_REQUESTS,
            failing_share=SMALL_FLEET_FAILING_SHARE,
            enforce_failure_ratio=True,
        ),
    )
