"""Recent load: a rate that forgets."""

import pytest

from shard.policy.load import DEFAULT_MEMORY_S, RecentLoad

pytestmark = pytest.mark.unit


def test_it_remembers_a_second() -> None:
    """As long as what overflowed is kept."""
    assert DEFAULT_MEMORY_S == 1.0


def test_a_steady_rate_shows_as_itself() -> None:
    """At 500 requests a second it settles near 500."""
    load = RecentLoad()
    for number in range(5000):
        load.add(number / 500.0)
    assert load.value(10.0) == pytest.approx(500.0, rel=0.01)


def test_it_decays_to_a_third_in_a_second() -> None:
    """1/e after the memory, nothing to speak of after ten times that."""
    load = RecentLoad()
    load.add(5.0, 100.0)

    assert load.value(5.0) == 100.0
    assert load.value(6.0) == pytest.approx(36.8, abs=0.1)
    assert load.value(15.0) < 0.01


def test_time_that_does_not_pass_changes_nothing() -> None:
    """Nor does a clock that was read a little earlier."""
    load = RecentLoad()
    load.add(5.0)
    assert load.value(4.9) == 1.0
