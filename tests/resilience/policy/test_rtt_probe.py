"""Round-trip probe: drain, measure, restore."""

from math import inf

import pytest

from resilience.policy import rtt_probe
from resilience.policy.rtt_probe import RttProbe, held_ratio


def test_constants() -> None:
    """Three quarters of what the workers hold, a quarter of all at least; five samples."""
    assert (rtt_probe.HELD_RATIO, rtt_probe.LEAST_RATIO, rtt_probe.MIN_SAMPLES) == (0.75, 0.25, 5)


def test_what_is_held_follows_the_queue_and_has_bounds() -> None:
    """No queue: three quarters. Half of it queue: three eighths. Nearly all: still a quarter."""
    assert [held_ratio(0.1, rtt_s) for rtt_s in (0.0, 0.1, 0.2, 0.25, 9.0)] == pytest.approx(
        [0.75, 0.75, 0.375, 0.3, 0.25]
    )
    assert held_ratio(inf, 0.1) == 0.75


@pytest.mark.parametrize(("samples", "max_s"), [(4, 1.0), (5, 0.0)])
def test_arguments_out_of_range_are_refused(samples: int, max_s: float) -> None:
    """Too few samples, or no time for them."""
    with pytest.raises(ValueError, match="must be at least 5"):
        RttProbe(samples, max_s)


def test_what_was_begun_before_the_drain_was_over_does_not_count() -> None:
    """Ten in flight, held at five: only round trips of requests begun at five count."""
    probe = RttProbe(5, 10.0)
    probe.start(5, 100.0)
    assert probe.add(1.0, 7, 100.1) is None  # leaves six: still too many
    assert probe.add(1.0, 6, 100.2) is None  # leaves five: drained
    assert probe.add(0.9, 5, 100.9) is None  # begun at 100.0, queued behind the ten
    assert repr(probe) == "<RttProbe 0 of 5, on>"
    for number in range(4):
        assert probe.add(0.5, 5, 101.0 + number / 10) is None
    assert repr(probe) == "<RttProbe 4 of 5, on>"

    assert probe.add(0.4, 5, 101.5) == (0.5, 0.5, 0.5, 0.5, 0.4)
    assert (probe.is_on, repr(probe)) == (False, "<RttProbe 0 of 5>")


def test_one_begun_at_the_end_of_the_drain_counts() -> None:
    """It found nobody waiting."""
    probe = RttProbe(5, 10.0)
    probe.start(5, 0.0)
    probe.add(0.5, 5, 1.0)
    probe.add(0.5, 5, 1.5)

    assert repr(probe) == "<RttProbe 1 of 5, on>"


def test_when_the_time_is_up_five_are_enough_and_four_are_not() -> None:
    """A service at one a second must not be held for a minute."""
    for count, taken in ((4, 4), (3, 0)):
        probe = RttProbe(50, 3.0)
        probe.start(2, 0.0)
        probe.add(0.1, 1, 0.5)
        for number in range(count):
            assert probe.add(0.1, 1, 1.0 + number / 10) is None
        assert probe.add(0.1, 1, 2.999) is None
        ended = probe.add(inf, 1, 3.0)
        assert ended is not None
        assert len(ended) == (taken + 1 if taken else 0)
        assert not probe.is_on


def test_it_never_holds_less_than_one() -> None:
    """Nothing in flight would measure nothing."""
    probe = RttProbe(5, 3.0)
    probe.start(0, 0.0)

    assert probe.limit == 1
