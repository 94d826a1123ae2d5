"""Warm-up: the published formulas, the climb, the cooling, and what starves nobody."""

from itertools import pairwise
from math import ceil

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from resilience.policy import warm_up
from resilience.policy.contract import Outcome, Permit, Rejection, Request
from resilience.policy.warm_up import WarmUp
from tests.golden import transcript

REQUEST = Request()


def passed(gate: WarmUp, count: int, now_s: float) -> int:
    """Send that many at once; return how many passed."""
    return sum(isinstance(gate.admit(REQUEST, now_s), Permit) for _ in range(count))


def press(gate: WarmUp, seconds: int, start_s: float, per_tenth: int = 3) -> list[int]:
    """Ask ten times a second for that many; return how many passed in each second."""
    return [
        sum(passed(gate, per_tenth, start_s + second + tenth / 10) for tenth in range(10))
        for second in range(seconds)
    ]


def refused(decision: object) -> Rejection:
    """Take a decision that must be a refusal."""
    assert isinstance(decision, Rejection)
    return decision


def test_defaults_are_those_of_sentinel() -> None:
    """Cold factor 3, ten seconds, a second seen in two halves."""
    assert (warm_up.COLD_FACTOR, warm_up.PERIOD_S, warm_up.HALF_S) == (3.0, 10.0, 0.5)
    gate = WarmUp(10)
    assert (gate.cold_factor, gate.name, gate.rate_rps) == (3.0, "rate", 10)


@pytest.mark.paper
def test_figures_are_those_of_warm_up_controller() -> None:
    """WarmUpController(10, 10, 3): line 50, full 100, slope 0.004; a third when cold."""
    gate = WarmUp(10, 10, 3)

    assert (gate.warning, gate.full, gate.slope) == (50.0, 100.0, 0.004)
    assert gate.allowed_at(100.0) == pytest.approx(10 / 3)
    assert gate.allowed_at(75.0) == pytest.approx(5.0)
    assert gate.allowed_at(50.0) == gate.allowed_at(0.0) == 10.0
    assert gate.allowed_at(50.000001) == pytest.approx(10.0)


@pytest.mark.paper
def test_the_published_case_holds() -> None:
    """WarmUpControllerTest.testWarmUp: cold 1+1 pass and 8+1 don't; warm 8+1 do and 10+1 don't."""
    cold = WarmUp(10, 10, 3)
    assert passed(cold, 9, 0.0) == 3

    warm = WarmUp(10, 10, 3)
    press(warm, 20, 0.0)
    assert passed(warm, 8, 20.5) == 8
    assert passed(warm, 1, 20.5) == 1
    assert passed(warm, 2, 20.5) == 1


def test_full_load_warms_in_about_the_period() -> None:
    """A third at first, never fewer from second to second, all of it after the period."""
    gate = WarmUp(30, 10, 3)
    counts = press(gate, 14, 0.0)

    assert counts[0] == 10
    assert all(later >= earlier - 1 for earlier, later in pairwise(counts))
    assert counts[6] < 27 < 29 <= counts[12]


def test_a_pause_cools_it_down() -> None:
    """Warm at full rate; after ten idle seconds it begins at a third again."""
    gate = WarmUp(30, 10, 3)
    press(gate, 20, 0.0)
    assert passed(gate, 40, 20.5) == 30

    assert passed(gate, 40, 200.0) == 10


def test_traffic_below_a_third_of_the_rate_keeps_it_cold() -> None:
    """Nine a second of thirty all pass, and what they take is filled up again."""
    gate = WarmUp(30, 10, 3)
    for second in range(30):
        assert passed(gate, 9, float(second)) == 9

    assert gate.snapshot()["tokens"] == gate.full - 9.0


def test_traffic_of_just_a_third_warms() -> None:
    """Ten a second of thirty drain the bucket by ten a second."""
    gate = WarmUp(30, 10, 3)
    for second in range(11):
        passed(gate, 10, float(second))

    assert gate.snapshot()["tokens"] == gate.full - 100.0


def test_a_bucket_exactly_at_the_line_cools_too() -> None:
    """Sentinel's stays there for ever while nothing passes."""
    gate = WarmUp(10, 10, 3)
    press(gate, 30, 0.0)
    for idle in range(5, 60, 5):
        assert isinstance(gate.admit(Request(cost=99.0), 30.0 + idle), Rejection)

    assert gate.snapshot()["tokens"] == gate.full


