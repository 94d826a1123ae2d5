"""Panic threshold: when too many endpoints look dead, doubt the looking and use all of them.

Why: if most checks fail at once, the checker, its network or one shared dependency is the likelier
culprit; and if they are right, the few that are left would drown in the whole load.
Source: Envoy, panic_threshold.rst: below 50 % healthy, balance over all hosts.
With one priority level Envoy's other condition, total availability under 100 % with an
overprovisioning factor of 1.4, follows from the first: 1.4 x 50 % is 70 %.
Not handled: several priority levels; failing traffic on panic instead.
"""

DEFAULT_PANIC_THRESHOLD = 0.5  # Envoy: healthy_panic_threshold 50 %


def is_panicking(healthy: int, total: int, threshold: float = DEFAULT_PANIC_THRESHOLD) -> bool:
    """Whether the share of healthy endpoints is too small to be believed.

    Args:
        healthy: Endpoints believed healthy, 0 <= healthy <= total.
        total: Endpoints known. None at all is no panic: there is nothing to fall back on.
        threshold: Share of ``total`` below which it panics, 0..1; 0 never panics.
    """
    return total > 0 and healthy < threshold * total
