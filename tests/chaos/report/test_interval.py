"""Intervals against published figures and plain numbers."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.report.interval import (
    CONFIDENCE,
    Estimate,
    batch_mean,
    difference,
    percentile,
    share,
    student_t,
)

pytestmark = pytest.mark.unit


def test_confidence_is_the_usual_one() -> None:
    """0.95, as the page says."""
    assert CONFIDENCE == 0.95


@pytest.mark.paper
def test_share_has_the_interval_of_newcombes_example() -> None:
    """Newcombe 1998a, table I: 81 of 263 has Wilson's interval 0.2553 to 0.3662."""
    found = share(81, 263)

    assert found is not None
    assert (found.low, found.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)


@pytest.mark.paper
def test_difference_of_shares_is_newcombes_method_10() -> None:
    """Newcombe 1998b, table II (a): 56/70 − 48/80 has the interval 0.0524 to 0.3339."""
    a, b = share(48, 80), share(56, 70)

    assert a is not None
    assert b is not None
    found = difference(a, b)
    assert found.value == pytest.approx(0.2)
    assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert found.excludes_zero


def test_share_of_nothing_is_none() -> None:
    """No arrivals, no share."""
    assert share(0, 0) is None


@pytest.mark.parametrize(
    ("freedom", "table"),
    [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (9, 2.262), (19, 2.093), (120, 1.980)],
)
def test_student_t_agrees_with_the_printed_table(freedom: int, table: float) -> None:
    """Within 0.3 % of the printed two-sided 95 % quantiles."""
    assert student_t(freedom) == pytest.approx(table, rel=0.003)


def test_batch_mean_of_equal_batches_is_certain() -> None:
    """Without spread the interval is the mean itself."""
    assert batch_mean([4.0, 4.0, 4.0]) == Estimate(4.0, 4.0, 4.0, 3)


def test_batch_mean_of_one_batch_is_none() -> None:
    """One batch says nothing of the spread."""
    assert batch_mean([4.0]) is None


def test_batch_mean_uses_student_not_normal() -> None:
    """1, 2, 3: 2 ± 4.303 / √3."""
    found = batch_mean([1.0, 2.0, 3.0])

    assert found is not None
    assert found.high - found.value == pytest.approx(4.303 / 3**0.5, rel=0.001)


def test_percentile_takes_its_interval_from_the_order() -> None:
    """Of 1 to 100 the median is 50, and ranks 40 to 61 hold it (the textbook's 95 %)."""
    found = percentile([float(n) for n in range(1, 101)], 0.5)

    assert found == Estimate(50.0, 40.0, 61.0, 100)


def test_percentile_of_too_few_samples_has_an_open_end() -> None:
    """The p99 of 100 samples has no upper end among them; nothing has no percentile."""
    found = percentile([float(n) for n in range(100)], 0.99)

    assert found is not None
    assert (found.value, found.high) == (98.0, math.inf)
    assert not difference(found, found).is_bounded
    assert percentile([], 0.99) is None


def test_an_open_end_can_still_exclude_zero() -> None:
    """Far above: the lower end is known, the upper isn't."""
    a = Estimate(10.0, 9.0, 11.0, 500)
    b = Estimate(90.0, 80.0, math.inf, 50)

    assert difference(a, b).excludes_zero


def test_difference_within_chance_does_not_exclude_zero() -> None:
    """Two equal shares."""
    a = share(50, 100)

    assert a is not None
    assert not difference(a, a).excludes_zero


@given(st.integers(0, 300), st.integers(1, 300))
def test_an_interval_holds_its_value(hits: int, total: int) -> None:
    """Also at 0 and 1, where rounding could step over."""
    found = share(min(hits, total), total)

    assert found is not None
    assert 0.0 <= found.low <= found.value <= found.high <= 1.0


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    """Of 1,000 differences of seeded shares 0.3 and 0.2 between 93 and 97 % hold −0.1."""
    chance = random.Random(7)
    covered = 0
    for _ in range(1000):
        a = share(sum(chance.random() < 0.3 for _ in range(150)), 150)
        b = share(sum(chance.random() < 0.2 for _ in range(120)), 120)
        assert a is not None
        assert b is not None
        found = difference(a, b)
        covered += found.low <= -0.1 <= found.high

    assert 930 <= covered <= 970
