"""State breaker: when it opens, for how long, and what an operator may tell it."""

import random

import pytest

from resilience.policy import state_breaker
from resilience.policy.breaker_settings import BreakerSettings
from resilience.policy.breaker_states import Event, State, Transition
from resilience.policy.contract import Outcome
from resilience.policy.state_breaker import StateBreaker
from tests.resilience.policy.breaker_calls import (
    SMALL,
    opened,
    refused,
    run,
    state_of,
    take,
)

pytestmark = pytest.mark.unit


def test_defaults_are_documented() -> None:
    """No settings are the default settings; a full half-open says to come back in a second."""
    assert StateBreaker().settings is state_breaker.DEFAULTS
    assert BreakerSettings() == state_breaker.DEFAULTS
    assert (state_breaker.RETRY_AFTER_S, state_breaker.REASON) == (1.0, "BREAKER_OPEN")
    assert StateBreaker().name == "breaker"
    assert repr(StateBreaker()) == "<StateBreaker CLOSED 0 failed, 0 slow of 0>"


def test_it_opens_at_the_ratio_and_not_below_it() -> None:
    """Four of nine failures are not half; five of ten are."""
    breaker = StateBreaker(SMALL)
    run(breaker, "ooooofff", 0.0)
    run(breaker, "f", 0.0)
    assert state_of(breaker) is State.CLOSED

    run(breaker, "f", 0.0)
    assert state_of(breaker) is State.OPEN
    assert breaker.last_transition == Transition(
        State.CLOSED, Event.TOO_MANY_FAILED, State.OPEN, 0.0
    )


def test_the_first_failures_open_nothing_below_the_least_number_of_calls() -> None:
    """A breaker without it trips on the first failure of a morning: one of one is all of them."""
    breaker = StateBreaker(SMALL)
    run(breaker, "fff", 0.0)
    assert state_of(breaker) is State.CLOSED

    run(breaker, "o", 0.0)  # also a success completes the number: three of four
    assert state_of(breaker) is State.OPEN


def test_an_exact_share_opens_whatever_the_decimal() -> None:
    """55 of 100 at a ratio of 0.55: multiplying would find 55.00000000000001 and not open."""
    breaker = StateBreaker(BreakerSettings(failure_ratio=0.55))
    run(breaker, "o" * 45 + "f" * 54, 0.0)
    assert state_of(breaker) is State.CLOSED
    run(breaker, "f", 0.0)
    assert state_of(breaker) is State.OPEN


def test_slow_calls_count_though_they_succeed() -> None:
    """A dependency that answers everything, each time too late, is as good as down."""
    breaker = StateBreaker(BreakerSettings(window_calls=4, min_calls=4, slow_s=1.0))
    run(breaker, "oooo", 10.0, took_s=1.0)  # exactly at the limit is not yet slow
    assert state_of(breaker) is State.CLOSED

    run(breaker, "ooo", 20.0, took_s=1.001)
    assert state_of(breaker) is State.CLOSED
    run(breaker, "o", 20.0, took_s=1.001)
    assert state_of(breaker) is State.OPEN
    assert breaker.last_transition is not None
    assert breaker.last_transition.event is Event.TOO_MANY_SLOW
    assert (refused(breaker, 20.0).value, refused(breaker, 20.0).limit) == (1.0, 1.0)


def test_a_slow_failure_counts_as_both() -> None:
    """It is one call, one failed and one slow."""
    breaker = StateBreaker(SMALL)
    run(breaker, "f", 5.0, took_s=2.0)

    snapshot = breaker.snapshot()
    assert (snapshot["calls"], snapshot["failed"], snapshot["slow"]) == (1, 1, 1)


def test_overload_is_a_failure_of_the_other_side() -> None:
    """Push-back is no acceptance: four of them open it."""
    breaker = StateBreaker(SMALL)
    run(breaker, "vvvv", 0.0)
    assert state_of(breaker) is State.OPEN


