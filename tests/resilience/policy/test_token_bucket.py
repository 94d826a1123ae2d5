"""Token bucket: burst, refill, costs, refunds, and clocks that run backwards."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from resilience.policy import rate, token_bucket
from resilience.policy.contract import Outcome, Permit, Rejection, Request
from resilience.policy.token_bucket import TokenBucket
from tests.golden import transcript

REQUEST = Request()


def passed(bucket: TokenBucket, count: int, now_s: float) -> int:
    """Send that many at once; return how many passed."""
    return sum(isinstance(bucket.admit(REQUEST, now_s), Permit) for _ in range(count))


def test_defaults_are_those_documented() -> None:
    """A second's worth of burst, at least one; the name that is answered with 429."""
    assert (token_bucket.BURST_S, rate.SLACK_S) == (1.0, 1e-6)
    assert (rate.POLICY_NAME, rate.RATE_EXCEEDED) == ("rate", "RATE_EXCEEDED")
    assert (TokenBucket(50).burst, TokenBucket(0.2).burst) == (50, 1.0)
    assert TokenBucket(1).name == "rate"


def test_a_burst_passes_and_then_the_rate() -> None:
    """Ten at once from a full bucket of ten, then one each half second at 2 a second."""
    bucket = TokenBucket(2.0, 10)

    assert passed(bucket, 12, 100.0) == 10
    assert passed(bucket, 3, 100.5) == 1
    assert passed(bucket, 3, 101.5) == 2
    assert passed(bucket, 20, 999.0) == 10


def test_a_refusal_says_what_was_measured_and_when_to_come_back() -> None:
    """Four taken of three; the missing quarter of a token takes an eighth of a second."""
    bucket = TokenBucket(2.0, 3)
    passed(bucket, 3, 0.0)
    refusal = bucket.admit(REQUEST, 0.375)

    assert isinstance(refusal, Rejection)
    assert (refusal.policy, refusal.reason) == ("rate", "RATE_EXCEEDED")
    assert (refusal.value, refusal.limit, refusal.retry_after_s) == (3.25, 3, 0.125)
    assert isinstance(bucket.admit(REQUEST, 0.5), Permit)
    assert bucket.snapshot() == {"tokens": 0.0, "burst": 3, "rate_rps": 2.0, "rejected": 1}
    assert repr(bucket) == "<TokenBucket 0 of 3, 2/s>"


def test_cost_is_what_a_request_takes() -> None:
    """A request of cost 4 takes four tokens; one that no bucket can hold never passes."""
    bucket = TokenBucket(1.0, 5)

    assert isinstance(bucket.admit(Request(cost=4.0), 0.0), Permit)
    refusal = bucket.admit(Request(cost=1.5), 0.0)
    assert isinstance(refusal, Rejection)
    assert refusal.retry_after_s == 0.5
    never = bucket.admit(Request(cost=5.5), 1000.0)
    assert isinstance(never, Rejection)
    assert never.retry_after_s is None
    assert isinstance(bucket.admit(Request(cost=5.0), 1000.0), Permit)


def test_an_ignored_request_hands_its_tokens_back_up_to_a_full_bucket() -> None:
    """Refunded at once it can be spent again; refunded into a full bucket it spills."""
    bucket = TokenBucket(1.0, 2)
    permits = [bucket.admit(Request(cost=2.0), 0.0)]
    assert isinstance(permits[0], Permit)
    bucket.settle(permits[0], Outcome.IGNORED, 0.0)
    assert passed(bucket, 3, 0.0) == 2

    late = bucket.admit(REQUEST, 1.0)
    assert isinstance(late, Permit)
    bucket.settle(late, Outcome.IGNORED, 2.0)  # one came back and one was earned: full
    assert bucket.tokens(2.0) == 2.0
    assert passed(bucket, 3, 2.0) == 2


@pytest.mark.parametrize("outcome", [Outcome.OK, Outcome.FAILED, Outcome.OVERLOADED])
def test_other_outcomes_hand_nothing_back(outcome: Outcome) -> None:
    """Whoever started has had his turn, however it ended."""
    bucket = TokenBucket(1.0, 1)
    permit = bucket.admit(REQUEST, 0.0)
    assert isinstance(permit, Permit)
    bucket.settle(permit, outcome, 0.0)

    assert bucket.tokens(0.0) == 0.0


def test_time_that_jumps_backwards_mints_nothing() -> None:
    """Neither the jump back nor the way forward again earns what was earned before."""
    bucket = TokenBucket(1.0, 2)
    assert passed(bucket, 2, 10.0) == 2
    assert passed(bucket, 2, 5.0) == 0
    refusal = bucket.admit(REQUEST, 5.0)
    assert isinstance(refusal, Rejection)
    assert refusal.retry_after_s == 1.0
    assert passed(bucket, 2, 10.0) == 0

    assert passed(bucket, 2, 11.0) == 1
    permit = bucket.admit(REQUEST, 12.0)
    assert isinstance(permit, Permit)
    bucket.settle(permit, Outcome.IGNORED, 3.0)
    assert passed(bucket, 3, 12.0) == 1


