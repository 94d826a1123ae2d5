"""Panic: below half healthy, everybody is used."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.policy.panic import DEFAULT_PANIC_THRESHOLD, is_panicking
from tests.lb.policy.patience import PATIENT

pytestmark = pytest.mark.unit


def test_default_is_envoys() -> None:
    """50 %."""
    assert DEFAULT_PANIC_THRESHOLD == 0.5


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


@pytest.mark.property
@PATIENT
@given(st.integers(0, 100), st.integers(1, 100), st.floats(0, 1))
def test_one_more_healthy_never_begins_a_panic(healthy: int, total: int, threshold: float) -> None:
    """Panic is monotone: more healthy endpoints never cause it."""
    healthy = min(healthy, total)
    if not is_panicking(healthy, total, threshold):
        assert not is_panicking(min(total, healthy + 1), total, threshold)
    assert not is_panicking(total, total, threshold)