def test_ignored_calls_teach_nothing() -> None:
    """Callers who left and refusals elsewhere are not in any count."""
    breaker = StateBreaker(SMALL)
    run(breaker, "i" * 50, 0.0, took_s=9.0)

    assert breaker.snapshot()["calls"] == 0
    assert (state_of(breaker), breaker.in_flight) == (State.CLOSED, 0)


def test_an_open_breaker_says_for_how_long() -> None:
    """The refusal carries share, limit and the time until half-open."""
    breaker = opened(now_s=100.0)
    rejection = refused(breaker, 102.0)

    assert (rejection.policy, rejection.reason) == ("breaker", "BREAKER_OPEN")
    assert (rejection.value, rejection.limit, rejection.retry_after_s) == (1.0, 0.5, 3.0)
    assert breaker.snapshot()["rejected"] == 1
    assert breaker.snapshot()["open_until_s"] == 105.0


def test_open_times_grow_and_are_capped_and_start_over_when_closed() -> None:
    """10, 20, 40 and not 80 but 60 s; after a recovery 10 again."""
    settings = BreakerSettings(
        window_calls=4, min_calls=4, open_s=10.0, open_growth=2.0, open_cap_s=60.0
    )
    breaker = opened(settings)
    now_s = 0.0
    for expected_s in (10.0, 20.0, 40.0, 60.0, 60.0):
        assert refused(breaker, now_s).retry_after_s == expected_s
        now_s += expected_s
        run(breaker, "fffff", now_s)

    now_s += 60.0
    run(breaker, "o" * 10, now_s)
    assert state_of(breaker) is State.CLOSED
    run(breaker, "ffff", now_s)
    assert refused(breaker, now_s).retry_after_s == 10.0


def test_jitter_spreads_breakers_that_open_together() -> None:
    """With ±half of 10 s, fifty of them look again at fifty times between 5 and 15 s."""
    settings = BreakerSettings(window_calls=4, min_calls=4, open_s=10.0, open_jitter_ratio=0.5)
    rng = random.Random(5)
    times_s = set()
    for _ in range(50):
        breaker = StateBreaker(settings, rng)
        run(breaker, "ffff", 0.0)
        times_s.add(refused(breaker, 0.0).retry_after_s)

    assert len(times_s) == 50
    assert all(time_s is not None and 5.0 <= time_s <= 15.0 for time_s in times_s)
    with pytest.raises(ValueError, match=r"open_jitter_ratio=0\.5 needs an rng"):
        StateBreaker(settings)


def test_a_time_window_forgets_failures_that_a_count_window_keeps() -> None:
    """Three failures of an hour ago: of the last ten calls they are three, of now none."""
    for window_s, expected in ((None, State.OPEN), (10.0, State.CLOSED)):
        settings = BreakerSettings(window_calls=10, window_s=window_s, min_calls=4)
        breaker = StateBreaker(settings)
        run(breaker, "fff", 0.0)
        run(breaker, "o", 3600.0)
        assert state_of(breaker) is expected


def test_forced_open_refuses_until_told_otherwise() -> None:
    """No time and no reset ends it; results of before say nothing; close does."""
    breaker = StateBreaker(SMALL)
    old = take(breaker, 0.0)
    breaker.force_open(1.0)
    breaker.settle(old, Outcome.OK, 2.0)
    rejection = refused(breaker, 9999.0)
    breaker.reset(9999.0)
    assert state_of(breaker) is State.FORCED_OPEN
    assert (rejection.value, rejection.retry_after_s) == (None, 5.0)

    breaker.close(10_000.0)
    take(breaker, 10_000.0)
    assert breaker.snapshot()["last_event"] == "close"


def test_disabled_lets_all_pass_and_counts_nothing() -> None:
    """A hundred failures leave no trace; only the permits are kept count of."""
    breaker = opened()
    breaker.disable(1.0)
    run(breaker, "f" * 100, 1.0)
    take(breaker, 1.0)

    assert state_of(breaker) is State.DISABLED
    assert (breaker.snapshot()["calls"], breaker.in_flight) == (0, 1)


