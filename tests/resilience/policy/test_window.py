"""Rolling window: buckets come, are summed, and are forgotten on time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.policy.window import RollingWindow


def test_counts_within_the_window_are_remembered_and_older_ones_forgotten() -> None:
    """Three buckets of 1 s remember 2 to 3 s."""
    window = RollingWindow(3, 1.0)
    window.add(1, 10.0, 0.5)
    window.add(2, 20.0, 1.5)

    window.advance(2.9)
    assert (window.count, window.total) == (3, 30.0)
    window.advance(3.0)
    assert (window.count, window.total) == (2, 20.0)
    window.advance(100.0)
    assert (window.count, window.total) == (0, 0.0)


def test_finished_buckets_leave_out_the_one_being_filled() -> None:
    """What is still growing is no maximum yet."""
    window = RollingWindow(4, 1.0)
    for now_s, count in ((0.1, 5), (1.1, 3), (2.1, 9)):
        window.add(count, 0.0, now_s)

    assert sorted(count for count, _ in window.finished()) == [0, 3, 5]


def test_taking_back_undoes_an_add_until_its_bucket_is_forgotten() -> None:
    """A refund goes to the bucket where the request was counted, or nowhere."""
    window = RollingWindow(2, 1.0)
    window.add(1, 1.0, 0.5)
    window.take_back(1, 1.0, 0.5, 1.5)
    assert (window.count, window.total) == (0, 0.0)

    window.add(1, 1.0, 1.5)
    window.take_back(1, 1.0, 1.5, 9.0)
    assert (window.count, window.total) == (0, 0.0)


def test_a_time_before_the_newest_bucket_counts_as_now() -> None:
    """A clock read a moment too early loses nothing."""
    window = RollingWindow(2, 1.0)
    window.add(1, 0.0, 5.5)
    window.add(1, 0.0, 4.5)

    assert window.count == 2
    window.advance(7.0)
    assert window.count == 0


def test_an_unused_window_has_no_finished_buckets() -> None:
    """Before the first add nothing is known."""
    assert list(RollingWindow(3, 1.0).finished()) == []
    assert repr(RollingWindow(3, 1.0)) == "<RollingWindow count=0 total=0 of 3>"


@pytest.mark.parametrize(("buckets", "bucket_s"), [(0, 1.0), (3, 0.0), (3, -1.0)])
def test_a_window_without_extent_is_an_error(buckets: int, bucket_s: float) -> None:
    """Neither no buckets nor buckets of no time make a window."""
    with pytest.raises(ValueError, match="must be above 0"):
        RollingWindow(buckets, bucket_s)


@given(
    st.lists(st.tuples(st.floats(0, 3), st.integers(0, 9)), max_size=60),
    st.integers(1, 6),
    st.sampled_from([0.25, 0.5, 1.0]),
)
def test_sums_equal_those_of_a_list_that_forgets(
    steps: list[tuple[float, int]], buckets: int, bucket_s: float
) -> None:
    """The running sums are those of a plain list of all adds, filtered by bucket."""
    window = RollingWindow(buckets, bucket_s)
    added: list[tuple[int, int]] = []
    now_s = 0.0
    for gap_s, count in steps:
        now_s += gap_s
        window.add(count, float(count), now_s)
        added.append((int(now_s // bucket_s), count))
        newest = int(now_s // bucket_s)
        expected = sum(each for number, each in added if number > newest - buckets)
        assert (window.count, window.total) == (expected, expected)
