"""Outlier rates: who fails more often than the others do, or simply too often.

Why: five failures in a row are rare for an endpoint that fails half of its requests (a run of five
comes every 62 requests), and an endpoint that fails a tenth never has them. Two looks at each
interval's counts find those: *success rate* compares with the others (below mean - 1.9 standard
deviations), *failure percentage* with a fixed bound. What all do, the first calls normal.
Source: Envoy, outlier_detection.proto and source/common/upstream/outlier_detection_impl.cc,
``successRateEjectionThreshold`` (whose comment's example, rates 50, 100, 100, 100, 100 with factor
1.9 give 52, is a test) and ``processSuccessRateEjections``; the population's deviation.
Envoy detects by failure percentage but doesn't eject unless told to (enforcing 0 %): so here.
Added: a limit to how many may fail too often and be outliers still (``failing_share``). When most
do, it is what they share that fails, and to leave one of them helps nobody. Envoy has none.
Not handled: an interval in which nobody asked anything (it ends with the next result); errors of
the network apart from answers (``split_external_local_origin_errors``).
"""

from collections.abc import Collection, Iterable, Mapping
from math import sqrt
from typing import NamedTuple

from resilience.policy.contract import Outcome

DEFAULT_STDEV_FACTOR = 1.9  # Envoy: success_rate_stdev_factor 1900
DEFAULT_SUCCESS_MIN_ENDPOINTS = 5  # Envoy: success_rate_minimum_hosts
DEFAULT_SUCCESS_MIN_REQUESTS = 100  # Envoy: success_rate_request_volume
DEFAULT_FAILURE_RATIO = 0.85  # Envoy: failure_percentage_threshold 85 %
DEFAULT_FAILURE_MIN_ENDPOINTS = 5  # Envoy: failure_percentage_minimum_hosts
DEFAULT_FAILURE_MIN_REQUESTS = 50  # Envoy: failure_percentage_request_volume
DEFAULT_ENFORCE_SUCCESS_RATE = True  # Envoy: enforcing_success_rate 100 %
DEFAULT_ENFORCE_FAILURE_RATIO = False  # Envoy: enforcing_failure_percentage 0 %

DEFAULT_FAILING_SHARE = 1.0  # Envoy: none

SUCCESS_RATE, FAILURE_PERCENTAGE = "SUCCESS_RATE", "FAILURE_PERCENTAGE"


class Outlier(NamedTuple):
    """An endpoint found out.

    Args:
        endpoint: Its name.
        reason: ``SUCCESS_RATE`` or ``FAILURE_PERCENTAGE``.
        success_ratio: Share of its requests that succeeded, 0..1.
        limit: The success ratio it was held against.
        is_enforced: Whether it should be ejected, or only counted.
    """

    endpoint: str
    reason: str
    success_ratio: float
    limit: float
    is_enforced: bool


def success_rate_limit(
    ratios: Collection[float], stdev_factor: float = DEFAULT_STDEV_FACTOR
) -> float:
    """Return the success ratio below which one of these is an outlier; may be below 0."""
    mean = sum(ratios) / len(ratios)
    variance = sum((ratio - mean) ** 2 for ratio in ratios) / len(ratios)
    return mean - stdev_factor * sqrt(variance)