def test_counting_only_shows_what_it_would_do() -> None:
    """It says that it would open, from the least number of calls on, and never opens."""
    breaker = StateBreaker(SMALL)
    breaker.count_only(0.0)
    run(breaker, "fff", 0.0)
    assert breaker.snapshot()["would_open"] is False

    run(breaker, "f", 0.0)
    assert breaker.snapshot()["would_open"] is True
    assert (breaker.snapshot()["failure_ratio"], state_of(breaker)) == (1.0, State.METRICS_ONLY)
    run(breaker, "oooooo", 0.0)
    assert breaker.snapshot()["would_open"] is False  # four of ten


def test_tripped_by_hand_it_recovers_like_any_other() -> None:
    """It opens without a share to show, waits, and looks again."""
    breaker = StateBreaker(SMALL)
    breaker.trip(0.0)
    rejection = refused(breaker, 1.0)
    assert (rejection.value, rejection.limit, rejection.retry_after_s) == (None, None, 4.0)

    run(breaker, "ooo", 5.0)
    assert state_of(breaker) is State.CLOSED


def test_a_command_that_changes_nothing_is_no_transition() -> None:
    """Closing a closed breaker forgets nothing, tripping an open one does not prolong it."""
    breaker = StateBreaker(SMALL)
    run(breaker, "fff", 0.0)
    breaker.close(1.0)
    assert breaker.last_transition is None
    assert breaker.snapshot()["calls"] == 3

    breaker.trip(2.0)
    breaker.trip(6.0)
    assert refused(breaker, 6.0).retry_after_s == 1.0


def test_after_a_reset_old_permits_release_and_teach_nothing() -> None:
    """Counts, open state and growth are gone; what is in flight stays counted until it ends."""
    settings = BreakerSettings(window_calls=4, min_calls=4, open_s=10.0, open_growth=2.0)
    breaker = StateBreaker(settings)
    old = [take(breaker, 0.0) for _ in range(4)]
    breaker.reset(0.0)
    for permit in old:
        breaker.settle(permit, Outcome.FAILED, 1.0)
    assert (state_of(breaker), breaker.in_flight) == (State.CLOSED, 0)
    assert breaker.snapshot()["calls"] == 0

    run(breaker, "ffff", 1.0)
    refused(breaker, 2.0)
    breaker.reset(2.0)
    assert breaker.last_transition == Transition(State.OPEN, Event.RESET, State.CLOSED, 2.0)
    assert (breaker.snapshot()["rejected"], breaker.snapshot()["opened"]) == (0, 0)
    run(breaker, "ffff", 2.0)
    assert refused(breaker, 2.0).retry_after_s == 10.0


def test_a_reset_while_counting_only_starts_the_count_anew() -> None:
    """The operator's state stays, what it has learned goes."""
    breaker = StateBreaker(SMALL)
    breaker.count_only(0.0)
    run(breaker, "ffff", 0.0)
    breaker.reset(1.0)

    assert (state_of(breaker), breaker.snapshot()["calls"]) == (State.METRICS_ONLY, 0)


def test_settling_twice_is_an_assertion_error() -> None:
    """Settled exactly once is the contract."""
    breaker = StateBreaker()
    permit = take(breaker, 0.0)
    breaker.settle(permit, Outcome.OK, 0.0)

    with pytest.raises(AssertionError, match="twice"):
        breaker.settle(permit, Outcome.OK, 0.0)


def test_the_snapshot_is_flat_and_complete() -> None:
    """Every figure of a breaker that has opened once, as a page or a metric reads it."""
    breaker = opened()
    refused(breaker, 1.0)

    assert breaker.snapshot() == {
        "state": "open",
        "calls": 4,
        "failed": 4,
        "slow": 0,
        "failure_ratio": 1.0,
        "slow_ratio": 0.0,
        "would_open": False,
        "open_until_s": 5.0,
        "probes": 0,
        "in_flight": 0,
        "rejected": 1,
        "opened": 1,
        "last_event": "too many failed",
    }
