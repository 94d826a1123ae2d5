"""Criticality gate and time: nobody goes above the limit to be answered too late."""

import pytest

from resilience.policy.bbr import BbrLimiter
from resilience.policy.contract import Criticality, Outcome, Permit, Request
from resilience.policy.criticality_gate import CriticalityGate
from tests.resilience.policy.admission_model import AdmissionModel, Slots, Stream

CRITICAL = Criticality.CRITICAL


def above(gate: CriticalityGate, count: int = 1, now_s: float = 0.0) -> list[Permit]:
    """Admit critical requests until so many are above the limit; return those."""
    permits = []
    while gate.overdrawn < count:
        permit = gate.admit(Request(1.0, CRITICAL), now_s)
        assert isinstance(permit, Permit)
        permits.append(permit)
    return permits[-count:]


def taught(outcome: Outcome, *stays_s: float, pace_s: float = 0.0) -> float:
    """Return the pace in ms after requests, each the fifth in flight, stayed so long."""
    gate = CriticalityGate(Slots(4))
    if pace_s:
        (first,) = above(gate)
        gate.settle(first, Outcome.OK, 5 * pace_s)
    for stay_s in stays_s:
        (permit,) = above(gate)
        gate.settle(permit, outcome, stay_s)
    pace_ms = gate.snapshot()["pace_ms"]
    assert isinstance(pace_ms, float)
    return pace_ms


def test_the_pace_is_what_one_above_the_limit_took_over_those_in_flight() -> None:
    """The fifth of five took 100 ms: one is served each 20 ms; the next moves it by an eighth."""
    assert taught(Outcome.OK, 0.1) == 20.0
    assert taught(Outcome.OK, 0.1, 0.5) == 30.0
    assert taught(Outcome.OK, 0.5, 0.1) == 90.0


def test_the_line_is_counted_as_it_was_when_one_came() -> None:
    """Of two above the limit the second has six in flight with itself."""
    gate = CriticalityGate(Slots(4))
    first, second = above(gate, 2)
    gate.settle(second, Outcome.OK, 0.6)
    assert gate.snapshot()["pace_ms"] == 100.0
    gate.settle(first, Outcome.IGNORED, 0.6)
    assert gate.snapshot()["pace_ms"] == 100.0


def test_a_call_cut_took_at_least_that_long_and_the_others_say_nothing() -> None:
    """OVERLOADED only slows the pace down; a failure or a caller who left leaves it."""
    assert taught(Outcome.OVERLOADED, 0.9, pace_s=0.02) == 40.0
    assert taught(Outcome.OVERLOADED, 0.001, pace_s=0.02) == 20.0
    assert taught(Outcome.OVERLOADED, 1.0) == 200.0
    assert taught(Outcome.FAILED, 0.9, pace_s=0.02) == 20.0
    assert taught(Outcome.IGNORED, 0.9) == 0.0


def test_the_limiter_s_own_requests_do_not_move_the_pace() -> None:
    """They found a worker free; who waits above them tells how long the line is."""
    gate = CriticalityGate(Slots(4))
    permit = gate.admit(Request(1.0, CRITICAL), 0.0)
    assert isinstance(permit, Permit)
    gate.settle(permit, Outcome.OK, 3.0)

    assert gate.snapshot()["pace_ms"] == 0.0


def test_a_level_may_spend_more_of_its_time_than_the_one_below() -> None:
    """At 20 ms each, half of a second is 25 in flight; the limits alone would allow 24 to 64."""
    gate = CriticalityGate(Slots(4))
    gate.settle(above(gate)[0], Outcome.OK, 0.1)
    rooms = [gate.room(level, 1.0, 2.0) for level in Criticality]

    assert rooms == [4, 24, 37, 40]
    assert [gate.room(level, 1.0, 1.5) for level in Criticality] == [4, 12, 18, 20]
    assert [gate.room(level, 1.0) for level in Criticality] == [4, 24, 44, 64]  # no deadline


def test_critical_requests_are_refused_that_would_come_too_late() -> None:
    """Half a second left and 20 ms each: eighteen in flight may have one more, nineteen not."""
    gate = CriticalityGate(Slots(4))
    gate.settle(above(gate)[0], Outcome.OK, 0.1)
    came = [gate.admit(Request(1.0, CRITICAL, deadline_s=1.5), 1.0) for _ in range(20)]

    assert sum(isinstance(each, Permit) for each in came) == 15  # four were in flight before
    assert gate.in_flight == 19
    assert gate.admit_in_shadow(Request(1.0, CRITICAL, deadline_s=1.5), 1.0)[1] is None
    assert gate.would_admit == 0
    assert isinstance(gate.admit(Request(1.0, CRITICAL, deadline_s=3.0), 1.0), Permit)


def test_the_time_left_holds_for_a_debt_too() -> None:
    """While others are above the limit, also one whom the limiter would admit must be in time."""
    limiter = Slots(1)
    gate = CriticalityGate(limiter)
    (permit,) = above(gate)
    gate.settle(permit, Outcome.OK, 0.2)  # 100 ms each
    above(gate, 4, 1.0)
    limiter.slots = 3
    late = gate.admit(Request(1.0, CRITICAL, deadline_s=1.5), 1.0)

    assert not isinstance(late, Permit)
    assert (late.reason, late.value, late.limit) == ("CRITICALITY_SHED", 5, 4)


def test_one_may_always_go_above_the_limit_however_slow_the_pace() -> None:
    """Else a pace learned in a bad minute would never be unlearned."""
    gate = CriticalityGate(Slots(4))
    gate.settle(above(gate)[0], Outcome.OVERLOADED, 50.0)
    assert gate.room(CRITICAL, 60.0, 61.0) == 5

    for _ in range(100):
        (permit,) = above(gate, 1, 60.0)
        gate.settle(permit, Outcome.OK, 60.1)
    assert gate.snapshot()["pace_ms"] == pytest.approx(20.0, abs=0.1)


def test_no_room_is_given_that_the_limits_do_not_give() -> None:
    """With steps of nothing the time left adds nothing either."""
    gate = CriticalityGate(Slots(4), step_ratio=0.0, least_step=0.0)
    permits = [gate.admit(Request(1.0, CRITICAL), 0.0) for _ in range(5)]
    last = permits[-1]
    assert isinstance(last, Permit)
    gate.settle(last, Outcome.OK, 0.1)

    assert [gate.room(level, 0.0, 9.0) for level in Criticality] == [4, 4, 4, 4]


def test_a_reset_forgets_the_pace_and_those_from_before_do_not_teach() -> None:
    """What began before is not evidence for after."""
    gate = CriticalityGate(Slots(4))
    known, old = above(gate, 2)
    gate.settle(known, Outcome.OK, 0.1)
    gate.reset(1.0)
    assert gate.snapshot()["pace_ms"] == 0.0
    gate.settle(old, Outcome.OK, 9.0)

    assert gate.snapshot()["pace_ms"] == 0.0


@pytest.mark.parametrize("level", [Criticality.CRITICAL, Criticality.CRITICAL_PLUS])
def test_where_all_are_as_important_nobody_waits_in_vain(level: Criticality) -> None:
    """Five times what a service carries, all of one level: goodput >= 0.97, with 8 seeds."""
    phases = [(20.0, [Stream("all", 108.0, level)])]

    def door(pressure: object) -> CriticalityGate:
        assert callable(pressure)
        return CriticalityGate(BbrLimiter(pressure))

    assert min(AdmissionModel(phases, door, seed).run().goodput for seed in range(8)) >= 0.97
