"""Breaker windows: what they remember, and that they forget exactly what is too old."""

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.policy.breaker_window import AcceptWindow, CountWindow, TimeWindow, Window

RESULTS = st.tuples(st.booleans(), st.booleans())


def counts(window: Window) -> tuple[int, int, int]:
    """Calls, failed, slow."""
    return window.calls, window.failed, window.slow


@pytest.mark.unit
def test_a_count_window_remembers_the_last_results_only() -> None:
    """The fourth result takes the place of the first."""
    window = CountWindow(3)
    for failed, slow in ((True, False), (False, True), (True, True)):
        window.add(failed, slow, 0.0)
    assert counts(window) == (3, 2, 2)
    assert repr(window) == "<CountWindow 2 failed, 2 slow of 3/3>"

    window.add(False, False, 0.0)
    assert counts(window) == (3, 1, 2)


@pytest.mark.unit
def test_a_count_window_forgets_nothing_by_time() -> None:
    """A failure of yesterday is still one of the last hundred."""
    window = CountWindow(100)
    window.add(True, False, 0.0)
    window.add(False, False, 86_400.0)

    assert counts(window) == (2, 1, 0)


@pytest.mark.unit
def test_a_time_window_forgets_a_bucket_at_a_time() -> None:
    """Three buckets of 1 s: what came in second 0 is gone at 3.0 and not at 2.9."""
    window = TimeWindow(3, 1.0)
    window.add(True, True, 0.5)
    window.add(True, False, 1.5)
    window.add(False, True, 2.9)
    assert counts(window) == (3, 2, 2)
    assert repr(window) == "<TimeWindow 2 failed, 2 slow of 3 in 3 s>"

    window.advance(3.0)
    assert counts(window) == (2, 1, 1)
    window.advance(100.0)
    assert counts(window) == (0, 0, 0)


@pytest.mark.unit
def test_the_first_result_of_a_time_window_counts_at_any_time() -> None:
    """A monotonic clock begins anywhere, below zero included."""
    for now_s in (-7.5, 0.0, 1e9):
        window = TimeWindow(2, 1.0)
        window.add(True, False, now_s)
        window.add(False, False, now_s)
        assert counts(window) == (2, 1, 0)


@pytest.mark.unit
def test_a_time_before_the_newest_bucket_counts_as_now() -> None:
    """A clock read a moment too early loses nothing and brings nothing back."""
    window = TimeWindow(2, 1.0)
    window.add(True, False, 5.5)
    window.add(True, False, 4.5)
    window.advance(1.0)
    assert window.failed == 2

    window.advance(6.9)
    assert window.failed == 2
    window.advance(7.0)
    assert window.failed == 0


@pytest.mark.unit
def test_accepts_count_in_the_bucket_of_their_end() -> None:
    """A request of second 0 is forgotten at 2.0, its accept of second 1 at 3.0."""
    window = AcceptWindow(2, 1.0)
    window.add_request(0.5)
    window.add_accept(1.5)
    assert repr(window) == "<AcceptWindow 1 of 1 accepted in 2 s>"

    window.add_request(2.0)
    assert (window.requests, window.accepts) == (1, 1)
    window.add_accept(3.0)
    assert (window.requests, window.accepts) == (1, 1)
    window.advance(5.0)
    assert (window.requests, window.accepts) == (0, 0)


@pytest.mark.unit
def test_a_refund_goes_to_the_bucket_of_its_request_or_nowhere() -> None:
    """While the bucket is remembered it takes one back; afterwards nothing is there to take."""
    window = AcceptWindow(2, 1.0)
    window.add_request(0.5)
    window.add_request(1.5)
    window.refund(0.5, 1.9)
    assert window.requests == 1
    window.advance(2.0)  # what is forgotten with bucket 0 is not the request of bucket 1
    assert window.requests == 1

    window.refund(1.5, 3.0)
    assert window.requests == 0
    window.advance(9.0)
    assert window.requests == 0


