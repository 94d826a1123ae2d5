"""The choice of videos."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.zipf import DEFAULT_EXPONENT, DEFAULT_VIDEOS, Zipf

pytestmark = pytest.mark.unit


def test_defaults_are_the_documented_ones() -> None:
    """200 videos as the seed writes them, exponent 1."""
    assert (DEFAULT_VIDEOS, DEFAULT_EXPONENT) == (200, 1.0)


def test_first_of_three_is_chosen_six_elevenths_of_the_time() -> None:
    """With exponent 1 the weights are 1, 1/2, 1/3: shares 6/11, 3/11, 2/11."""
    rng, zipf = random.Random(1), Zipf(3, 1.0)
    counts = [0, 0, 0]

    for _ in range(11_000):
        counts[zipf.choose(rng) - 1] += 1

    assert counts == pytest.approx([6000, 3000, 2000], rel=0.05)


def test_exponent_zero_is_uniform() -> None:
    """Without skew each of four gets a quarter."""
    rng, zipf = random.Random(1), Zipf(4, 0.0)
    counts = [0] * 4

    for _ in range(8000):
        counts[zipf.choose(rng) - 1] += 1

    assert counts == pytest.approx([2000] * 4, rel=0.1)


@given(st.integers(1, 300), st.floats(0, 3), st.integers())
def test_choice_is_always_a_rank(count: int, exponent: float, seed: int) -> None:
    """Every choice lies in 1..count."""
    zipf, rng = Zipf(count, exponent), random.Random(seed)

    assert all(1 <= zipf.choose(rng) <= count for _ in range(20))


@pytest.mark.parametrize(("count", "exponent"), [(0, 1.0), (5, -1.0)])
def test_impossible_parameters_are_refused(count: int, exponent: float) -> None:
    """No things, or a negative exponent, is a ValueError."""
    with pytest.raises(ValueError, match="must"):
        Zipf(count, exponent)
