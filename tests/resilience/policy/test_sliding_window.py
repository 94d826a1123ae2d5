"""Sliding window: the weighted counter, the exact log, and how far the first may be off."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from resilience.policy import sliding_window
from resilience.policy.contract import Outcome, Permit, Rejection, Request
from resilience.policy.sliding_window import SlidingLog, SlidingWindow
from tests.golden import transcript

REQUEST = Request()
Form = type[SlidingWindow] | type[SlidingLog]
FORMS: list[Form] = [SlidingWindow, SlidingLog]
both = pytest.mark.parametrize("form", FORMS)


def passed(gate: SlidingWindow | SlidingLog, count: int, now_s: float) -> int:
    """Send that many at once; return how many passed."""
    return sum(isinstance(gate.admit(REQUEST, now_s), Permit) for _ in range(count))


def refused(decision: object) -> Rejection:
    """Take a decision that must be a refusal."""
    assert isinstance(decision, Rejection)
    return decision


def test_a_window_is_a_minute() -> None:
    """The window of the article, and the name that is answered with 429."""
    assert sliding_window.WINDOW_S == SlidingWindow(5).window_s == SlidingLog(5).window_s == 60.0
    assert SlidingWindow(5).name == SlidingLog(5).name == "rate"


@pytest.mark.paper
def test_the_published_example_holds() -> None:
    """Cloudflare's article: 42 in the last minute, 18 in the first 15 s of this: 49.5 of 50."""
    gate = SlidingWindow(50)
    assert passed(gate, 42, 30.0) == 42
    assert passed(gate, 18, 75.0) == 18

    decision = refused(gate.admit(REQUEST, 75.0))
    assert (decision.value, decision.limit) == (50.5, 50)
    assert isinstance(gate.admit(Request(cost=0.5), 75.0), Permit)


@both
def test_as_many_as_the_limit_pass_at_once(form: Form) -> None:
    """Three of four; the refusal names what was counted; a minute later it is forgotten."""
    gate = form(3)
    assert passed(gate, 4, 0.0) == 3
    refusal = refused(gate.admit(REQUEST, 0.0))
    assert (refusal.policy, refusal.reason) == ("rate", "RATE_EXCEEDED")
    assert (refusal.value, refusal.limit) == (4.0, 3)

    assert gate.snapshot()["rejected"] == 2
    assert passed(gate, 4, 120.0) == 3


def test_the_counter_says_when_the_window_before_has_left_room() -> None:
    """Ten in the last window and four in this: room for one when half of ten is covered."""
    gate = SlidingWindow(10)
    assert passed(gate, 10, 59.0) == 10
    assert passed(gate, 9, 84.0) == 4  # 6 of 10 are still covered

    refusal = refused(gate.admit(REQUEST, 85.5))
    assert refusal.retry_after_s == pytest.approx(4.5, abs=1e-5)
    assert isinstance(gate.admit(Request(cost=1.0), 85.5 + (refusal.retry_after_s or 0)), Permit)


def test_the_counter_says_when_this_window_will_have_left_room() -> None:
    """A window full at 10 s: its first tenth is forgotten a tenth into the next."""
    gate = SlidingWindow(10)
    passed(gate, 10, 10.0)

    refusal = refused(gate.admit(REQUEST, 10.0))
    assert refusal.retry_after_s == pytest.approx(56.0, abs=1e-5)
    assert passed(gate, 1, 65.99) == 0
    assert passed(gate, 2, 66.0) == 1


def test_the_log_says_when_enough_has_left() -> None:
    """A request of cost 3 waits until 1 and 2 have gone, not only the first of them."""
    gate = SlidingLog(4)
    for now_s, cost in [(0.0, 1.0), (10.0, 2.0), (20.0, 1.0)]:
        assert isinstance(gate.admit(Request(cost=cost), now_s), Permit)

    assert refused(gate.admit(Request(cost=3.0), 30.0)).retry_after_s == 40.0
    assert refused(gate.admit(REQUEST, 59.0)).retry_after_s == 1.0
    assert isinstance(gate.admit(REQUEST, 60.0), Permit)
    assert isinstance(gate.admit(Request(cost=2.0), 70.0), Permit)


