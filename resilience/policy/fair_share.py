"""Fair share: divide a capacity among tenants so that nobody's want takes from another's due.

Why: in proportion to demand, whoever asks for most gets most: shouting pays. In equal parts, what a
quiet tenant leaves is lost. Weighted max-min gives everybody what he asks for up to his weighted
part, and divides what is left over among the rest, again and again until it is used up. Think of
water poured into vessels as wide as the weights and as high as demand / weight: it fills all to
one level, and the small ones overflow into the others.

    share = min(demand, level * weight), with the level at which the shares use up the capacity

Source: Bertsekas and Gallager, Data Networks, section 6.5.2; Demers, Keshav and Shenker, "Analysis
and Simulation of a Fair Queueing Algorithm" (SIGCOMM 1989); youtube/doorman:doc/algorithms.md
(FAIR_SHARE), whose cases are tests here. Jain's index: DEC-TR-301 (1984).
Unlike Doorman the filling is exact, not two rounds of it.
Not handled: several resources at once (that is dominant resource fairness).
"""

from collections.abc import Iterable, Mapping


def fair_shares(
    demands: Mapping[str, float], weights: Mapping[str, float], capacity: float
) -> dict[str, float]:
    """Divide the capacity. O(n log n) for n tenants.

    Args:
        demands: What each tenant asks for, >= 0, in the unit of ``capacity``.
        weights: How much each is due in relation to others, > 0; 1 for who is not named.
        capacity: What there is, >= 0.

    Returns:
        A share for each tenant of ``demands``, at most his demand. Their sum is the smaller of the
        capacity and all demands.

    Raises:
        ValueError: When a demand or the capacity is negative, or a weight isn't above 0.
    """
    if not capacity >= 0.0:
        raise ValueError(f"capacity={capacity} must be >= 0")
    levels: list[tuple[float, str, float]] = []  # (level at which he is served in full, ...)
    for tenant, demand in demands.items():
        weight = weights.get(tenant, 1.0)
        if not (demand >= 0.0 and weight > 0.0):
            raise ValueError(f"{tenant!r}: demand={demand} must be >= 0, weight={weight} above 0")
        levels.append((demand / weight, tenant, weight))
    levels.sort()
    shares: dict[str, float] = {}
    weight_left = sum(weight for _, _, weight in levels)
    for index, (_, tenant, weight) in enumerate(levels, 1):
        due = capacity if index == len(levels) else capacity * weight / weight_left
        shares[tenant] = min(demands[tenant], due)
        capacity -= shares[tenant]
        weight_left -= weight
    return shares


def jain_index(values: Iterable[float]) -> float:
    """Say how even values are: 1 when all are equal, 1 / n when one has everything.

    Args:
        values: >= 0 each, in fairness already divided by the weights; all 0 is even.
    """
    listed = list(values)
    squares = sum(value * value for value in listed)
    return sum(listed) ** 2 / (len(listed) * squares) if squares else 1.0
