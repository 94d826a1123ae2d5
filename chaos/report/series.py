"""From arrivals to what is drawn: counts and percentiles per second, and the percentile curve.

Pure. An arrival belongs to the second in which it was *due*, so that a stall shows where it began
and not where it ended. Latencies are of successes only, since quick refusals would flatter them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chaos.drill.metrics import Arrivals, percentile_ms
from chaos.drill.records import Record

ANSWERED, LATE, REJECTED, FAILED = "answered", "late", "rejected", "failed"
KINDS = (ANSWERED, LATE, REJECTED, FAILED)
PERCENTILES: Mapping[str, float] = {"p50": 0.50, "p95": 0.95, "p99": 0.99}
CURVE_POINTS_PER_DECADE = 20  # finer than a line 400 units wide can show


@dataclass(frozen=True, slots=True)
class Seconds:
    """An arm, second by second.

    Args:
        counts: Per kind of KINDS one number per second; they add up to what was due.
        latency_ms: Per name of PERCENTILES one figure per second; None where nothing succeeded.
    """

    counts: Mapping[str, Sequence[int]]
    latency_ms: Mapping[str, Sequence[float | None]]

    @property
    def length(self) -> int:
        """How many seconds."""
        return len(self.counts[ANSWERED])


def per_second(arrivals: Arrivals, seconds: float) -> Seconds:
    """Sort arrivals into the seconds of a schedule."""
    length = max(1, math.ceil(seconds))
    buckets: list[list[Record]] = [[] for _ in range(length)]
    for record in arrivals.records:
        buckets[min(length - 1, int(record.scheduled_s))].append(record)
    kinds = [[kind_of(record, arrivals.budget_s) for record in bucket] for bucket in buckets]
    ordered = [latencies_ms(bucket) for bucket in buckets]
    return Seconds(
        {kind: [bucket.count(kind) for bucket in kinds] for kind in KINDS},
        {name: [percentile_ms(of, share) for of in ordered] for name, share in PERCENTILES.items()},
    )


def kind_of(record: Record, budget_s: float) -> str:
    """Say in one of four words how an arrival ended; expired and unsent ones failed."""
    kind = record.kind(budget_s)
    if kind == "in_time":
        return ANSWERED
    return kind if kind in (LATE, REJECTED) else FAILED


def latencies_ms(records: Sequence[Record]) -> list[float]:
    """Return the successes' latencies since they were due, in order."""
    return sorted(
        record.latency_s * 1000
        for record in records
        if record.is_success and record.latency_s is not None
    )


def percentile_curve(ordered_ms: Sequence[float]) -> list[tuple[float, float]]:
    """Return (1/(1-percentile), milliseconds) from the median's side to the last sample.

    Args:
        ordered_ms: Ascending; the curve ends where one sample is left beyond the percentile.
    """
    total = len(ordered_ms)
    if total == 0:
        return []
    steps = max(1, math.ceil(math.log10(total) * CURVE_POINTS_PER_DECADE)) if total > 1 else 0
    tails = [min(float(total), 10 ** (step / CURVE_POINTS_PER_DECADE)) for step in range(steps + 1)]
    return [(tail, ordered_ms[_rank(total, tail)]) for tail in tails]


def _rank(total: int, tail: float) -> int:
    return min(total - 1, max(0, math.ceil((1 - 1 / tail) * total) - 1 + (tail >= total)))
