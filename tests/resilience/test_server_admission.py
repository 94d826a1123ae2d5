"""The server's admission from one object: order, switches, choices, and nothing leaked."""

import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from resilience import server_admission
from resilience.policy.contract import Criticality, Mode, Outcome, Permit, Rejection, Request
from resilience.policy.criticality_gate import HOLD_S, LEVELS
from resilience.server_admission import LIMITERS, AdmissionSettings, build_admission
from resilience.switches import FixedSwitches

POLICIES = ("limiter", "criticality", "partitions")
LONGEST_HOLD_S = LEVELS * HOLD_S  # each level's refusal shuts those below it for one more hold


def test_defaults_are_documented() -> None:
    """BBR as in Kratos, 16 in flight where the limit is fixed, all tenants alike."""
    assert (server_admission.DEFAULT_LIMITER, server_admission.DEFAULT_FIXED_LIMIT) == ("bbr", 16)
    assert AdmissionSettings() == AdmissionSettings("bbr", 16, {})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"limiter": "bbrr"}, "limiter='bbrr' must be one of bbr, vegas"),
        ({"fixed_limit": 0}, "fixed_limit=0 must be >= 1"),
    ],
)
def test_wrong_settings_are_named(arguments: dict[str, object], said: str) -> None:
    """What was wrong, and what may be."""
    with pytest.raises(ValueError, match=said):
        AdmissionSettings(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("limiter", LIMITERS)
def test_every_limiter_admits_and_tells_who_it_is(limiter: str) -> None:
    """Each can be named in the settings."""
    admission = build_admission(
        AdmissionSettings(limiter), FixedSwitches(), pressure=lambda: 0.0, rng=random.Random(17)
    )
    permit = admission.gate.admit(Request(), 0.0)
    assert isinstance(permit, Permit)
    assert admission.policies["limiter"].snapshot()["by"] == limiter
    admission.gate.settle(permit, Outcome.OK, 0.1)
    assert admission.gate.in_flight == 0


def test_the_fixed_limit_may_move() -> None:
    """At once, for those who come; below 1 it is 1."""
    admission = build_admission(
        AdmissionSettings("fixed", fixed_limit=1),
        FixedSwitches({"criticality": Mode.OFF, "partitions": Mode.OFF}),
        pressure=lambda: 0.0,
    )
    assert isinstance(admission.gate.admit(Request(), 0.0), Permit)
    assert isinstance(admission.gate.admit(Request(), 0.0), Rejection)
    admission.set_fixed_limit(2)
    assert isinstance(admission.gate.admit(Request(), 0.0), Permit)
    admission.set_fixed_limit(-3)
    assert admission.gate.limit(0.0) == 1


def test_tenants_stand_around_importance() -> None:
    """Whoever has used most is refused by the outermost, naming its share."""
    admission = build_admission(
        AdmissionSettings("fixed", fixed_limit=2), FixedSwitches(), pressure=lambda: 0.0
    )
    for _ in range(40):
        admission.gate.admit(Request(1.0, Criticality.CRITICAL, "greedy"), 0.0)
    refused = admission.gate.admit(Request(1.0, Criticality.CRITICAL, "greedy"), 0.0)
    assert isinstance(refused, Rejection)
    assert (refused.policy, refused.reason) == ("partitions", "TENANT_SHARE_EXCEEDED")
    assert isinstance(admission.gate.admit(Request(1.0, Criticality.CRITICAL, "new"), 0.0), Permit)


def test_what_was_lent_is_taken_back_though_the_limiter_is_off_by_now() -> None:
    """For a second whoever filled it waits for those above the limit; then nobody is refused."""
    switches = FixedSwitches()
    admission = build_admission(
        AdmissionSettings("fixed", fixed_limit=3), switches, pressure=lambda: 0.0
    )
    greedy = Request(1.0, Criticality.SHEDDABLE)
    assert [isinstance(admission.gate.admit(greedy, 0.0), Permit) for _ in range(4)][-1] is False
    newcomer = Request(1.0, Criticality.SHEDDABLE, "new")
    assert isinstance(admission.gate.admit(newcomer, 0.0), Permit)
    switches.set("limiter", Mode.OFF)
    held = admission.gate.admit(greedy, 0.5)
    assert isinstance(held, Rejection)
    assert held.policy == "partitions"
    assert isinstance(admission.gate.admit(greedy, HOLD_S), Permit)


class AdmissionMachine(RuleBasedStateMachine):
    """Any switch and any choice may move at any time: no permit is lost, none counted twice."""

    def __init__(self) -> None:
        super().__init__()
        self.switches = FixedSwitches()
        self.choice = "fixed"
        self.now_s = 0.0
        self.held_until_s = 0.0
        self.permits: list[Permit] = []
        self.admission = build_admission(
            AdmissionSettings("fixed", fixed_limit=3),
            self.switches,
            pressure=lambda: 1.0,
            choice=lambda: self.choice,
            rng=random.Random(17),
        )

    @rule(gap_s=st.sampled_from([0.001, 0.5, 1.0, 11.0]))
    def wait(self, gap_s: float) -> None:
        self.now_s += gap_s

    @rule(level=st.sampled_from(Criticality), tenant=st.sampled_from(["", "A", "B"]))
    def come(self, level: Criticality, tenant: str) -> None:
        decision = self.admission.gate.admit(Request(1.0, level, tenant), self.now_s)
        if isinstance(decision, Permit):
            self.permits.append(decision)
        else:
            is_limiting = self.switches.mode("limiter") is Mode.ON
            assert is_limiting or self.now_s < self.held_until_s
            on = {name for name in POLICIES if self.switches.mode(name) is Mode.ON}
            # A limiter may be named by the layer that asked it; a layer that isn't on refuses none.
            assert decision.policy in on

    @rule(number=st.integers(0, 40), outcome=st.sampled_from(Outcome))
    def go(self, number: int, outcome: Outcome) -> None:
        if self.permits:
            permit = self.permits.pop(number % len(self.permits))
            self.admission.gate.settle(permit, outcome, self.now_s)

    @rule(name=st.sampled_from(POLICIES), mode=st.sampled_from(Mode))
    def switch(self, name: str, mode: Mode) -> None:
        if name == "limiter" and self.switches.mode(name) is Mode.ON:
            self.held_until_s = self.now_s + LONGEST_HOLD_S
        self.switches.set(name, mode)

    @rule(choice=st.sampled_from([*LIMITERS, "unheard-of"]))
    def choose(self, choice: str) -> None:
        self.choice = choice

    @rule(name=st.sampled_from(POLICIES))
    def reset(self, name: str) -> None:
        self.admission.policies[name].reset(self.now_s)

    @invariant()
    def nobody_is_counted_twice(self) -> None:
        assert 0 <= self.admission.gate.in_flight <= len(self.permits)
        assert all(not permit.settled for permit in self.permits)

    def teardown(self) -> None:
        for permit in self.permits:
            self.admission.gate.settle(permit, Outcome.OK, self.now_s)
        assert self.admission.gate.in_flight == 0
        figures = self.admission.policies["partitions"].snapshot()
        tenants = [value for name, value in figures.items() if name.startswith("in_flight_")]
        assert sum(int(value or 0) for value in tenants) == 0
        assert figures["overdrawn"] == 0


TestAdmissionMachine = AdmissionMachine.TestCase
TestAdmissionMachine.settings = settings(max_examples=60, deadline=None)