@pytest.mark.parametrize("rate_rps", [0.5, 1.0, 2.0, 2.9])
def test_a_rate_below_three_lets_requests_through(rate_rps: float) -> None:
    """Sentinel allows a third of it, which no request of cost 1 fits; cost 1 or the rate does."""
    gate = WarmUp(rate_rps, 10, 3)
    request = Request(cost=min(1.0, rate_rps))
    times = [second / 2 for second in range(80)]
    count = sum(isinstance(gate.admit(request, now_s), Permit) for now_s in times)

    assert count >= 20
    assert gate.allowed_rps >= 0.9 * rate_rps


def test_a_large_request_finds_an_empty_second() -> None:
    """Cost 5 of an allowance of 3.33 passes when nothing has in the last second; 11 never."""
    gate = WarmUp(10, 10, 3)

    assert isinstance(gate.admit(Request(cost=5.0), 0.0), Permit)
    assert refused(gate.admit(Request(cost=5.0), 0.25)).retry_after_s == pytest.approx(
        0.75, abs=1e-5
    )
    assert isinstance(gate.admit(Request(cost=10.0), 3.0), Permit)
    assert refused(gate.admit(Request(cost=10.5), 9.0)).retry_after_s is None


def test_a_refusal_says_what_was_measured_and_when_to_come_back() -> None:
    """Four of 3.333; the half second after the next has forgotten this one."""
    gate = WarmUp(10, 10, 3)
    passed(gate, 3, 0.125)
    refusal = refused(gate.admit(REQUEST, 0.25))

    assert (refusal.policy, refusal.reason) == ("rate", "RATE_EXCEEDED")
    assert refusal.value == 4.0
    assert refusal.limit == pytest.approx(10 / 3)
    assert refusal.retry_after_s == pytest.approx(0.75, abs=1e-5)
    assert passed(gate, 1, 0.75) == 0
    assert passed(gate, 1, 1.0) == 1
    assert gate.snapshot()["rejected"] == 2
    assert repr(gate) == f"<WarmUp 1 of {gate.allowed_rps:g}/s, 97 tokens>"


def test_a_refusal_knows_when_half_of_the_second_is_enough() -> None:
    """Two before the half and one after: at the turn of the second the two are forgotten."""
    gate = WarmUp(10, 10, 3)
    passed(gate, 2, 0.25)
    passed(gate, 1, 0.75)

    assert refused(gate.admit(REQUEST, 0.75)).retry_after_s == pytest.approx(0.25, abs=1e-5)
    assert passed(gate, 5, 1.0) == 2


def test_a_refusal_knows_that_the_next_second_allows_more() -> None:
    """3.4 of 3.33 fit into the 3.47 of the next second; in the middle of one they don't."""
    for at_s, wait_s in ((0.75, 0.25), (0.25, 0.75)):
        gate = WarmUp(10, 10, 3)
        passed(gate, 3, at_s)
        refusal = refused(gate.admit(Request(cost=0.4), at_s))
        assert refusal.retry_after_s == pytest.approx(wait_s, abs=1e-5)
        assert isinstance(gate.admit(Request(cost=0.4), at_s + wait_s), Permit)


def test_only_an_ignored_request_is_taken_out_again() -> None:
    """From the half it was counted in, from the half before, and not from later ones."""
    for outcome in Outcome:
        for at_s, freed in ((0.25, 3), (0.75, 3), (1.25, 0)):
            gate = WarmUp(10, 10, 3)
            permit = gate.admit(Request(cost=3.0), 0.0)
            assert isinstance(permit, Permit)
            if at_s > 1.0:
                assert passed(gate, 9, at_s) == 3
            else:
                gate.admit(Request(cost=99.0), at_s)
            gate.settle(permit, outcome, at_s)
            expected = freed if outcome is Outcome.IGNORED else 0
            assert passed(gate, 9, at_s) == expected, (outcome, at_s)


def test_an_ignored_request_does_not_warm() -> None:
    """Thirty callers a second who all leave are an idle second."""
    gate = WarmUp(30, 10, 3)
    for second in range(20):
        for _ in range(10):
            permit = gate.admit(REQUEST, float(second))
            assert isinstance(permit, Permit)
            gate.settle(permit, Outcome.IGNORED, float(second))

    assert gate.snapshot()["tokens"] == gate.full


