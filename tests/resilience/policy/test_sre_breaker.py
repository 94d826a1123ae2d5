"""SRE breaker: the formula, the presets, what counts and what is refunded."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from resilience.policy import sre_breaker
from resilience.policy.contract import Outcome, Permit, Rejection, Request
from resilience.policy.sre_breaker import AEGIS, BOOK, KRATOS_V1, KRATOS_V3, SreBreaker, SreSettings

REQUEST = Request()


class _Always(random.Random):
    """Draw 0.0: whoever may be refused, is."""

    def random(self) -> float:
        return 0.0


class _Never(random.Random):
    """Draw just under 1: nobody is refused."""

    def random(self) -> float:
        return 1.0 - 2**-53


def feed(breaker: SreBreaker, outcome: Outcome, count: int, now_s: float) -> None:
    """Let that many calls end in one way."""
    for _ in range(count):
        permit = breaker.admit(REQUEST, now_s)
        assert isinstance(permit, Permit)
        breaker.settle(permit, outcome, now_s)


def test_defaults_are_those_of_kratos_v1() -> None:
    """K 1.5 and 100 requests in 3 s of 10 buckets; the other presets as published."""
    assert SreSettings(k=1.5, min_requests=100) == KRATOS_V1
    assert SreSettings(k=1 / 0.6, min_requests=100) == AEGIS
    assert pytest.approx(1.667, abs=0.001) == AEGIS.k
    assert SreSettings(k=2.0, min_requests=20) == KRATOS_V3
    assert (sre_breaker.WINDOW_S, sre_breaker.BUCKETS) == (3.0, 10)
    assert {KRATOS_V1.window_s, AEGIS.window_s, KRATOS_V3.window_s} == {3.0}
    assert sre_breaker.RETRY_AFTER_S == 1.0
    assert SreBreaker(random.Random(1)).settings is KRATOS_V1


@pytest.mark.paper
def test_the_book_s_setting_is_a_preset() -> None:
    """SRE Book, ch. 21, "Client-Side Throttling": K = 2, two minutes; it names no least number."""
    assert SreSettings(k=2.0, min_requests=20, window_s=120.0) == BOOK
    breaker = SreBreaker(_Always(), BOOK)
    feed(breaker, Outcome.FAILED, 20, 0.0)
    assert isinstance(breaker.admit(REQUEST, 107.9), Rejection)
    assert isinstance(breaker.admit(REQUEST, 240.0), Permit)


def test_without_a_least_number_a_cold_start_refuses_its_second_call() -> None:
    """The book's formula alone takes a burst of first calls for a hang; with 20 it doesn't."""
    bare = SreBreaker(_Always(), SreSettings(k=2.0, min_requests=0))
    assert isinstance(bare.admit(REQUEST, 0.0), Permit)
    assert isinstance(bare.admit(REQUEST, 0.0), Rejection)

    book = SreBreaker(_Always(), BOOK)
    assert all(isinstance(book.admit(REQUEST, 0.0), Permit) for _ in range(20))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ((1.0, 20, 3.0), r"k=1\.0 must be > 1"),
        ((float("nan"), 20, 3.0), "k=nan must be > 1"),
        ((2.0, -1, 3.0), "min_requests=-1 must be >= 0"),
        ((2.0, 0, 0.0), r"window_s=0\.0 must be > 0"),
    ],
)
def test_settings_that_can_not_work_are_an_error(
    settings: tuple[float, int, float], told: str
) -> None:
    """The message names the value and the range; just inside it is fine."""
    with pytest.raises(ValueError, match=told):
        SreSettings(*settings)
    SreSettings(1.001, 0, 0.001)


@pytest.mark.paper
def test_drop_ratio_is_that_of_the_book() -> None:
    """SRE Book, ch. 21, eq. 21-1: (requests - K * accepts) / (requests + 1)."""
    breaker = SreBreaker(_Never(), SreSettings(k=2.0, min_requests=10))
    feed(breaker, Outcome.OK, 20, 0.0)
    feed(breaker, Outcome.FAILED, 79, 0.0)

    assert breaker.drop_ratio() == (99 - 2.0 * 20) / 100


def test_nothing_is_refused_below_the_least_number_of_requests() -> None:
    """Nineteen failures of twenty needed refuse nobody; the twentieth tips it."""
    breaker = SreBreaker(_Always(), KRATOS_V3)
    feed(breaker, Outcome.FAILED, 20, 0.0)

    assert isinstance(breaker.admit(REQUEST, 0.0), Rejection)


def test_requests_count_before_the_call_so_hanging_calls_show() -> None:
    """A hundred calls under way and none answered is what a dead dependency looks like."""
    breaker = SreBreaker(_Never(), KRATOS_V1)
    for _ in range(100):
        breaker.admit(REQUEST, 0.0)

    assert breaker.drop_ratio() == 100 / 101
    assert breaker.in_flight == 100


def test_an_ignored_call_is_refunded() -> None:
    """A caller who left teaches nothing: the window is as if the call had never been."""
    breaker = SreBreaker(_Never(), KRATOS_V3)
    feed(breaker, Outcome.IGNORED, 50, 0.0)

    assert breaker.snapshot()["requests"] == 0
    assert breaker.in_flight == 0


def test_overload_counts_as_not_accepted() -> None:
    """The book's accepts are requests the backend accepted; push-back is not one."""
    breaker = SreBreaker(_Never(), KRATOS_V3)
    feed(breaker, Outcome.OVERLOADED, 30, 0.0)

    assert breaker.snapshot()["accepts"] == 0
    assert breaker.drop_ratio() > 0.9


