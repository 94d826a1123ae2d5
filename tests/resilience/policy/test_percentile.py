"""Percentile: within its error of the true one, over the window and not beyond."""

import random
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.policy import percentile
from resilience.policy.percentile import Percentile


def true_percentile(values: list[float], q: float) -> float:
    """Sort and count."""
    return sorted(values)[ceil(q * len(values)) - 1]


def test_defaults() -> None:
    """5 %, 100 µs to 100 s, a minute of six slices."""
    assert (percentile.RELATIVE_ERROR, percentile.MIN_VALUE) == (0.05, 1e-4)
    assert (percentile.MAX_VALUE, percentile.WINDOW_S, percentile.SLICES) == (100.0, 60.0, 6)


def test_nothing_measured_is_0() -> None:
    """Nobody is told a latency that nobody saw."""
    assert Percentile(0.95).value(0.0) == 0.0
    assert repr(Percentile(0.95)) == "<Percentile 0.95 of 0>"


@pytest.mark.paper
@given(
    st.lists(st.floats(2e-4, 90.0), min_size=1, max_size=60),
    st.floats(0.01, 0.99),
    st.sampled_from([0.01, 0.05, 0.2]),
)
def test_the_estimate_is_within_its_error_of_the_true_percentile(
    values: list[float], q: float, error: float
) -> None:
    """DDSketch, section 2.1: at most e × the true value, asked after each value."""
    estimator = Percentile(q, relative_error=error)
    for number, value in enumerate(values, start=1):
        estimator.observe(value, 0.0)
        expected = true_percentile(values[:number], q)
        assert estimator.value(0.0) == pytest.approx(expected, rel=error * 1.000001)


def test_a_hundred_values_give_the_95th() -> None:
    """1 to 100 ms: 95 ms, give or take 5 %; the count is exact."""
    estimator = Percentile(0.95)
    values = [milli / 1000 for milli in range(1, 101)]
    random.Random(1).shuffle(values)
    for value in values:
        estimator.observe(value, 1.0)

    assert estimator.count == 100
    assert estimator.value(1.0) == pytest.approx(0.095, rel=0.05)
    assert estimator.snapshot()["count"] == 100


def test_what_lies_beyond_the_scale_counts_as_its_ends() -> None:
    """A value of 0, a negative one and an hour are kept, at the ends."""
    for value, end in ((0.0, 1e-4), (-1.0, 1e-4), (1e-4, 1e-4), (3600.0, 100.0)):
        estimator = Percentile(0.5)
        estimator.observe(value, 0.0)
        assert estimator.value(0.0) == pytest.approx(end, rel=0.11)


def test_slices_expire_one_at_a_time() -> None:
    """Six of 10 s: what came at 5 s counts until 59.9 and not at 60."""
    estimator = Percentile(0.5)
    estimator.observe(1.0, 5.0)
    estimator.observe(0.01, 15.0)
    estimator.observe(0.01, 59.0)
    assert (estimator.count, round(estimator.value(59.9), 2)) == (3, 0.01)
    assert (estimator.value(60.0) < 0.011, estimator.count) == (True, 2)
    assert (estimator.value(70.0) > 0.0, estimator.count) == (True, 1)

    assert (estimator.value(500.0), estimator.count) == (0.0, 0)


@given(
    st.lists(st.tuples(st.floats(2e-4, 50.0), st.floats(0.0, 9.0)), min_size=1, max_size=50),
    st.booleans(),
)
def test_the_window_is_what_remains_of_it(steps: list[tuple[float, float]], ask: bool) -> None:
    """Counted anew from the values and their times, whether asked in between or not."""
    estimator, now_s, seen = Percentile(0.9, window_s=12.0), 0.0, []
    for value, step_s in steps:
        now_s += step_s
        estimator.observe(value, now_s)
        seen.append((value, int(now_s // 2.0)))
        if ask:
            estimator.value(now_s)
    remembered = [value for value, number in seen if number > int(now_s // 2.0) - 6]

    expected = true_percentile(remembered, 0.9)
    assert estimator.value(now_s) == pytest.approx(expected, rel=0.0500001)
    assert estimator.count == len(remembered)


def test_a_clock_that_goes_back_counts_as_now() -> None:
    """Nothing is lost and nothing counted twice."""
    estimator = Percentile(0.5)
    estimator.observe(1.0, 100.0)
    estimator.observe(1.0, 20.0)

    assert (estimator.count, estimator.value(100.0) > 0.9) == (2, True)


def test_reset_forgets_everything() -> None:
    """And begins anew at any time."""
    estimator = Percentile(0.5)
    estimator.observe(1.0, 100.0)
    estimator.reset(100.0)
    assert (estimator.count, estimator.value(100.0)) == (0, 0.0)
    estimator.observe(0.5, 3.0)

    assert estimator.value(3.0) == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize(
    "arguments",
    [
        {"q": 0.0},
        {"q": 1.0},
        {"relative_error": 0.0},
        {"relative_error": 1.0},
        {"window_s": 0.0},
        {"min_value": 0.0},
        {"min_value": 1.0, "max_value": 1.0},
    ],
)
def test_impossible_settings_are_refused(arguments: dict[str, float]) -> None:
    """The message names the value and the range."""
    name, value = next(iter(arguments.items()))
    with pytest.raises(ValueError, match=f"{name}={value}"):
        Percentile(**{"q": 0.5, **arguments})