@both
def test_what_costs_more_than_the_limit_never_passes(form: Form) -> None:
    """There is no time to come back at; what costs just the limit passes."""
    gate = form(5)

    assert refused(gate.admit(Request(cost=5.5), 0.0)).retry_after_s is None
    assert isinstance(gate.admit(Request(cost=5.0), 0.0), Permit)
    assert refused(gate.admit(Request(cost=5.0), 1.0)).retry_after_s is not None


@both
def test_only_an_ignored_request_is_taken_out_again(form: Form) -> None:
    """In the window of its admission and in the next; later there is nothing to take out."""
    for outcome in Outcome:
        gate = form(2)
        permit = gate.admit(Request(cost=2.0), 0.0)
        assert isinstance(permit, Permit)
        gate.settle(permit, outcome, 1.0)
        assert passed(gate, 3, 1.0) == (2 if outcome is Outcome.IGNORED else 0)


@both
def test_an_ignored_request_of_a_forgotten_window_changes_nothing(form: Form) -> None:
    """The window has turned twice: what is counted now is others'."""
    gate = form(2)
    permit = gate.admit(Request(cost=2.0), 0.0)
    assert isinstance(permit, Permit)
    assert passed(gate, 2, 130.0) == 2
    gate.settle(permit, Outcome.IGNORED, 131.0)

    assert passed(gate, 1, 131.0) == 0


def test_an_ignored_request_of_the_window_before_stops_weighing() -> None:
    """Two of the last window are taken back, so all of the limit is free."""
    gate = SlidingWindow(2)
    permit = gate.admit(Request(cost=2.0), 59.0)
    assert isinstance(permit, Permit)
    assert passed(gate, 1, 61.0) == 0
    gate.settle(permit, Outcome.IGNORED, 61.0)

    assert passed(gate, 3, 61.0) == 2
    assert gate.snapshot()["previous"] == 0.0


@both
def test_a_window_is_forgotten_when_it_is_past(form: Form) -> None:
    """Exactly two windows later nothing of the first weighs any more."""
    gate = form(4)
    assert passed(gate, 4, 0.0) == 4

    assert passed(gate, 9, 120.0) == 4


@both
def test_time_that_jumps_backwards_forgets_nothing(form: Form) -> None:
    """Neither the jump back nor the way forward again makes room."""
    gate = form(2)
    assert passed(gate, 2, 130.0) == 2
    assert passed(gate, 2, 10.0) == 0
    assert passed(gate, 2, 130.0) == 0
    again = form(2)
    passed(again, 1, 130.0)
    early = again.admit(REQUEST, 10.0)
    assert isinstance(early, Permit)
    again.settle(early, Outcome.IGNORED, 10.0)
    assert passed(again, 2, 130.0) == 1


@both
def test_a_reset_forgets_and_old_permits_take_nothing_out(form: Form) -> None:
    """All of the limit is free again, once."""
    gate = form(2)
    old = gate.admit(Request(cost=2.0), 0.0)
    assert isinstance(old, Permit)
    gate.reset(0.0)
    assert passed(gate, 3, 0.0) == 2
    gate.settle(old, Outcome.IGNORED, 0.0)

    assert passed(gate, 1, 0.0) == 0
    with pytest.raises(AssertionError, match="twice"):
        gate.settle(old, Outcome.OK, 0.0)


@both
@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), float("nan")])
def test_impossible_figures_are_errors(form: Form, value: float) -> None:
    """Each says which figure was wrong and what it may be."""
    with pytest.raises(ValueError, match=r"limit=.* must be a finite number above 0"):
        form(value)
    with pytest.raises(ValueError, match=r"window_s=.* must be a finite number above 0"):
        form(1.0, value)


def test_a_log_of_the_handed_back_does_not_grow() -> None:
    """A thousand callers who leave at once, one after the other, leave nothing behind."""
    gate = SlidingLog(5)
    for _ in range(1000):
        permit = gate.admit(REQUEST, 1.0)
        assert isinstance(permit, Permit)
        gate.settle(permit, Outcome.IGNORED, 1.0)

    assert gate.snapshot()["logged"] == 0
    assert repr(gate) == "<SlidingLog 0 of 5 in 60 s>"
    assert repr(SlidingWindow(5)) == "<SlidingWindow 0 after 0, 5 in 60 s>"


