"""Panic: below half healthy, everybody is used."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.policy.panic import (
    DEFAULT_PANIC_THRESHOLD,
    OVERPROVISIONING_FACTOR,
    availability,
    is_panicking,
)

pytestmark = pytest.mark.unit


def test_defaults_are_envoys() -> None:
    """50 % and 1.4."""
    assert (DEFAULT_PANIC_THRESHOLD, OVERPROVISIONING_FACTOR) == (0.5, 1.4)


@pytest.mark.parametrize(
    ("healthy", "total", "panics"),
    [
        (2, 2, False),
        (1, 2, False),
        (0, 2, True),
        (1, 3, True),
        (2, 3, False),
        (0, 1, True),
        (0, 0, False),
    ],
)
def test_panic_begins_below_the_threshold(healthy: int, total: int, panics: bool) -> None:
    """Exactly half is no panic, less is; nobody at all is none."""
    assert is_panicking(healthy, total) is panics


@pytest.mark.paper
@pytest.mark.parametrize(
    ("healthy_percent", "load_percent"),
    [(100, 100), (72, 100), (71, 99), (50, 70), (25, 35), (0, 0)],
)
def test_availability_is_envoys_formula(healthy_percent: int, load_percent: int) -> None:
    """Envoy, priority.rst, "Overprovisioning Factor": min(100, 1.4 x healthy), rounded down."""
    assert int(round(availability(healthy_percent, 100) * 100, 6)) == load_percent


def test_nobody_is_available_of_nobody() -> None:
    """No endpoints take no load."""
    assert availability(0, 0) == 0.0


@pytest.mark.property
@given(st.integers(0, 100), st.integers(1, 100), st.floats(0, 1))
def test_one_more_healthy_never_begins_a_panic(healthy: int, total: int, threshold: float) -> None:
    """Panic is monotone: more healthy endpoints never cause it."""
    healthy = min(healthy, total)
    if not is_panicking(healthy, total, threshold):
        assert not is_panicking(min(total, healthy + 1), total, threshold)
    assert not is_panicking(total, total, threshold)
