"""gRPC's throttle: what failures cost, what answers earn, and where it shuts."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from resilience.policy import token_throttle
from resilience.policy.token_throttle import TokenThrottle
from tests.golden import transcript


def answer(throttle: TokenThrottle, times: int = 1) -> None:
    """End so many calls well."""
    for _ in range(times):
        throttle.on_call_start()
        throttle.on_call_end(answered=True)


def fail(throttle: TokenThrottle, times: int = 1) -> None:
    """Let so many attempts fail."""
    for _ in range(times):
        throttle.on_failure()


def test_defaults_are_those_of_a6() -> None:
    """Ten tokens, a tenth for each answer; tokens in thousandths, at most a thousand."""
    assert (token_throttle.MAX_TOKENS, token_throttle.TOKEN_RATIO) == (10, 0.1)
    assert (token_throttle.MILLI, token_throttle.MAX_MAX_TOKENS) == (1000, 1000)
    assert TokenThrottle().tokens == 10.0


@pytest.mark.paper
def test_retries_stop_at_half_of_the_tokens_and_not_below_it() -> None:
    """A6: less than or equal to maxTokens / 2; the fifth failure in a row shuts it."""
    throttle = TokenThrottle()
    fail(throttle, 4)
    assert (throttle.tokens, throttle.has_room()) == (6.0, True)
    fail(throttle)

    assert (throttle.tokens, throttle.has_room()) == (5.0, False)
    assert not throttle.try_start_retry()
    answer(throttle)
    assert (throttle.tokens, throttle.try_start_retry()) == (5.1, True)
    assert throttle.snapshot() == {
        "calls": 0,
        "retries": 1,
        "spent": 1,
        "refused": 1,
        "tokens": 5.1,
        "max_tokens": 10.0,
    }


def test_tokens_stay_within_nothing_and_the_most() -> None:
    """A long outage costs no debt, a long peace saves nothing up."""
    throttle = TokenThrottle()
    fail(throttle, 30)
    assert throttle.tokens == 0.0
    answer(throttle, 50)
    assert not throttle.has_room()
    answer(throttle)
    assert throttle.has_room()
    answer(throttle, 300)

    assert throttle.tokens == 10.0


def test_a_hundred_answers_earn_exactly_ten_tokens() -> None:
    """Counted in thousandths: a tenth added a hundred times in binary would fall short."""
    throttle = TokenThrottle(20)
    fail(throttle, 20)
    answer(throttle, 100)

    assert throttle.tokens == 10.0
    assert not throttle.has_room()


def test_a_call_that_ended_otherwise_earns_nothing() -> None:
    """Cancelled, or an error of the caller's own making."""
    throttle = TokenThrottle()
    fail(throttle)
    throttle.on_call_start()
    throttle.on_call_end()

    assert throttle.tokens == 9.0


def test_reset_fills_up_and_keeps_what_is_under_way() -> None:
    """A retry out is a retry out."""
    throttle = TokenThrottle()
    throttle.on_call_start()
    throttle.try_start_retry()
    fail(throttle, 9)
    throttle.reset(0.0)

    assert (throttle.tokens, throttle.calls, throttle.retries, throttle.spent) == (10.0, 1, 1, 0)


@pytest.mark.parametrize(
    ("max_tokens", "ratio", "words"),
    [
        (0, 0.1, "max_tokens=0 must be 1 to 1000"),
        (1001, 0.1, "max_tokens=1001 must be 1 to 1000"),
        (10, 0.0009, "token_ratio=0.0009 must be 0.001 to max_tokens=10"),
        (10, 10.1, "token_ratio=10.1 must be 0.001 to max_tokens=10"),
    ],
)
def test_impossible_settings_are_refused(max_tokens: int, ratio: float, words: str) -> None:
    """The message names the value and the range."""
    with pytest.raises(ValueError, match=words):
        TokenThrottle(max_tokens, ratio)


def test_the_bounds_themselves_are_allowed() -> None:
    """One token or a thousand, a thousandth or all of them."""
    assert TokenThrottle(1, 1.0).tokens == 1.0
    assert TokenThrottle(1000, 0.001).tokens == 1000.0


class Throttling(RuleBasedStateMachine):
    """Any order of failures, answers and retries."""

    def __init__(self) -> None:
        super().__init__()
        self.throttle = TokenThrottle(4, 0.5)
        self.expected = 4.0

    @rule(times=st.integers(1, 6))
    def fails(self, times: int) -> None:
        fail(self.throttle, times)
        self.expected = max(0.0, self.expected - times)

    @rule(times=st.integers(1, 6))
    def answers(self, times: int) -> None:
        answer(self.throttle, times)
        self.expected = min(4.0, self.expected + 0.5 * times)

    @rule()
    def retries(self) -> None:
        assert self.throttle.try_start_retry() is (self.expected > 2.0)

    @invariant()
    def tokens_are_what_was_earned_and_lost(self) -> None:
        """Halves are exact in binary, so equal means equal."""
        assert self.throttle.tokens == self.expected
        assert self.throttle.calls == 0
        assert self.throttle.retries == self.throttle.spent


Throttling.TestCase.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
TestThrottling = Throttling.TestCase


@pytest.mark.golden
def test_an_outage_as_the_throttle_sees_it() -> None:
    """Five failures shut it, and it takes their weight in answers to open."""
    throttle = TokenThrottle()
    lines = ["10 tokens, 0.1 for an answer, 1 for a failure; retries above 5", ""]

    def tell(what: str) -> None:
        verdict = "may retry" if throttle.has_room() else "shut"
        lines.append(f"{what:38}  tokens {throttle.tokens:4.1f}  {verdict}")

    tell("at rest")
    for number in range(1, 6):
        fail(throttle)
        tell(f"failure {number}")
    answer(throttle)
    tell("one answer")
    fail(throttle, 20)
    tell("20 more failures")
    answer(throttle, 50)
    tell("50 answers: as much as half")
    answer(throttle)
    tell("one more")
    for _ in range(30):
        fail(throttle)
        answer(throttle, 10)
    tell("30 times one failure and ten answers")
    for _ in range(30):
        fail(throttle)
        answer(throttle, 9)
    tell("30 times one failure and nine answers")
    transcript.check("token_throttle", lines)