@pytest.mark.property
@both
@settings(max_examples=50)
@given(st.lists(st.tuples(st.floats(0, 40), st.floats(0.1, 3)), max_size=40))
def test_who_comes_back_when_told_to_passes(form: Form, steps: list[tuple[float, float]]) -> None:
    """Whatever came before, at the time of a machine that has run for months."""
    gate = form(5, 13.7)
    now_s = 1e7
    for gap_s, cost in steps:
        now_s += gap_s
        decision = gate.admit(Request(cost=cost), now_s)
        if isinstance(decision, Rejection):
            assert decision.retry_after_s is not None
            now_s += decision.retry_after_s
            assert isinstance(gate.admit(Request(cost=cost), now_s), Permit)


class WindowMachine(RuleBasedStateMachine):
    """Any order of events: the log never exceeds its limit, the counter never twice of it."""

    def __init__(self) -> None:
        super().__init__()
        self.gates: list[tuple[SlidingWindow | SlidingLog, float]] = [
            (SlidingWindow(4, 2.0), 8.0),
            (SlidingLog(4, 2.0), 4.0),
        ]
        self.now_s = self.seen_s = 0.0
        self.permits: list[tuple[SlidingWindow | SlidingLog, Permit]] = []
        self.counted: dict[int, list[Permit]] = {id(gate): [] for gate, _ in self.gates}

    @rule(gap_s=st.integers(-4, 12))
    def wait(self, gap_s: int) -> None:
        self.now_s += gap_s / 8

    @rule(cost=st.integers(1, 20))
    def admit(self, cost: int) -> None:
        for gate, _ in self.gates:
            decision = gate.admit(Request(cost=cost / 4), self.now_s)
            if isinstance(decision, Permit):
                self.permits.append((gate, decision))
                self.counted[id(gate)].append(decision)

    @rule(outcome=st.sampled_from(list(Outcome)), newest=st.booleans())
    def settle(self, outcome: Outcome, newest: bool) -> None:
        if self.permits:
            gate, permit = self.permits.pop(-1 if newest else 0)
            gate.settle(permit, outcome, self.now_s)
            if outcome is Outcome.IGNORED:
                self.counted[id(gate)].remove(permit)

    @invariant()
    def bounds_hold(self) -> None:
        for gate, bound in self.gates:
            permits = self.counted[id(gate)]
            for first in permits:
                inside = [p.cost for p in permits if 0.0 <= p.issued_s - first.issued_s < 2.0]
                assert sum(inside) <= bound


TestWindowMachine = WindowMachine.TestCase
TestWindowMachine.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)


@pytest.mark.golden
def test_the_story_of_a_window() -> None:
    """The trick against full minutes: a limit just before the turn, another just after."""
    counter, log = SlidingWindow(10), SlidingLog(10)
    lines = ["Ten a minute, asked for ten at each of these times.", ""]
    for now_s in (59.0, 61.0, 90.0, 119.0, 121.0):
        counts = f"counter lets {passed(counter, 10, now_s):>2} in, log {passed(log, 10, now_s):>2}"
        wait = refused(counter.admit(REQUEST, now_s)).retry_after_s
        lines.append(f"{now_s:>4g} s  {counts}; the next fits the counter in {wait:.1f} s")
    transcript.check("sliding_window", [*lines, "", repr(counter), repr(log)])


@pytest.mark.unit
def test_a_window_is_as_new_when_both_are_empty() -> None:
    """What is counted now is remembered through the next window; what was before, to its end."""
    gate = SlidingWindow(4.0, 2.0)
    permit = gate.admit(Request(), 1.0)
    assert gate.fresh_s() == 4.0
    second = gate.admit(Request(), 3.0)
    assert gate.fresh_s() == 6.0
    assert isinstance(second, Permit)
    gate.settle(second, Outcome.IGNORED, 3.0)
    assert gate.fresh_s() == 4.0
    assert isinstance(permit, Permit)
    gate.settle(permit, Outcome.IGNORED, 3.0)
    assert gate.fresh_s() == float("-inf")
