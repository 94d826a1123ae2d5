"""A server's admission as the lab has it: it follows control, and a live change costs no permit."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from kit.admission import LIMIT_SETTING, admit_by
from kit.choices import CHOICES
from kit.control import ControlClient
from kit.node import Node
from resilience.policy.contract import Criticality, Mode, Outcome, Permit, Rejection, Request
from resilience.server_admission import DEFAULT_FIXED_LIMIT, ServerAdmission, Visible
from tests.kit.lab import node_of, wait_until
from tests.valkey import Valkey

LIMITERS = CHOICES["limiter"]
HELD_S, ENDING_S = 60.0, 0.3  # a lease that outlives any test, and its last renewal


class Ground:
    """A node as a test says it."""

    def __init__(self) -> None:
        self.rng = random.Random(17)
        self.choices: dict[str, str] = {}
        self.settings: dict[str, float] = {}
        self.modes: dict[str, Mode] = {}
        self.gates: dict[str, Visible] = {}
        self.full = 0.0
        self._listeners: list[Callable[[Any], None]] = []

    def mode(self, policy: str) -> Mode:
        return self.modes.get(policy, Mode.ON)

    def choice(self, name: str, default: str) -> str:
        return self.choices.get(name, default)

    def setting(self, name: str, default: float) -> float:
        return self.settings.get(name, default)

    def pressure(self) -> float:
        return self.full

    def on_change(self, callback: Callable[[Any], None]) -> None:
        self._listeners.append(callback)

    def register_gate(self, name: str, gate: Visible) -> None:
        self.gates[name] = gate

    def change(self, **settings: float) -> None:
        """Have these settings from now on, and tell everybody."""
        self.settings = settings
        for listener in self._listeners:
            listener(None)


def enter(admission: ServerAdmission, tenant: str = "") -> Permit:
    """Come in; the door has room."""
    permit = admission.gate.admit(Request(1.0, Criticality.CRITICAL, tenant), 0.0)
    assert isinstance(permit, Permit)
    return permit


def by(admission: ServerAdmission) -> object:
    """Say who learns the limit."""
    return admission.policies["limiter"].snapshot()["by"]


@pytest.mark.unit
def test_every_policy_is_shown_by_its_name() -> None:
    """Pages, metrics and resets reach the three that guard the door."""
    ground = Ground()
    admission = admit_by(ground)
    assert ground.gates == admission.policies
    assert set(ground.gates) == {"limiter", "criticality", "partitions"}
    assert by(admission) == "bbr"


@pytest.mark.unit
def test_the_number_is_followed_where_the_limiter_is_fixed() -> None:
    """16 until somebody sets it, what was set from then on, and 16 again."""
    ground = Ground()
    ground.choices["limiter"] = "fixed"
    ground.modes = {"criticality": Mode.OFF, "partitions": Mode.OFF}
    admission = admit_by(ground)
    assert (LIMIT_SETTING, DEFAULT_FIXED_LIMIT) == ("limit", 16)
    permits = [enter(admission) for _ in range(DEFAULT_FIXED_LIMIT)]
    assert isinstance(admission.gate.admit(Request(), 0.0), Rejection)
    ground.change(limit=17)
    permits.append(enter(admission))
    ground.change(limit=2)
    for permit in permits[2:]:
        admission.gate.settle(permit, Outcome.OK, 1.0)
    refused = admission.gate.admit(Request(), 1.0)
    assert isinstance(refused, Rejection)
    assert (refused.policy, refused.value, refused.limit) == ("limiter", 2, 2)
    ground.change()
    assert admission.gate.limit(1.0) == DEFAULT_FIXED_LIMIT


@pytest.mark.unit
@pytest.mark.parametrize("outcome", Outcome)
def test_each_limiter_gets_its_permits_back_however_often_it_is_exchanged(outcome: Outcome) -> None:
    """All six, round and round, with requests of all of them under way at once."""
    ground = Ground()
    admission = admit_by(ground)
    permits = []
    for turn in range(4):
        for name in LIMITERS:
            ground.choices["limiter"] = name
            permits.append(enter(admission, f"tenant-{turn}"))
            assert by(admission) == name
    assert admission.gate.in_flight == len(permits) == 24
    random.Random(17).shuffle(permits)
    for left, permit in reversed(list(enumerate(permits))):
        admission.gate.settle(permit, outcome, 1.0)
        assert admission.gate.in_flight == left
    with pytest.raises(AssertionError, match="settled twice"):
        admission.gate.settle(permits[0], outcome, 2.0)


@pytest.mark.unit
def test_a_choice_that_this_process_does_not_know_changes_nothing() -> None:
    """A newer command line may know more: whoever guards the door goes on."""
    ground = Ground()
    ground.choices["limiter"] = "vegas"
    admission = admit_by(ground)
    ground.choices["limiter"] = "of-tomorrow"
    permit = enter(admission)
    assert by(admission) == "vegas"
    admission.gate.settle(permit, Outcome.OK, 1.0)
    assert admission.gate.in_flight == 0


async def choose(control: ControlClient, node: Node, value: str) -> None:
    """Choose video's limiter, and wait until this process knows."""
    await control.write({"choice/video/limiter": {"value": value}})
    await wait_until(lambda: node.choice("limiter", "") == value)


@pytest.mark.integration
async def test_a_limiter_chosen_live_leaks_no_permit(
    control: ControlClient, shared_control: Valkey
) -> None:
    """Through the control plane, with a request of each under way."""
    async with node_of(shared_control) as node:
        admission = admit_by(node)
        permits = []
        for name in LIMITERS:
            await choose(control, node, name)
            permits.append(enter(admission))
            assert by(admission) == name
        await control.write({"choice/video/limiter": None})
        await wait_until(lambda: node.choice("limiter", "bbr") == "bbr")
        permits.append(enter(admission))
        assert by(admission) == "bbr"
        assert admission.gate.in_flight == len(LIMITERS) + 1
        for permit in permits:
            admission.gate.settle(permit, Outcome.OK, 1.0)
        assert admission.gate.in_flight == 0


@pytest.mark.integration
async def test_an_arm_s_limiter_and_number_end_with_its_lease(
    control: ControlClient, shared_control: Valkey
) -> None:
    """Whoever came in under the arm goes out under the default; nothing stays taken."""
    async with node_of(shared_control) as node:
        admission = admit_by(node)
        before = enter(admission)
        arm = {
            "id": "arm",
            "ttl_s": HELD_S,
            "policies": {"video": {"criticality": "off", "partitions": "off"}},
            "choices": {"video": {"limiter": "fixed"}},
            "settings": {"video": {LIMIT_SETTING: 1.0}},
        }
        await control.write({"overlay": arm})
        await wait_until(lambda: node.choice("limiter", "bbr") == "fixed")
        during = enter(admission)
        assert (by(admission), admission.gate.limit(0.0)) == ("fixed", 1)
        assert isinstance(admission.gate.admit(Request(), 0.0), Rejection)

        await control.write({"overlay": {**arm, "ttl_s": ENDING_S}})
        await wait_until(lambda: node.choice("limiter", "bbr") == "bbr")
        after = enter(admission)
        assert (by(admission), admission.gate.in_flight) == ("bbr", 3)
        for permit in (before, during, after):
            admission.gate.settle(permit, Outcome.OK, 1.0)
        assert admission.gate.in_flight == 0
        await choose(control, node, "fixed")
        last = enter(admission)
        assert admission.gate.limit(0.0) == DEFAULT_FIXED_LIMIT
        admission.gate.settle(last, Outcome.OK, 1.0)
