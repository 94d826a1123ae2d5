"""Ejection: certain after a refusal, patient with silence, longer each time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shard.policy.ejection import (
    DEFAULT_BASE_S,
    DEFAULT_CAP_S,
    DEFAULT_FAILURES,
    FAILURE_SPACING_S,
    Ejection,
)

pytestmark = pytest.mark.unit


def test_the_defaults_are_documented() -> None:
    """Three silences, half a second, five seconds at most."""
    assert (DEFAULT_FAILURES, FAILURE_SPACING_S) == (3, 0.05)
    assert (DEFAULT_BASE_S, DEFAULT_CAP_S) == (0.5, 5.0)


def test_a_refused_connection_ejects_at_once() -> None:
    """True tells the caller that it happened now."""
    node = Ejection()

    assert node.on_unreachable(10.0)
    assert not node.is_up
    assert node.count == 1


def test_silence_takes_three_in_a_row() -> None:
    """An answer in between begins the count anew."""
    node = Ejection()
    assert not node.on_failure(10.0)
    assert not node.on_failure(10.1)
    assert not node.on_success(10.15)
    assert not node.on_failure(10.2)
    assert not node.on_failure(10.3)

    assert node.on_failure(10.4)
    assert not node.is_up


def test_what_fails_together_is_one_failure() -> None:
    """A hundred gets that time out in one turn of the loop don't eject."""
    node = Ejection()
    for number in range(100):
        assert not node.on_failure(10.0 + number * 0.0004)
    assert node.is_up


def test_it_may_be_probed_when_its_time_is_up() -> None:
    """Not before; a node that is up isn't probed."""
    node = Ejection()
    assert not node.may_probe(10.0)
    node.on_unreachable(10.0)

    assert not node.may_probe(10.4)
    assert node.remaining_s(10.4) == pytest.approx(0.1)
    assert node.may_probe(10.5)


def test_an_answered_probe_brings_it_back() -> None:
    """True tells the caller that it happened now."""
    node = Ejection()
    node.on_unreachable(10.0)

    assert node.on_success(10.6)
    assert node.is_up
    assert node.remaining_s(10.6) == 0.0


def test_a_change_of_the_way_allows_a_probe_at_once() -> None:
    """It stays ejected until that is answered."""
    node = Ejection()
    node.on_unreachable(10.0)
    node.probe_now()

    assert node.may_probe(10.0)
    assert not node.is_up


def test_each_failed_probe_doubles_the_time_up_to_the_cap() -> None:
    """0.5, 1, 2, 4, 5, 5 seconds."""
    node, now_s, waits = Ejection(), 10.0, []
    node.on_unreachable(now_s)
    for _ in range(6):
        waits.append(node.remaining_s(now_s))
        now_s += waits[-1]
        node.on_failure(now_s)
    assert waits == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_an_attempt_that_ends_late_does_not_count_twice() -> None:
    """A connection that was refused after the ejection changes nothing."""
    node = Ejection()
    node.on_unreachable(10.0)

    assert not node.on_unreachable(10.1)
    assert node.remaining_s(10.1) == pytest.approx(0.4)
    assert node.count == 1


def test_a_node_that_flaps_is_left_longer_one_that_stood_is_not() -> None:
    """Back for less than the cap, the next ejection is longer; after the cap it begins anew."""
    node = Ejection()
    node.on_unreachable(10.0)
    node.on_success(10.5)
    node.on_unreachable(11.0)
    assert node.remaining_s(11.0) == 1.0

    node.on_success(12.0)
    node.on_unreachable(17.0)
    assert node.remaining_s(17.0) == 0.5


@given(st.lists(st.tuples(st.floats(0.0, 2.0), st.integers(0, 2)), max_size=80))
def test_it_is_never_away_for_longer_than_the_cap(events: list[tuple[float, int]]) -> None:
    """Whatever happens, the next probe is five seconds off at most."""
    node, now_s = Ejection(), 0.0
    for pause_s, event in events:
        now_s += pause_s
        (node.on_success, node.on_failure, node.on_unreachable)[event](now_s)
        assert node.remaining_s(now_s) <= DEFAULT_CAP_S + 1e-9
        assert node.is_up or node.may_probe(now_s + DEFAULT_CAP_S + 1e-9)
