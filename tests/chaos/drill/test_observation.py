"""Deviations: shares, counts, ratios, batches."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.drill.observation import Observation, batch_sd, count, ratio, share

pytestmark = pytest.mark.unit


@given(st.integers(0, 1000), st.integers(1, 1000))
def test_shares_are_never_certain(hits: int, more: int) -> None:
    """All of many has a deviation too, and it shrinks with what it rests on."""
    few, many = share(hits, hits + more), share(10 * hits, 10 * (hits + more))

    assert few.sd is not None
    assert many.sd is not None
    assert 0 < many.sd < few.sd


def test_share_of_nothing_is_nothing() -> None:
    """Neither value nor deviation."""
    assert share(0, 0) == Observation(None)


def test_counts_are_poisson_and_none_is_uncertain_too() -> None:
    """The root of one more."""
    assert count(24) == Observation(24.0, 5.0, 24)
    assert count(0) == Observation(0.0, 1.0, 0)


def test_ratio_adds_relative_deviations_in_squares() -> None:
    """8 ± 0.8 over 10 ± 1 is 0.8 ± 0.8 x 0.141."""
    seen = ratio(Observation(8.0, 0.8, 80), Observation(10.0, 1.0, 50))

    assert seen.value == pytest.approx(0.8)
    assert seen.sd == pytest.approx(0.8 * math.hypot(0.1, 0.1))
    assert seen.samples == 80


def test_ratio_of_none_keeps_the_deviation_of_none() -> None:
    """0 ± 0.5 over 10 is 0 ± 0.05; over nothing it is nothing."""
    assert ratio(Observation(0.0, 0.5), Observation(10.0, 1.0)).sd == pytest.approx(0.05)
    assert ratio(Observation(5.0, 1.0), Observation(0.0, 1.0)).value is None
    assert ratio(Observation(None), Observation(1.0, 1.0)).value is None


def test_batches_that_agree_spread_nothing() -> None:
    """A tenth in every second is a tenth for sure; half the seconds all and half none isn't."""
    assert batch_sd([1.0] * 10, [10.0] * 10) == pytest.approx(0.0)
    assert batch_sd([10.0, 0.0] * 5, [10.0] * 10) == pytest.approx(0.527 / math.sqrt(10), rel=0.01)
    assert batch_sd([1.0], [10.0]) == 0.0
    assert batch_sd([0.0, 0.0], [0.0, 0.0]) == 0.0