def test_a_reset_fills_the_bucket_and_ends_refunds_of_the_generation_before() -> None:
    """After a reset two pass, and the old permit gives nothing for a third."""
    bucket = TokenBucket(1.0, 2)
    old = bucket.admit(REQUEST, 5.0)
    assert isinstance(old, Permit)
    bucket.reset(5.0)
    assert passed(bucket, 3, 5.0) == 2
    bucket.settle(old, Outcome.IGNORED, 5.0)

    assert passed(bucket, 1, 5.0) == 0
    bucket.reset(4.0)  # a reset with an older time is no way to earn either
    assert passed(bucket, 3, 5.0) == 2
    assert bucket.snapshot()["rejected"] == 1


def test_settling_twice_is_an_assertion_error() -> None:
    """Settled exactly once is the contract."""
    bucket = TokenBucket(1.0)
    permit = bucket.admit(REQUEST, 0.0)
    assert isinstance(permit, Permit)
    bucket.settle(permit, Outcome.OK, 0.0)

    with pytest.raises(AssertionError, match="twice"):
        bucket.settle(permit, Outcome.OK, 0.0)


@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), float("nan")])
def test_impossible_figures_are_errors(value: float) -> None:
    """Each says which figure was wrong and what it may be."""
    with pytest.raises(ValueError, match=r"rate_rps=.* must be a finite number above 0"):
        TokenBucket(value)
    with pytest.raises(ValueError, match=r"burst=.* must be a finite number above 0"):
        TokenBucket(1.0, value)


def test_who_keeps_to_the_rate_is_never_refused() -> None:
    """Ten thousand requests 1/30 s apart at 30 a second, with a bucket of one."""
    bucket = TokenBucket(30.0, 1)

    assert all(passed(bucket, 1, 1e6 + number / 30.0) for number in range(10_000))


@pytest.mark.property
@given(st.floats(0.01, 1e5), st.floats(0.5, 50), st.floats(0, 1e7), st.floats(0.01, 40))
def test_who_comes_back_when_told_to_passes(
    rps: float, burst: float, now_s: float, cost: float
) -> None:
    """For any rate, burst, cost and time of day."""
    bucket = TokenBucket(rps, burst)
    request = Request(cost=min(cost, burst))
    decision = bucket.admit(request, now_s)
    while isinstance(decision, Permit):
        decision = bucket.admit(request, now_s)

    assert decision.retry_after_s is not None
    assert decision.retry_after_s > 0.0
    assert isinstance(bucket.admit(request, now_s + decision.retry_after_s), Permit)


class TokenBucketMachine(RuleBasedStateMachine):
    """Any order of events: never more passes in a span than burst, rate and refunds allow."""

    def __init__(self) -> None:
        super().__init__()
        self.bucket = TokenBucket(2.0, 5)
        self.now_s = self.seen_s = 0.0
        self.permits: list[Permit] = []
        self.starts: list[tuple[float, float]] = []  # (when, cost); refunds are below 0

    @rule(gap_s=st.integers(-8, 16))
    def wait(self, gap_s: int) -> None:
        self.now_s += gap_s / 8

    @rule(cost=st.integers(1, 24))
    def admit(self, cost: int) -> None:
        decision = self.bucket.admit(Request(cost=cost / 4), self.now_s)
        if isinstance(decision, Permit):  # time begins with the first, even before 0
            self.seen_s = max(self.seen_s, self.now_s) if self.starts else self.now_s
            self.permits.append(decision)
            self.starts.append((self.seen_s, decision.cost))
        else:
            assert decision.retry_after_s is None or decision.retry_after_s > 0.0

    @rule(outcome=st.sampled_from(list(Outcome)))
    def settle(self, outcome: Outcome) -> None:
        if self.permits:
            permit = self.permits.pop(0)
            self.bucket.settle(permit, outcome, self.now_s)
            if outcome is Outcome.IGNORED:
                self.seen_s = max(self.seen_s, self.now_s)
                self.starts.append((self.seen_s, -permit.cost))

    @invariant()
    def bounds_hold(self) -> None:
        assert 0.0 <= self.bucket.tokens(self.seen_s) <= 5.0
        total = 0.0
        for when_s, cost in reversed(self.starts):
            total += cost
            assert total <= 5.0 + 2.0 * (self.seen_s - when_s) + 1e-9


TestTokenBucketMachine = TokenBucketMachine.TestCase
TestTokenBucketMachine.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)


@pytest.mark.golden
def test_the_story_of_a_bucket() -> None:
    """A burst, a refusal, a caller who left, a pause, and a request too large for any bucket."""
    bucket = TokenBucket(2.0, 3)
    lines = ["A bucket of 3 that earns 2 a second.", ""]
    last: Permit | None = None
    for now_s, cost in [(0, 1), (0, 2), (0.25, 1), (0.5, 1), (0.5, 1), (9, 1), (9, 4)]:
        decision = bucket.admit(Request(cost=cost), now_s)
        said = f"passes, {bucket.tokens(now_s):g} left"
        if isinstance(decision, Rejection):
            said = f"{decision!r}, back in {decision.retry_after_s}"
        else:
            last = decision
        lines.append(f"{now_s:>5} s  cost {cost}  {said}")
        if now_s == 0.5 and isinstance(decision, Rejection) and last is not None:
            bucket.settle(last, Outcome.IGNORED, now_s)
            lines.append(f"{now_s:>5} s  the caller left: {bucket.tokens(now_s):g} in the bucket")
    transcript.check("token_bucket", [*lines, "", repr(bucket)])