def test_a_refused_request_counts_and_says_what_was_measured() -> None:
    """The rejection carries requests against K times accepts."""
    breaker = SreBreaker(_Always(), SreSettings(k=2.0, min_requests=20))
    feed(breaker, Outcome.FAILED, 20, 0.0)
    rejection = breaker.admit(REQUEST, 0.0)

    assert isinstance(rejection, Rejection)
    assert (rejection.policy, rejection.reason) == ("breaker", "BREAKER_OPEN")
    assert (rejection.value, rejection.limit, rejection.retry_after_s) == (21, 0.0, 1.0)
    assert breaker.snapshot()["rejected"] == 1


def test_failures_are_forgotten_with_the_window() -> None:
    """Three seconds after the last failure everything passes again."""
    breaker = SreBreaker(_Always(), KRATOS_V3)
    feed(breaker, Outcome.FAILED, 20, 0.0)

    assert isinstance(breaker.admit(REQUEST, 2.9), Rejection)
    assert isinstance(breaker.admit(REQUEST, 6.0), Permit)


def test_after_a_reset_old_permits_release_and_teach_nothing() -> None:
    """A failure of the generation before moves no window."""
    breaker = SreBreaker(_Never(), KRATOS_V3)
    old = breaker.admit(REQUEST, 0.0)
    assert isinstance(old, Permit)
    breaker.reset(0.0)
    breaker.settle(old, Outcome.OK, 0.0)

    assert breaker.in_flight == 0
    assert breaker.snapshot()["accepts"] == 0
    assert repr(breaker) == "<SreBreaker 0 of 0 accepted>"


def test_settling_twice_is_an_assertion_error() -> None:
    """Settled exactly once is the contract."""
    breaker = SreBreaker(_Never())
    permit = breaker.admit(REQUEST, 0.0)
    assert isinstance(permit, Permit)
    breaker.settle(permit, Outcome.OK, 0.0)

    with pytest.raises(AssertionError, match="twice"):
        breaker.settle(permit, Outcome.OK, 0.0)


def test_a_failing_dependency_still_gets_probes() -> None:
    """With everything failing, the share let through falls but never to nothing."""
    breaker = SreBreaker(random.Random(7), KRATOS_V3)
    sent = 0
    for step in range(3000):
        permit = breaker.admit(REQUEST, step / 100)
        if isinstance(permit, Permit):
            sent += 1
            breaker.settle(permit, Outcome.FAILED, step / 100)

    assert 5 <= sent <= 200  # of 3,000; without a breaker all of them


def test_a_healthy_dependency_is_never_refused_at_a_tenth_of_failures() -> None:
    """Ten per cent of failures stay below what K allows."""
    breaker = SreBreaker(_Always(), KRATOS_V1)
    for step in range(2000):
        permit = breaker.admit(REQUEST, step / 500)
        assert isinstance(permit, Permit)
        breaker.settle(permit, Outcome.FAILED if step % 10 == 9 else Outcome.OK, step / 500)


@pytest.mark.property
@given(st.integers(0, 300), st.integers(0, 300), st.floats(1.01, 4.0))
def test_drop_ratio_is_a_probability(accepts: int, failures: int, k: float) -> None:
    """Whatever was counted, the ratio lies in [0, 1)."""
    breaker = SreBreaker(_Never(), SreSettings(k=k, min_requests=1))
    feed(breaker, Outcome.OK, accepts, 0.0)
    feed(breaker, Outcome.FAILED, failures, 0.0)

    assert 0.0 <= breaker.drop_ratio() < 1.0


class BreakerMachine(RuleBasedStateMachine):
    """Admit, settle, reset and wait in any order: no permit leaks, no count is negative."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = SreBreaker(random.Random(3), SreSettings(k=1.5, min_requests=5))
        self.now_s = 0.0
        self.permits: list[Permit] = []

    @rule(gap_s=st.floats(0, 4))
    def wait(self, gap_s: float) -> None:
        self.now_s += gap_s

    @rule()
    def admit(self) -> None:
        decision = self.breaker.admit(REQUEST, self.now_s)
        if isinstance(decision, Permit):
            self.permits.append(decision)

    @rule(outcome=st.sampled_from(list(Outcome)), newest=st.booleans())
    def settle(self, outcome: Outcome, newest: bool) -> None:
        if self.permits:
            permit = self.permits.pop(-1 if newest else 0)
            self.breaker.settle(permit, outcome, self.now_s)

    @rule()
    def reset(self) -> None:
        self.breaker.reset(self.now_s)

    @invariant()
    def counts_hold(self) -> None:
        snapshot = self.breaker.snapshot()
        assert self.breaker.in_flight == len(self.permits)
        assert isinstance(snapshot["requests"], int)
        assert snapshot["requests"] >= 0
        assert isinstance(snapshot["accepts"], int)
        assert snapshot["accepts"] >= 0


TestBreakerMachine = BreakerMachine.TestCase
TestBreakerMachine.settings = settings(max_examples=40, deadline=None)
