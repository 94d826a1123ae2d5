"""Metrics: counters kept as plain numbers, turned into Prometheus' text when somebody scrapes.

Why: a request must not pay for a page that nobody reads. Observing one costs a dictionary look-up
and a bisect; prometheus_client, with a registry of its own per process, formats at the scrape.
Source: Prometheus, "Writing client libraries"; names follow its "Metric and label naming".
"""

import bisect
from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from kit.recorder import RequestSummary
from resilience.policy.contract import Snapshot

# The lab's budgets end at 1 s and its stations begin at 5 ms; Prometheus' defaults, both ends cut.
BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5)
MAX_SERIES = 500  # routes are templates; more than this is a bug that must not eat the memory
CONTENT_TYPE = CONTENT_TYPE_LATEST

Gauges = Callable[[], Mapping[str, float]]
Families = Callable[[], Iterable[Metric]]


class Metrics(Collector):
    """What one process tells Prometheus.

    Args:
        policies: Returns each policy's snapshot, by name; read at each scrape.
    """

    def __init__(self, policies: Callable[[], Mapping[str, Snapshot]]) -> None:
        self._read_policies = policies
        self._gauges: list[Gauges] = []
        self._families: list[Families] = []
        self._counts: dict[tuple[str, str], int] = {}
        self._durations: dict[str, list[float]] = {}
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)

    def gauges(self, read: Gauges) -> None:
        """Add gauges: full metric name to value, read at each scrape."""
        self._gauges.append(read)

    def families(self, read: Families) -> None:
        """Add families with labels of their own, read at each scrape; their labels are bounded."""
        self._families.append(read)

    def observe(self, summary: RequestSummary) -> None:
        """Count a request that has ended."""
        key = (summary.route, str(summary.code))
        if key not in self._counts and len(self._counts) >= MAX_SERIES:
            key = ("other", key[1])
        self._counts[key] = self._counts.get(key, 0) + 1
        sums = self._durations.get(key[0])
        if sums is None:
            sums = self._durations[key[0]] = [0.0] * (len(BUCKETS_S) + 2)
        duration_s = summary.duration_ms / 1000.0
        sums[bisect.bisect_left(BUCKETS_S, duration_s)] += 1
        sums[-1] += duration_s

    def text(self) -> bytes:
        """Return the page that Prometheus scrapes."""
        return generate_latest(self.registry)

    def collect(self) -> Iterator[Metric]:
        """Build the families; called by the registry."""
        yield self._requests()
        yield self._seconds()
        yield from self._policies()
        for read in self._gauges:
            for name, value in read().items():
                yield GaugeMetricFamily(name, name.replace("_", " "), value=value)
        for families in self._families:
            yield from families()

    def _requests(self) -> Metric:
        family = CounterMetricFamily(
            "squall_requests", "Requests that ended.", labels=("route", "code")
        )
        for (route, code), count in self._counts.items():
            family.add_metric((route, code), count)
        return family

    def _seconds(self) -> Metric:
        family = HistogramMetricFamily(
            "squall_request_seconds", "From arrival to the end of the answer.", labels=("route",)
        )
        for route, sums in self._durations.items():
            total = 0.0
            buckets = []
            for edge, count in zip((*BUCKETS_S, float("inf")), sums[:-1], strict=True):
                total += count
                buckets.append(("+Inf" if edge == float("inf") else str(edge), total))
            family.add_metric((route,), buckets, sum_value=sums[-1])
        return family

    def _policies(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(
            "squall_policy", "A policy's own figures.", labels=("policy", "figure")
        )
        for name, snapshot in self._read_policies().items():
            for figure, value in snapshot.items():
                if isinstance(value, int | float):
                    family.add_metric((name, figure), float(value))
        yield family