def test_time_that_jumps_backwards_forgets_nothing() -> None:
    """What passed stays counted, and the bucket neither fills nor drains."""
    gate = WarmUp(10, 10, 3)
    assert passed(gate, 3, 50.0) == 3

    assert passed(gate, 3, 10.0) == 0
    assert passed(gate, 3, 50.4) == 0
    assert refused(gate.admit(REQUEST, 60.0 - 9.6)).retry_after_s == pytest.approx(0.6, abs=1e-5)


def test_a_reset_begins_cold_and_old_permits_take_nothing_out() -> None:
    """Warm before, a third after; the permit of before changes nothing."""
    gate = WarmUp(30, 10, 3)
    press(gate, 20, 0.0)
    old = gate.admit(REQUEST, 21.0)
    assert isinstance(old, Permit)
    gate.reset(21.0)
    assert passed(gate, 40, 21.0) == 10
    gate.settle(old, Outcome.IGNORED, 21.0)

    assert passed(gate, 1, 21.0) == 0
    with pytest.raises(AssertionError, match="twice"):
        gate.settle(old, Outcome.OK, 21.0)


@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), float("nan")])
def test_impossible_figures_are_errors(value: float) -> None:
    """Each says which figure was wrong and what it may be."""
    with pytest.raises(ValueError, match=r"rate_rps=.* must be a finite number above 0"):
        WarmUp(value)
    with pytest.raises(ValueError, match=r"period_s=.* must be a finite number above 0"):
        WarmUp(1.0, value)
    with pytest.raises(ValueError, match=r"cold_factor=.* must be a finite number above 1"):
        WarmUp(1.0, 1.0, value)
    with pytest.raises(ValueError, match="cold_factor"):
        WarmUp(1.0, 1.0, 1.0)


class WarmUpMachine(RuleBasedStateMachine):
    """Any order of events: bucket and allowance keep their bounds, and so does every second."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = WarmUp(6.0, 4.0, 3.0)
        self.now_s = self.seen_s = 0.0
        self.permits: list[Permit] = []
        self.counted: list[Permit] = []

    @rule(gap_s=st.integers(-3, 12))
    def wait(self, gap_s: int) -> None:
        self.now_s += gap_s / 8

    @rule(cost=st.integers(1, 30), count=st.integers(1, 6))
    def admit(self, cost: int, count: int) -> None:
        for _ in range(count):
            decision = self.gate.admit(Request(cost=cost / 4), self.now_s)
            if isinstance(decision, Permit):
                self.permits.append(decision)
                self.counted.append(decision)
                continue
            assert (decision.retry_after_s is None) == (cost / 4 > 6.0)

    @rule(outcome=st.sampled_from(list(Outcome)), newest=st.booleans())
    def settle(self, outcome: Outcome, newest: bool) -> None:
        if self.permits:
            permit = self.permits.pop(-1 if newest else 0)
            self.gate.settle(permit, outcome, self.now_s)
            if outcome is Outcome.IGNORED:
                self.counted.remove(permit)

    @invariant()
    def bounds_hold(self) -> None:
        tokens = self.gate.snapshot()["tokens"]
        assert isinstance(tokens, float)
        assert 0.0 <= tokens <= self.gate.full
        assert 2.0 <= self.gate.allowed_rps <= 6.0
        for first in self.counted:
            begin_s = first.issued_s // 0.5 / 2.0  # the promise is of two halves of a second
            inside = [p.cost for p in self.counted if begin_s <= p.issued_s < begin_s + 1.0]
            assert sum(inside) <= 6.0


TestWarmUpMachine = WarmUpMachine.TestCase
TestWarmUpMachine.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)


@pytest.mark.golden
def test_the_story_of_a_cold_start() -> None:
    """Full pressure on a cold service, a pause, and the same again."""
    gate = WarmUp(30, 10, 3)
    lines = ["Thirty a second when warm; three hundred come. Each line is a second.", ""]
    for start_s, seconds in ((0, 12), (40, 3)):
        for second in range(start_s, start_s + seconds):
            count = press(gate, 1, second, per_tenth=30)[0]
            tokens = gate.snapshot()["tokens"]
            bar = "#" * ceil(count / 2)
            lines.append(f"{second:>3} s  {count:>3} passed  {tokens:>5g} tokens  {bar}")
        lines.append("     nobody comes")
    transcript.check("warm_up", [*lines[:-1], "", repr(gate)])