class OutlierRates:
    """Count one interval's results by endpoint, and name the outliers at its end.

    Args:
        stdev_factor: Standard deviations below the mean, > 0.
        success_min_endpoints: Endpoints with enough requests below which rates aren't compared.
        success_min_requests: Requests in an interval for an endpoint's rate to be compared.
        failure_ratio: Share of failures, 0..1, at which an endpoint fails too often.
        failure_min_endpoints: As above, for the share of failures.
        failure_min_requests: As above, for the share of failures.
        failing_share: Share of the endpoints looked at, above 0, at most 1: when more of them fail
            too often, none of them is to be ejected for it.
        enforce_success_rate: Whether who is below the others is to be ejected.
        enforce_failure_ratio: Whether who fails too often is to be ejected.

    Each result is O(1), the end of an interval O(endpoints).
    """

    def __init__(
        self,
        *,
        stdev_factor: float = DEFAULT_STDEV_FACTOR,
        success_min_endpoints: int = DEFAULT_SUCCESS_MIN_ENDPOINTS,
        success_min_requests: int = DEFAULT_SUCCESS_MIN_REQUESTS,
        failure_ratio: float = DEFAULT_FAILURE_RATIO,
        failure_min_endpoints: int = DEFAULT_FAILURE_MIN_ENDPOINTS,
        failure_min_requests: int = DEFAULT_FAILURE_MIN_REQUESTS,
        failing_share: float = DEFAULT_FAILING_SHARE,
        enforce_success_rate: bool = DEFAULT_ENFORCE_SUCCESS_RATE,
        enforce_failure_ratio: bool = DEFAULT_ENFORCE_FAILURE_RATIO,
    ) -> None:
        if stdev_factor <= 0 or not 0 < failure_ratio <= 1:
            raise ValueError(
                "stdev_factor must be above 0, failure_ratio above 0 and at most 1: "
                f"{stdev_factor}, {failure_ratio}"
            )
        self._stdev_factor = stdev_factor
        self._success_min = (max(1, success_min_endpoints), max(1, success_min_requests))
        self._failure_ratio = failure_ratio
        self._failure_min = (max(1, failure_min_endpoints), max(1, failure_min_requests))
        if not 0 < failing_share <= 1:
            raise ValueError(f"failing_share must be above 0 and at most 1: {failing_share}")
        self._failing_share = failing_share
        self._enforce_success = enforce_success_rate
        self._enforce_failure = enforce_failure_ratio
        self._counts: dict[str, list[int]] = {}

    def set_endpoints(self, names: Iterable[str]) -> None:
        """Know these; those that stay keep their counts."""
        self._counts = {name: self._counts.get(name) or [0, 0] for name in names}

    def on_result(self, endpoint: str, outcome: Outcome) -> None:
        """Count OK and FAILED; the other outcomes say nothing of this endpoint."""
        counts = self._counts.get(endpoint)
        if counts is not None and outcome in (Outcome.OK, Outcome.FAILED):
            counts[0] += outcome is Outcome.OK
            counts[1] += 1

    def end_interval(self, skip: Collection[str] = ()) -> list[Outlier]:
        """Return this interval's outliers and begin the next interval.

        Those to be ejected come first, of them the worst; one that both looks found comes twice.

        Args:
            skip: Endpoints that are out already: neither judged nor compared with.
        """
        counts = {name: tuple(pair) for name, pair in self._counts.items() if name not in skip}
        self.reset()
        found = self._below_the_others(_ratios(counts, self._success_min[1]))
        found += self._failing_too_often(_ratios(counts, self._failure_min[1]))
        return sorted(found, key=lambda outlier: (not outlier.is_enforced, outlier.success_ratio))

    def reset(self) -> None:
        """Forget the interval's counts."""
        self._counts = {name: [0, 0] for name in self._counts}

    def _below_the_others(self, ratios: Mapping[str, float]) -> list[Outlier]:
        if len(ratios) < self._success_min[0]:
            return []
        limit = success_rate_limit(ratios.values(), self._stdev_factor)
        return [
            Outlier(name, SUCCESS_RATE, ratio, limit, self._enforce_success)
            for name, ratio in ratios.items()
            if ratio < limit
        ]

    def _failing_too_often(self, ratios: Mapping[str, float]) -> list[Outlier]:
        if len(ratios) < self._failure_min[0]:
            return []
        failing = {n: ratio for n, ratio in ratios.items() if 1.0 - ratio >= self._failure_ratio}
        is_enforced = self._enforce_failure and len(failing) <= self._failing_share * len(ratios)
        limit = 1.0 - self._failure_ratio
        return [
            Outlier(name, FAILURE_PERCENTAGE, ratio, limit, is_enforced)
            for name, ratio in failing.items()
        ]


def _ratios(counts: Mapping[str, tuple[int, ...]], min_requests: int) -> dict[str, float]:
    return {name: ok / total for name, (ok, total) in counts.items() if total >= min_requests}
