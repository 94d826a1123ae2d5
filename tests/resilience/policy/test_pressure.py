"""Pressure: the largest of four signals."""

import pytest

from resilience.policy import pressure
from resilience.policy.pressure import combine


def test_lag_is_full_at_50_ms() -> None:
    """Fifty milliseconds of loop lag are as bad as a whole core."""
    assert pressure.LAG_AT_FULL_S == 0.05
    assert combine(0.0, 0.05, 0.0) == 1.0


def test_a_queue_is_full_at_half_a_second() -> None:
    """Waiting for half of a 1 s budget counts as full."""
    assert pressure.WAIT_AT_FULL_S == 0.5
    assert combine(0.0, 0.0, 0.0, 0.5) == 1.0


@pytest.mark.parametrize(
    ("cpu", "lag_s", "busy", "expected"),
    [(0.9, 0.0, 0.1, 0.9), (0.1, 0.1, 0.2, 2.0), (0.1, 0.001, 0.95, 0.95), (0, 0, 0, 0)],
)
def test_the_worst_signal_counts(cpu: float, lag_s: float, busy: float, expected: float) -> None:
    """Any one of them alone can be the bottleneck; adding them would invent one."""
    assert combine(cpu, lag_s, busy) == expected


def test_a_clock_gone_wrong_is_no_negative_pressure() -> None:
    """A lag below zero counts as none."""
    assert combine(0.0, -1.0, 0.0) == 0.0
