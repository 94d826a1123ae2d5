"""Fairness: does every class of requests get what is its due? Pure.

    x_i = served_i / due_i        J = (Σ x_i)² / (n × Σ x_i²)

J is 1 when all get the same part of what is their due, and 1/n when one gets everything. Due to a
class is its max-min fair share of the capacity: all of what it asks for while that is no more than
an equal part, and an equal part of what the others leave.
Source: Jain, Chiu & Hawe, "A Quantitative Measure of Fairness and Discrimination" (DEC-TR-301,
1984); max-min: Bertsekas & Gallager, "Data Networks", 6.5.2.
Not handled: weights.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from chaos.drill.observation import NOTHING_SEEN, Observation
from chaos.drill.records import Record


def max_min_shares(offered_rps: Mapping[str, float], capacity_rps: float) -> dict[str, float]:
    """Return what is due to each, in the unit of the capacity.

    Args:
        offered_rps: What each asks for, >= 0.
        capacity_rps: What there is.
    """
    left_rps, shares = capacity_rps, {}
    by_want = sorted(offered_rps, key=lambda name: offered_rps[name])
    for index, name in enumerate(by_want):
        shares[name] = min(offered_rps[name], left_rps / (len(by_want) - index))
        left_rps -= shares[name]
    return shares


def jain(parts: Sequence[float]) -> float:
    """Return Jain's index of what each got of its due, 1/n..1; 1 when nobody got anything."""
    squares = sum(part * part for part in parts)
    return sum(parts) ** 2 / (len(parts) * squares) if squares else 1.0


def jain_index(
    records: Sequence[Record], seconds: float, budget_s: float, capacity_rps: float
) -> Observation:
    """Return Jain's index over the classes of some arrivals, by what was answered in time.

    Args:
        records: One phase's.
        seconds: How long it is.
        budget_s: In time means within this.
        capacity_rps: Declared.

    The deviation is the delta method's: each class' count in time is binomial of its arrivals (and
    its variance at least half of Poisson's), and J moves with it by its partial derivative. Where
    all are served alike the derivative is 0; there it is what J misses 1 by on average, the mean
    relative variance.
    """
    offered = Counter(record.route for record in records)
    served = Counter(record.route for record in records if record.is_within(budget_s))
    if not offered:
        return NOTHING_SEEN
    due = max_min_shares({name: count / seconds for name, count in offered.items()}, capacity_rps)
    parts = {name: served[name] / (due[name] * seconds) for name in offered}
    value = jain(list(parts.values()))
    total, squares = sum(parts.values()), sum(part * part for part in parts.values())
    variance = curvature = 0.0
    for name, part in parts.items():
        share = served[name] / offered[name]
        spread = (served[name] + 1) * max(0.5, 1 - share) / (due[name] * seconds) ** 2
        slope = 2 * value * (1 / total - part / squares) if squares else 0.0
        variance += slope * slope * spread
        curvature += spread
    least = curvature / (total / len(parts)) ** 2 / len(parts) if total else 1.0
    return Observation(value, max(math.sqrt(variance), least), len(records))
