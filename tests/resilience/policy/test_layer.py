"""Layers around a limiter: on, in shadow and off, and moved while permits are out."""

import pytest

from resilience.policy.contract import Criticality, Mode, Outcome, Permit, Rejection, Request
from resilience.policy.criticality_gate import CriticalityGate, OverdrawnPermit
from resilience.policy.layer import ShadowedPermit, SwitchedLayer, SwitchedLimiter, switched
from resilience.policy.partitions import TenantPartitions
from resilience.policy.switch import PassPermit, SwitchedGate
from tests.resilience.policy.admission_model import Slots

SHEDDABLE = Request(1.0, Criticality.SHEDDABLE)
CRITICAL = Request(1.0, Criticality.CRITICAL)


class Rig:
    """A limiter with two slots under a criticality layer, and both switches."""

    def __init__(self) -> None:
        self.modes = {"limiter": Mode.ON, "criticality": Mode.ON}
        self.slots = Slots(2)
        self.limiter = SwitchedLimiter(self.slots, lambda: self.modes["limiter"])
        self.gate = SwitchedLayer(
            CriticalityGate(self.limiter), self.limiter, lambda: self.modes["criticality"]
        )

    def take(self, request: Request, now_s: float = 0.0) -> Permit:
        """Admit one that must be admitted."""
        permit = self.gate.admit(request, now_s)
        assert isinstance(permit, Permit)
        return permit


def test_on_the_layer_decides() -> None:
    """A critical request goes on above the limit, and sheds who matters less."""
    rig = Rig()
    rig.take(SHEDDABLE)
    rig.take(SHEDDABLE)
    assert isinstance(rig.take(CRITICAL), OverdrawnPermit)
    refused = rig.gate.admit(SHEDDABLE, 0.0)
    assert isinstance(refused, Rejection)
    assert (refused.policy, refused.reason) == ("criticality", "CRITICALITY_SHED")
    assert (rig.gate.in_flight, rig.gate.limit(0.0)) == (3, 2)


def test_off_the_limiter_decides_alone() -> None:
    """Its permits and its refusals, and the layer counts nothing."""
    rig = Rig()
    rig.modes["criticality"] = Mode.OFF
    held = [rig.take(SHEDDABLE), rig.take(SHEDDABLE)]
    refused = rig.gate.admit(CRITICAL, 0.0)
    assert isinstance(refused, Rejection)
    assert refused.policy == "limiter"
    for permit in held:
        rig.gate.settle(permit, Outcome.OK, 0.1)
    assert rig.slots.in_flight == 0
    figures = rig.gate.snapshot()
    assert [figures[name] for name in ("mode", "would_reject", "would_admit", "rejected")] == [
        "off", 0, 0, 0,
    ]  # fmt: skip


def test_in_shadow_the_limiter_decides_and_the_layer_counts() -> None:
    """Whom it would have let in above the limit, and whom it would have refused below it."""
    rig = Rig()
    rig.modes["criticality"] = Mode.SHADOW
    first, second = rig.take(SHEDDABLE), rig.take(SHEDDABLE)
    assert isinstance(rig.gate.admit(CRITICAL, 0.0), Rejection)  # the layer had room for it
    rig.slots.slots = 12
    full = [rig.take(CRITICAL) for _ in range(10)]
    rig.slots.slots = 0
    assert isinstance(rig.gate.admit(CRITICAL, 0.0), Rejection)  # it had none: shut for the others
    rig.slots.slots = 20
    shadowed = rig.take(SHEDDABLE)
    assert isinstance(shadowed, ShadowedPermit)
    assert shadowed.shadowed is not None
    assert shadowed.shadowed.reason == "CRITICALITY_SHED"
    figures = rig.gate.snapshot()
    assert [figures[name] for name in ("mode", "would_reject", "would_admit", "rejected")] == [
        "shadow", 1, 1, 0,
    ]  # fmt: skip
    for permit in (first, second, *full, shadowed):
        rig.gate.settle(permit, Outcome.OK, 0.1)
    assert (rig.slots.in_flight, rig.gate.in_flight) == (0, 0)
    with pytest.raises(AssertionError, match="settled twice"):
        rig.gate.settle(shadowed, Outcome.OK, 0.2)


def test_a_shut_gate_opens_in_shadow_too() -> None:
    """A second after the last refusal of somebody who mattered more nobody is counted."""
    rig = Rig()
    rig.modes["criticality"] = Mode.SHADOW
    rig.slots.slots = 0
    rig.gate.admit(Request(1.0, Criticality.CRITICAL), 0.0)
    rig.slots.slots = 9
    assert not isinstance(rig.take(SHEDDABLE, 1.0), ShadowedPermit)


def test_a_tenant_in_shadow_is_counted_and_gets_nothing_above_the_limit() -> None:
    """The greedy tenant fills the limit; the other one would have been let in."""
    slots = Slots(2)
    gate = SwitchedLayer(TenantPartitions(slots), slots, lambda: Mode.SHADOW)
    greedy = [gate.admit(Request(tenant="B"), 0.0) for _ in range(2)]
    assert isinstance(gate.admit(Request(tenant="A"), 0.0), Rejection)
    assert isinstance(gate.admit(Request(tenant="B"), 0.0), Rejection)
    figures = gate.snapshot()
    assert (figures["would_admit"], figures["in_flight_B"], figures["rejected"]) == (1, 2, 0)
    for permit in greedy:
        assert isinstance(permit, Permit)
        gate.settle(permit, Outcome.OK, 0.1)
    gate.reset(0.2)
    assert (slots.in_flight, gate.snapshot()["would_admit"]) == (0, 0)


def test_a_limiter_that_is_off_refuses_nobody_whatever_stands_around_it() -> None:
    """No limit is reached, so there is nobody to shed."""
    rig = Rig()
    rig.modes["limiter"] = Mode.OFF
    permits = [rig.take(SHEDDABLE) for _ in range(50)]
    assert all(isinstance(permit, PassPermit) for permit in permits)
    assert (rig.gate.in_flight, rig.limiter.limit(0.0)) == (0, 2)
    for permit in permits:
        rig.gate.settle(permit, Outcome.OK, 0.1)


def test_a_gate_with_a_switch_of_its_own_gets_no_second_one() -> None:
    """Any other gate obeys the switch of its name."""
    rig = Rig()
    assert switched(rig.gate, lambda name: Mode.OFF) is rig.gate
    assert switched(rig.limiter, lambda name: Mode.OFF) is rig.limiter
    asked: list[str] = []

    def mode_of(name: str) -> Mode:
        asked.append(name)
        return Mode.OFF

    plain = switched(rig.slots, mode_of)
    assert isinstance(plain, SwitchedGate)
    assert isinstance(plain.admit(CRITICAL, 0.0), PassPermit)
    assert asked == ["limiter"]
    assert repr(rig.gate) == "<SwitchedLayer on <CriticalityGate 0 in flight, overdrawn 0>>"
