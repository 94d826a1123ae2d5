"""State breaker: in any order of calls, endings, commands and time its promises hold."""

import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from resilience.policy.breaker_settings import BreakerSettings
from resilience.policy.breaker_states import BY_HAND, State, Transition, next_state
from resilience.policy.contract import Outcome, Permit, Rejection, Request, Snapshot
from resilience.policy.state_breaker import StateBreaker

REQUEST = Request()
SETTINGS = (
    BreakerSettings(window_calls=6, min_calls=3, slow_s=1.0, open_s=2.0, half_open_calls=2),
    BreakerSettings(window_s=5.0, min_calls=2, slow_s=2.0, open_s=1.0, open_growth=2.0),
    BreakerSettings(
        window_calls=3, min_calls=1, slow_ratio=0.3, slow_s=0.5, open_s=3.0, open_jitter_ratio=0.5
    ),
)
LETTING = {State.CLOSED, State.DISABLED, State.METRICS_ONLY}


class StateBreakerMachine(RuleBasedStateMachine):
    """Call, end, command, reset and wait in any order.

    No permit leaks, each change stands in the table, a call changes the state once at most,
    half-open lets no more through than it may, and time alone is enough to recover.
    """

    @initialize(chosen=st.sampled_from(SETTINGS))
    def start(self, chosen: BreakerSettings) -> None:
        self.breaker = StateBreaker(chosen, random.Random(1))
        self.now_s = 0.0
        self.permits: list[tuple[Permit, int]] = []  # with the changes of state before them
        self.changes = 0
        self.before: tuple[State, Transition | None] = (State.CLOSED, None)

    def note_change(self) -> None:
        """Hold a change of state, if there was one, against the table."""
        state, last = self.before
        now = self.breaker.last_transition
        if now is last:
            assert self.breaker.state is state
            return
        assert now is not None
        assert (now.source, now.target, now.at_s) == (state, self.breaker.state, self.now_s)
        assert next_state(now.source, now.event) is now.target
        self.changes += 1
        self.before = (now.target, now)

    @rule(gap_s=st.sampled_from([0.0, 0.1, 0.6, 1.0, 2.0, 5.0, 70.0]))
    def wait(self, gap_s: float) -> None:
        self.now_s += gap_s

    @rule()
    def admit(self) -> None:
        state = self.breaker.state
        decision = self.breaker.admit(REQUEST, self.now_s)
        self.note_change()
        if isinstance(decision, Permit):
            self.permits.append((decision, self.changes))
            assert self.breaker.state not in {State.OPEN, State.FORCED_OPEN}
        else:
            assert state not in LETTING
            assert decision.retry_after_s is not None
            assert decision.retry_after_s > 0

    @precondition(lambda self: self.permits)
    @rule(outcome=st.sampled_from(list(Outcome)), newest=st.booleans())
    def settle(self, outcome: Outcome, newest: bool) -> None:
        permit, changes = self.permits.pop(-1 if newest else 0)
        before = self.breaker.snapshot()
        self.breaker.settle(permit, outcome, self.now_s)
        self.note_change()
        if changes != self.changes_at(before) or outcome is Outcome.IGNORED:
            after = self.breaker.snapshot()
            same = ("state", "calls", "failed", "slow", "opened")
            assert [after[key] for key in same] == [before[key] for key in same]

    def changes_at(self, before: Snapshot) -> int:
        """Say how many changes there were before the settling just done."""
        changed = before["state"] != self.breaker.state.value
        return self.changes - 1 if changed else self.changes

    @rule(command=st.sampled_from(["close", "trip", "force_open", "disable", "count_only"]))
    def command(self, command: str) -> None:
        getattr(self.breaker, command)(self.now_s)
        self.note_change()
        wanted = {event.value: target for event, target in BY_HAND.items()}
        assert self.breaker.state is wanted[command]

    @rule()
    def reset(self) -> None:
        by_hand = self.breaker.state in {State.FORCED_OPEN, State.DISABLED, State.METRICS_ONLY}
        state = self.breaker.state
        self.breaker.reset(self.now_s)
        self.note_change()
        assert self.breaker.state is (state if by_hand else State.CLOSED)
        self.changes += 1  # a generation of its own, too

    @invariant()
    def counts_hold(self) -> None:
        snapshot = self.breaker.snapshot()
        assert self.breaker.in_flight == len(self.permits)
        counts = [snapshot[key] for key in ("calls", "failed", "slow", "probes", "rejected")]
        calls, failed, slow, probes, _ = (int(each or 0) for each in counts)
        assert min(int(each or 0) for each in counts) >= 0
        assert failed <= calls
        assert slow <= calls
        if self.breaker.state is State.HALF_OPEN:
            under_way = sum(changes == self.changes for _, changes in self.permits)
            assert probes == under_way + calls
            assert probes <= self.breaker.settings.half_open_calls

    def teardown(self) -> None:
        """Whatever happened, and whatever still hangs: time and good answers close it."""
        if not hasattr(self, "breaker") or self.breaker.state not in {State.OPEN, State.HALF_OPEN}:
            return
        for _ in range(3 * self.breaker.settings.half_open_calls):
            self.now_s += self.breaker.settings.open_cap_s
            decision = self.breaker.admit(REQUEST, self.now_s)
            if isinstance(decision, Rejection):
                continue
            self.breaker.settle(decision, Outcome.OK, self.now_s)
        assert self.breaker.snapshot()["state"] == "closed"


TestStateBreakerMachine = pytest.mark.property(StateBreakerMachine.TestCase)
TestStateBreakerMachine.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
