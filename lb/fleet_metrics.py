"""A fleet's figures by backend, for Prometheus.

Labels are names of backends and kinds of failure, nothing that a client sends, so their number is
bounded. Names: Prometheus' "Metric and label naming"; what is counted: ``lb.tallies``.
"""

import time
from collections.abc import Iterable, Iterator

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from kit.metrics import BUCKETS_S
from lb.fleet import Fleet
from lb.policy.view import EJECTED, EndpointView
from lb.tallies import KINDS, Tally


def families(fleets: Iterable[Fleet]) -> Iterator[Metric]:
    """Build them from how the backends stand now."""
    now_s = time.monotonic()
    seen = [
        (one, fleet, fleet.balancer.loads().get(one.name, 0), fleet.tallies.of(one.name))
        for fleet in fleets
        for one in fleet.balancer.look(now_s).endpoints
    ]
    yield _gauge("up", "1 when it may be picked.", [(o, o.is_candidate) for o, _, _, _ in seen])
    yield _gauge(
        "ejected", "1 while it is ejected.", [(o, o.state == EJECTED) for o, _, _, _ in seen]
    )
    yield _gauge("weight", "Its weight.", [(o, o.weight) for o, _, _, _ in seen])
    yield _gauge("in_flight", "Requests, or connections of l4.", [(o, n) for o, _, n, _ in seen])
    yield _gauge(
        "connections",
        "Connections open to it, idle ones too.",
        [(one, fleet.connections_to(one.name)) for one, fleet, _, _ in seen],
    )
    tallies = [(one.name, tally) for one, _, _, tally in seen]
    yield _picks(tallies)
    yield _failures(tallies)
    yield _seconds(tallies)


def _gauge(name: str, words: str, values: Iterable[tuple[EndpointView, float]]) -> Metric:
    family = GaugeMetricFamily(f"squall_backend_{name}", words, labels=("backend",))
    for one, value in values:
        family.add_metric((one.name,), float(value))
    return family


def _picks(tallies: Iterable[tuple[str, Tally]]) -> Metric:
    family = CounterMetricFamily(
        "squall_backend_picks", "Attempts, or connections of l4, sent there.", labels=("backend",)
    )
    for name, tally in tallies:
        family.add_metric((name,), tally.picks)
    return family


def _failures(tallies: Iterable[tuple[str, Tally]]) -> Metric:
    family = CounterMetricFamily(
        "squall_backend_failures", "Attempts that failed, by kind.", labels=("backend", "kind")
    )
    for name, tally in tallies:
        failures = tally.failures()
        for kind in KINDS:  # zeros too: a rate needs its first value
            family.add_metric((name, kind), failures.get(kind, 0))
    return family


def _seconds(tallies: Iterable[tuple[str, Tally]]) -> Metric:
    family = HistogramMetricFamily(
        "squall_backend_seconds", "From the pick to the answer's end.", labels=("backend",)
    )
    for name, tally in tallies:
        total = 0
        buckets = []
        for edge, count in zip((*BUCKETS_S, float("inf")), tally.buckets, strict=True):
            total += count
            buckets.append(("+Inf" if edge == float("inf") else str(edge), total))
        family.add_metric((name,), buckets, sum_value=tally.sum_s)
    return family
