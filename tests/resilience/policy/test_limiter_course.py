"""Every limiter through the same course: what each keeps of the goodput, over 20 seeds."""

from functools import cache
from statistics import median

import pytest

from tests.resilience.policy.limiter_course import SEEDS, Marks, drive, limiters

LEARNING = ("bbr", "vegas", "gradient2", "aimd", "envoy_gradient")
FIXED = ("fixed 20", "fixed 1000")


@cache
def marks(name: str) -> tuple[Marks, ...]:
    """Drive a limiter with the deadline cap through the course with each seed."""
    return tuple(drive(limiters()[name], seed) for seed in range(SEEDS))


@pytest.mark.parametrize("name", LEARNING)
def test_at_ten_times_capacity_nearly_all_of_it_is_served_in_time(name: str) -> None:
    """Goodput at ten times is 0.95 or more in the median, and 0.90 or more with every seed."""
    served = [each.step for each in marks(name)]

    assert median(served) >= 0.95
    assert min(served) >= 0.90


@pytest.mark.parametrize("name", FIXED)
def test_the_deadline_cap_alone_serves_most_of_it(name: str) -> None:
    """A limit far too high does no harm with it: 0.93 in the median, 0.85 with every seed."""
    served = [each.step for each in marks(name)]

    assert median(served) >= 0.93
    assert min(served) >= 0.85


@pytest.mark.parametrize("name", [*LEARNING, *FIXED])
def test_steady_and_recovery_are_served(name: str) -> None:
    """Half of capacity is served before, and again right after a slow dependency."""
    runs = marks(name)

    assert median(each.steady for each in runs) >= 0.93
    assert min(each.steady for each in runs) >= 0.85
    assert median(each.recovery for each in runs) >= 0.92
    assert min(each.recovery for each in runs) >= 0.80


@pytest.mark.parametrize("name", LEARNING)
def test_a_slow_dependency_keeps_most_of_what_is_left(name: str) -> None:
    """Five times slower, 500 ms of a second: over half of the 4 a second that remain."""
    assert median(each.slow for each in marks(name)) >= 0.55


@pytest.mark.parametrize("name", LEARNING)
def test_the_step_is_met_within_two_seconds(name: str) -> None:
    """From then on at least nine tenths of capacity are answered."""
    assert median(each.react_s for each in marks(name)) <= 2.0


def test_without_a_limiter_and_with_one_set_too_high_and_no_cap_next_to_nothing_is_served() -> None:
    """The controls: the queue is as long as the deadline."""
    for name in ("none", "fixed 1000"):
        runs = [drive(limiters(share=None)[name], seed) for seed in range(3)]
        assert max(each.step for each in runs) < 0.15
        assert max(each.slow for each in runs) < 0.30


def test_the_cap_mends_a_limit_that_learns_from_drops_alone() -> None:
    """AIMD needs late answers to learn: a fifth of capacity, which the cap saves."""
    bare = [drive(limiters(share=None)["aimd"], seed).step for seed in range(5)]

    assert median(bare) + 0.15 < median(each.step for each in marks("aimd")[:5])