@pytest.mark.unit
def test_a_refund_of_a_moment_ahead_of_the_window_counts_as_now() -> None:
    """A clock read a moment too late at its admission loses no refund."""
    window = AcceptWindow(2, 1.0)
    window.add_request(1.0)
    window.refund(2.0, 1.0)
    assert window.requests == 0


@pytest.mark.unit
@pytest.mark.parametrize("window", [CountWindow(3), TimeWindow(3, 1.0)])
def test_a_reset_window_is_as_new(window: CountWindow | TimeWindow) -> None:
    """Nothing of before the reset comes back or is taken off later."""
    for _ in range(5):
        window.add(True, True, 10.0)
    window.reset()
    assert counts(window) == (0, 0, 0)

    window.add(False, True, 0.0)
    assert counts(window) == (1, 0, 1)


@pytest.mark.unit
def test_a_window_without_extent_is_an_error() -> None:
    """The message names the value and the range; the smallest allowed ones work."""
    with pytest.raises(ValueError, match=r"size=0 must be >= 1"):
        CountWindow(0)
    with pytest.raises(ValueError, match=r"buckets=0 must be >= 1"):
        TimeWindow(0, 1.0)
    for bucket_s in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match=r"bucket_s=.* > 0"):
            TimeWindow(1, bucket_s)

    for window in (CountWindow(1), TimeWindow(1, 0.001)):
        window.add(False, False, 0.0)
        window.add(True, True, 0.0)
        assert window.failed == 1


@pytest.mark.property
@given(st.lists(RESULTS, max_size=80), st.integers(1, 12))
def test_a_count_window_equals_a_list_of_the_last(
    results: list[tuple[bool, bool]], size: int
) -> None:
    """The running counts are those of a plain bounded list."""
    window = CountWindow(size)
    last: deque[tuple[bool, bool]] = deque(maxlen=size)
    for failed, slow in results:
        window.add(failed, slow, 0.0)
        last.append((failed, slow))
        expected = len(last), sum(each[0] for each in last), sum(each[1] for each in last)
        assert counts(window) == expected


@pytest.mark.property
@given(
    st.lists(st.tuples(st.floats(0, 3), RESULTS), max_size=60),
    st.integers(1, 6),
    st.sampled_from([0.1, 0.25, 0.3, 1.0]),
)
def test_a_time_window_equals_a_list_that_forgets(
    steps: list[tuple[float, tuple[bool, bool]]], buckets: int, bucket_s: float
) -> None:
    """The running counts are those of all results, filtered by the number of their bucket."""
    window = TimeWindow(buckets, bucket_s)
    seen: list[tuple[int, bool, bool]] = []
    now_s = 0.0
    for gap_s, (failed, slow) in steps:
        now_s += gap_s
        window.add(failed, slow, now_s)
        newest = int(now_s // bucket_s)
        seen.append((newest, failed, slow))
        kept = [each for each in seen if each[0] > newest - buckets]
        expected = len(kept), sum(each[1] for each in kept), sum(each[2] for each in kept)
        assert counts(window) == expected


@pytest.mark.property
@given(
    st.lists(st.tuples(st.floats(0, 3), st.integers(0, 2)), max_size=60),
    st.integers(1, 6),
    st.sampled_from([0.1, 0.25, 1.0]),
)
def test_an_accept_window_equals_two_lists_that_forget(
    steps: list[tuple[float, int]], buckets: int, bucket_s: float
) -> None:
    """The running sums are those of all that is not yet forgotten nor taken back."""
    window = AcceptWindow(buckets, bucket_s)
    requests: list[float] = []
    accepts: list[float] = []
    now_s = 0.0
    for gap_s, step in steps:
        now_s += gap_s
        if step == 0:
            window.add_request(now_s)
            requests.append(now_s)
        elif step == 1:
            window.add_accept(now_s)
            accepts.append(now_s)
        elif requests:
            window.refund(requests.pop(0), now_s)
        window.advance(now_s)
        oldest = int(now_s // bucket_s) - buckets
        kept = [sum(int(t // bucket_s) > oldest for t in each) for each in (requests, accepts)]
        assert [window.requests, window.accepts] == kept
