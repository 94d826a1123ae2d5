"""Switches: on, shadow, off, and moving while permits are out."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from resilience.policy.bulkhead import Bulkhead
from resilience.policy.contract import (
    Criticality,
    Mode,
    Outcome,
    Permit,
    Rejection,
    Request,
    Ticket,
)
from resilience.policy.fixed import FixedLimit
from resilience.policy.limit import AdaptiveLimiter
from resilience.policy.switch import PassPermit, SwitchedGate, SwitchedQueue
from resilience.policy.wait_queue import WaitQueue
from tests.resilience.fakes import FakeGate

REQUEST = Request()


class Switch:
    def __init__(self, mode: Mode) -> None:
        self.mode = mode

    def __call__(self) -> Mode:
        return self.mode


def test_on_refuses_what_the_gate_refuses() -> None:
    """A switch that is on is not there."""
    gate = SwitchedGate(FakeGate(refuse=True), Switch(Mode.ON))

    assert isinstance(gate.admit(REQUEST, 0.0), Rejection)
    assert gate.name == "limiter"


def test_shadow_refuses_nothing_and_says_what_it_would_have() -> None:
    """The permit remembers the rejection, for the one who notes it."""
    inner = FakeGate(refuse=True)
    gate = SwitchedGate(inner, Switch(Mode.SHADOW))
    permit = gate.admit(REQUEST, 0.0)

    assert isinstance(permit, PassPermit)
    assert permit.shadowed is not None
    assert permit.shadowed.reason == "LIMIT_EXCEEDED"
    gate.settle(permit, Outcome.OK, 0.0)
    assert (inner.in_flight, inner.outcomes) == (0, [])
    assert gate.snapshot() == {"in_flight": 0, "mode": "shadow", "would_reject": 1}


def test_shadow_counts_what_the_gate_admits() -> None:
    """In shadow the gate learns from everyone it would have let in."""
    inner = FakeGate()
    gate = SwitchedGate(inner, Switch(Mode.SHADOW))
    permit = gate.admit(REQUEST, 0.0)
    assert isinstance(permit, Permit)
    assert inner.in_flight == 1
    gate.settle(permit, Outcome.FAILED, 0.0)

    assert inner.outcomes == [Outcome.FAILED]


def test_off_leaves_the_gate_alone() -> None:
    """Neither admitted nor settled nor counted."""
    inner = FakeGate(refuse=True)
    gate = SwitchedGate(inner, Switch(Mode.OFF))
    permit = gate.admit(REQUEST, 0.0)
    assert isinstance(permit, PassPermit)
    assert permit.shadowed is None
    gate.settle(permit, Outcome.OK, 0.0)

    assert (inner.in_flight, inner.outcomes, gate.would_reject) == (0, [], 0)


def test_reset_reaches_the_gate() -> None:
    """A reset forgets the count of shadow refusals too."""
    inner = FakeGate(refuse=True)
    gate = SwitchedGate(inner, Switch(Mode.SHADOW))
    gate.admit(REQUEST, 0.0)
    gate.reset(0.0)

    assert (inner.resets, gate.would_reject) == (1, 0)


@given(st.lists(st.tuples(st.sampled_from(list(Mode)), st.booleans(), st.booleans()), max_size=50))
def test_moving_the_switch_with_permits_out_keeps_the_count(
    steps: list[tuple[Mode, bool, bool]],
) -> None:
    """In flight is never negative, and zero once everything is settled."""
    inner, switch = FakeGate(), Switch(Mode.ON)
    gate = SwitchedGate(inner, switch)
    permits: list[Permit] = []
    for mode, refuse, settle in steps:
        switch.mode, inner.refuse = mode, refuse
        decision = gate.admit(REQUEST, 0.0)
        if isinstance(decision, Permit):
            permits.append(decision)
        if settle and permits:
            gate.settle(permits.pop(0), Outcome.OK, 0.0)
        assert inner.in_flight == sum(type(permit) is Permit for permit in permits)
    for permit in permits:
        gate.settle(permit, Outcome.OK, 0.0)
    assert inner.in_flight == 0


def test_a_queue_in_shadow_lets_nobody_wait_and_counts_who_would_have() -> None:
    """Waiting and refusing are both only counted."""
    queue = SwitchedQueue(Bulkhead(1, 1), Switch(Mode.SHADOW))
    permits = [queue.offer(REQUEST, 0.0) for _ in range(3)]

    assert all(isinstance(permit, Permit) for permit in permits)
    assert (queue.would_wait, queue.would_reject, queue.snapshot()["in_flight"]) == (2, 0, 1)
    for permit in permits:
        assert isinstance(permit, Permit)
        queue.settle(permit, Outcome.OK, 0.0)
    assert queue.snapshot()["in_flight"] == 0


def test_a_queue_in_shadow_without_a_room_counts_refusals() -> None:
    """The permit remembers the rejection, as with a gate."""
    queue = SwitchedQueue(Bulkhead(1), Switch(Mode.SHADOW))
    queue.offer(REQUEST, 0.0)
    permit = queue.offer(REQUEST, 0.0)

    assert isinstance(permit, PassPermit)
    assert permit.shadowed is not None
    queue.reset(0.0)
    assert queue.would_reject == 0


def test_who_waits_when_a_queue_is_switched_off_is_still_granted() -> None:
    """Tickets belong to the policy; turning it off strands nobody."""
    switch = Switch(Mode.ON)
    queue = SwitchedQueue(Bulkhead(1, 1), switch)
    permit, ticket = queue.offer(REQUEST, 0.0), queue.offer(REQUEST, 0.0)
    switch.mode = Mode.OFF
    assert isinstance(permit, Permit)
    assert isinstance(ticket, Ticket)
    assert isinstance(queue.offer(REQUEST, 0.0), PassPermit)

    granted, _ = queue.settle(permit, Outcome.OK, 0.0)
    assert [each for each, _ in granted] == [ticket]
    assert queue.next_deadline_s() is None
    assert queue.on_tick(1.0) == ([], [])
    assert queue.cancel(ticket, 1.0) == ((), ())


def test_every_pair_of_modes_is_balanced_for_a_queue() -> None:
    """Offer in one mode, settle in another."""
    for offered, settled in itertools.product(Mode, Mode):
        switch = Switch(offered)
        queue = SwitchedQueue(Bulkhead(1), switch)
        permit = queue.offer(REQUEST, 0.0)
        switch.mode = settled
        assert isinstance(permit, Permit)
        queue.settle(permit, Outcome.OK, 0.0)
        assert queue.snapshot()["in_flight"] == 0


def test_whom_a_request_in_shadow_displaces_is_told_at_the_next_turn() -> None:
    """Whichever turn that is; until then there is something to do."""
    for ask in ("settle", "cancel", "on_tick"):
        switch = Switch(Mode.ON)
        limiter = AdaptiveLimiter(FixedLimit(1))
        queue = SwitchedQueue(WaitQueue(limiter, 1, target_s=60.0, interval_s=60.0), switch)
        held = queue.offer(REQUEST, 0.0)
        waiting = queue.offer(Request(criticality=Criticality.SHEDDABLE), 0.0)
        switch.mode = Mode.SHADOW
        passed = queue.offer(REQUEST, 0.0)

        assert isinstance(held, Permit)
        assert isinstance(waiting, Ticket)
        assert isinstance(passed, PassPermit)
        assert queue.next_deadline_s() == float("-inf")
        if ask == "settle":
            turn = queue.settle(passed, Outcome.OK, 0.0)
        elif ask == "cancel":
            turn = queue.cancel(waiting, 0.0)
        else:
            turn = queue.on_tick(0.0)
        assert [(ticket, refusal.reason) for ticket, refusal in turn.dropped] == [
            (waiting, "QUEUE_EVICTED")
        ]
        assert queue.on_tick(0.0).dropped in ((), [])
        assert queue.next_deadline_s() is None
