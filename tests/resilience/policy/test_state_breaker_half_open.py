"""State breaker, half open: who may look, what decides it, and that it never gets stuck."""

import pytest

from resilience.policy.breaker_states import Event, State, Transition
from resilience.policy.contract import Outcome, Permit
from resilience.policy.state_breaker import StateBreaker
from tests.resilience.policy.breaker_calls import (
    REQUEST,
    SMALL,
    opened,
    refused,
    run,
    state_of,
    take,
)

pytestmark = pytest.mark.unit


def test_when_the_open_time_is_over_the_next_call_is_a_probe() -> None:
    """A moment before it is refused; at the very time it passes."""
    breaker = opened()
    refused(breaker, 4.999)
    take(breaker, 5.0)

    assert state_of(breaker) is State.HALF_OPEN
    assert breaker.snapshot()["probes"] == 1


def test_half_open_is_bounded() -> None:
    """Of a hundred callers waiting for the end of the open time three pass, in others all."""
    breaker = opened()
    decisions = [breaker.admit(REQUEST, 5.0) for _ in range(100)]

    assert sum(isinstance(each, Permit) for each in decisions) == 3
    rejection = refused(breaker, 5.0)
    assert (rejection.value, rejection.limit, rejection.retry_after_s) == (3, 3, 1.0)


def test_a_probe_that_ended_well_makes_no_room_for_another() -> None:
    """Three are let through in all, not three at a time."""
    breaker = opened()
    first, _, _ = take(breaker, 5.0), take(breaker, 5.0), take(breaker, 5.0)
    breaker.settle(first, Outcome.OK, 5.1)

    refused(breaker, 5.1)


def test_half_open_closes_when_all_its_calls_were_well() -> None:
    """Two of three do not decide it, the third does; and the window begins anew."""
    breaker = opened()
    run(breaker, "oo", 5.0)
    assert state_of(breaker) is State.HALF_OPEN
    assert repr(breaker) == "<StateBreaker HALF_OPEN 0 failed, 0 slow of 2>"

    run(breaker, "o", 5.0)
    assert state_of(breaker) is State.CLOSED
    assert breaker.last_transition == Transition(
        State.HALF_OPEN, Event.RECOVERED, State.CLOSED, 5.0
    )
    assert breaker.snapshot()["calls"] == 0


def test_half_open_bears_failures_below_the_ratio() -> None:
    """One of three is less than half."""
    breaker = opened()
    run(breaker, "foo", 5.0)
    assert state_of(breaker) is State.CLOSED


def test_half_open_opens_at_the_failure_that_settles_it() -> None:
    """Two of three reach half whatever the third says, which is therefore not asked for."""
    breaker = opened()
    run(breaker, "f", 5.0)
    assert state_of(breaker) is State.HALF_OPEN
    run(breaker, "f", 5.0)

    assert state_of(breaker) is State.OPEN
    assert refused(breaker, 6.0).retry_after_s == 4.0
    assert breaker.snapshot()["opened"] == 2


def test_half_open_opens_when_its_calls_are_slow() -> None:
    """All three answered, and all too late."""
    breaker = opened()
    permits = [take(breaker, 5.0) for _ in range(3)]
    for permit in permits:
        breaker.settle(permit, Outcome.OK, 6.5)

    assert state_of(breaker) is State.OPEN
    assert breaker.last_transition is not None
    assert breaker.last_transition.event is Event.TOO_MANY_SLOW


def test_an_ignored_probe_gives_its_place_back() -> None:
    """Sentinel #1638: a probe that a later rule refused left half-open stuck."""
    breaker = opened()
    run(breaker, "i" * 20, 5.0)

    assert state_of(breaker) is State.HALF_OPEN
    run(breaker, "ooo", 5.0)
    assert state_of(breaker) is State.CLOSED


def test_probes_that_never_return_do_not_block_it_forever() -> None:
    """resilience4j #935: after max_half_open_s they count as failed, and it opens again."""
    breaker = opened()
    lost = [take(breaker, 5.0) for _ in range(3)]
    refused(breaker, 24.9)
    assert state_of(breaker) is State.HALF_OPEN

    rejection = refused(breaker, 25.0)  # 5 + 20
    assert state_of(breaker) is State.OPEN
    assert (rejection.value, rejection.retry_after_s) == (1.0, 5.0)
    take(breaker, 30.0)
    for permit in lost:
        breaker.settle(permit, Outcome.OK, 31.0)
    assert (state_of(breaker), breaker.in_flight) == (State.HALF_OPEN, 1)
    assert breaker.snapshot()["calls"] == 0  # the late ones belong to a state that is over


def test_one_lost_probe_among_good_ones_does_not_keep_it_open() -> None:
    """Two were well, one hangs: a third is below half, so it closes and the caller passes."""
    breaker = opened()
    run(breaker, "oo", 5.0)
    take(breaker, 5.0)

    take(breaker, 25.0)
    assert state_of(breaker) is State.CLOSED


def test_too_few_callers_do_not_keep_it_half_open() -> None:
    """resilience4j #2028, #2289: with a call an hour, one good answer is what there is to go by."""
    breaker = opened()
    run(breaker, "o", 5.0)

    take(breaker, 3605.0)
    assert state_of(breaker) is State.CLOSED


def test_half_open_without_any_evidence_gets_its_time_again() -> None:
    """Its only call was ignored: nothing was learned, so nothing is decided."""
    breaker = opened()
    run(breaker, "i", 5.0)
    probe = take(breaker, 25.0)
    assert state_of(breaker) is State.HALF_OPEN

    take(breaker, 44.9)
    assert state_of(breaker) is State.HALF_OPEN  # a new 20 s began at 25
    breaker.settle(probe, Outcome.FAILED, 44.9)
    refused(breaker, 45.0)
    assert state_of(breaker) is State.OPEN


def test_stale_results_do_not_reach_a_later_state() -> None:
    """Calls from before it opened, ending in half-open, neither close it nor open it again."""
    breaker = StateBreaker(SMALL)
    old = [take(breaker, 0.0) for _ in range(20)]
    run(breaker, "ffff", 0.0)
    for permit in old[:5]:
        breaker.settle(permit, Outcome.OK, 1.0)  # while open
    probe = take(breaker, 5.0)
    for permit in old[5:15]:
        breaker.settle(permit, Outcome.FAILED, 5.1)  # while half-open: would open it
    for permit in old[15:18]:
        breaker.settle(permit, Outcome.OK, 5.1)  # would close it
    for permit in old[18:]:
        breaker.settle(permit, Outcome.IGNORED, 5.1)  # would give places back that they never had

    assert state_of(breaker) is State.HALF_OPEN
    assert breaker.snapshot()["probes"] == 1
    breaker.settle(probe, Outcome.OK, 5.2)
    assert breaker.in_flight == 0
