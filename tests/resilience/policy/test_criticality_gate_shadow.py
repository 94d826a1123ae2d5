"""Criticality gate looking on: the limiter decides, and the gate counts what it would have done."""

from resilience.policy.contract import Criticality, Outcome, Permit, Rejection, Request
from resilience.policy.criticality_gate import HOLD_S, CriticalityGate
from tests.resilience.policy.admission_model import Slots

SHEDDABLE = Request(criticality=Criticality.SHEDDABLE)
CRITICAL = Request(criticality=Criticality.CRITICAL)


def held(gate: CriticalityGate, count: int) -> list[Permit]:
    """Take that many places by importance."""
    decisions = [gate.admit(CRITICAL, 0.0) for _ in range(count)]
    permits = [each for each in decisions if isinstance(each, Permit)]
    assert len(permits) == count
    return permits


def test_whom_it_would_have_let_in_above_the_limit_is_counted() -> None:
    """A critical one within its room; a sheddable one never."""
    gate = CriticalityGate(Slots(2))
    held(gate, 2)

    for request, count in ((SHEDDABLE, 0), (CRITICAL, 1), (CRITICAL, 2), (SHEDDABLE, 2)):
        decision, refusal = gate.admit_in_shadow(request, 0.0)
        assert isinstance(decision, Rejection)
        assert (decision.policy, refusal, gate.would_admit) == ("limiter", None, count)


def test_beyond_its_room_the_gate_would_have_refused_and_shut() -> None:
    """For a second it would refuse the less important whom the limiter lets in."""
    gate = CriticalityGate(Slots(1), step_ratio=0.0, least_step=0.0)
    first, overdrawn = held(gate, 2)
    assert isinstance(gate.admit_in_shadow(CRITICAL, 0.0)[0], Rejection)
    assert gate.would_admit == 0
    gate.settle(first, Outcome.OK, 0.0)

    decision, refusal = gate.admit_in_shadow(SHEDDABLE, HOLD_S / 2)
    assert isinstance(decision, Permit)
    assert refusal is not None
    assert (refusal.policy, refusal.value, refusal.limit) == ("criticality", 2, 1.0)
    gate.settle(decision, Outcome.OK, HOLD_S / 2)

    decision, refusal = gate.admit_in_shadow(SHEDDABLE, HOLD_S)
    assert isinstance(decision, Permit)
    assert refusal is None
    gate.settle(decision, Outcome.OK, HOLD_S)
    gate.settle(overdrawn, Outcome.OK, HOLD_S)
    assert gate.in_flight == 0


def test_a_refused_sheddable_request_shuts_out_nobody() -> None:
    """Nobody matters less, so the next of its kind is let in as soon as there is room."""
    gate = CriticalityGate(Slots(1), step_ratio=0.0, least_step=0.0)
    first, _ = held(gate, 2)
    assert isinstance(gate.admit_in_shadow(SHEDDABLE, 0.0)[0], Rejection)
    gate.settle(first, Outcome.OK, 0.0)

    _, refusal = gate.admit_in_shadow(SHEDDABLE, 0.0)

    assert refusal is None
