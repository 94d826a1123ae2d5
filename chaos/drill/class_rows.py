"""What became of each class of requests in an arm's fault phase: one table row per class.

Why: where classes differ, a phase's totals hide who was refused. Two arms may serve as many, and
one of them the wrong ones.
Not handled: the other phases, in which all are served.
"""

from collections import Counter
from typing import Any

from chaos.drill.metrics import Arrivals, percentile_ms
from chaos.drill.schema import FAULT

KINDS = ("in_time", "late", "rejected", "expired", "failed")
CLASS_COLUMNS = ("name", "sent", *KINDS, "p50_ms", "p95_ms")


def class_rows(arrivals: Arrivals) -> list[dict[str, Any]]:
    """Return a row for each class or route that was sent under the fault, by name.

    Nothing where there is only one: the phase's own row says it.
    """
    names = sorted({record.route for record in arrivals.of(FAULT)})
    return [_class_row(arrivals, name) for name in names] if len(names) > 1 else []


def _class_row(arrivals: Arrivals, name: str) -> dict[str, Any]:
    records = arrivals.of(FAULT, name)
    kinds = Counter(record.kind(arrivals.budget_s) for record in records)
    latencies_ms = sorted(
        1000 * record.latency_s
        for record in records
        if record.is_success and record.latency_s is not None
    )
    return {
        "name": name,
        "sent": sum(record.is_sent for record in records),
        **{kind: kinds[kind] for kind in KINDS},
        "reasons": dict(Counter(record.reason for record in records if record.reason)),
        "p50_ms": percentile_ms(latencies_ms, 0.5),
        "p95_ms": percentile_ms(latencies_ms, 0.95),
    }
