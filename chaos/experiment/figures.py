"""Figures of one run of a cell: those of drills, and percentiles of what succeeded. Pure."""

from collections.abc import Mapping

from chaos.drill.metrics import METRICS, Arrivals, observe, percentile_ms
from chaos.drill.observation import NOTHING_SEEN, Observation
from chaos.drill.schema import FAULT, Hypothesis
from chaos.experiment.schema import Measure

PERCENTILES: Mapping[str, float] = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}
NEEDS_ANOTHER_PHASE = frozenset({"goodput_of_steady", "seconds_to_recover", "command_seconds"})
MEASURES = (*sorted(set(METRICS) - NEEDS_ANOTHER_PHASE - {"watchdog_named"}), *PERCENTILES)


def figure(measure: Measure, arrivals: Arrivals) -> Observation:
    """Compute one measure of a run.

    A percentile is of the successes' milliseconds from when they were due, and has no deviation of
    its own: how it varies is seen in the repeats.
    """
    of = PERCENTILES.get(measure.metric)
    if of is None:
        hypothesis = Hypothesis(
            name=measure.title,
            metric=measure.metric,
            bound=">= 0",
            phase="fault",
            route=measure.route,
            within_ms=measure.within_ms,
            of=measure.of,
            at=measure.at,
        )
        return observe(hypothesis, arrivals)
    records = arrivals.of(FAULT, measure.route)
    latencies_ms = sorted(
        record.latency_s * 1000
        for record in records
        if record.is_success and record.latency_s is not None
    )
    value = percentile_ms(latencies_ms, of)
    return NOTHING_SEEN if value is None else Observation(value, None, len(latencies_ms))
