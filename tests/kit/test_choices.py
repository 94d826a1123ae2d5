"""Choices: what exists, what is refused, and that a live change costs no permit."""

import random
from typing import TypeVar

import pytest

from gateway.upstreams import STATES, _breaker
from kit.choices import CHOICES, check_choice, default_choice
from kit.control import ControlClient
from kit.errors import ConfigError
from kit.node import Node
from lb.policy.algorithms import ALGORITHMS
from resilience.policy.chosen_gate import ChosenGate, GatePermit
from resilience.policy.contract import Outcome, Permit, Rejection, Request
from resilience.policy.sre_breaker import SreBreaker
from resilience.policy.state_breaker import StateBreaker
from resilience.server_admission import DEFAULT_LIMITER, LIMITERS
from tests.kit.lab import node_of, wait_until
from tests.valkey import Valkey

ASK = Request()
HELD_S, ENDING_S = 60.0, 0.3  # a lease that outlives any test, and its last renewal
BreakerT = TypeVar("BreakerT", SreBreaker, StateBreaker)


@pytest.mark.unit
def test_defaults_are_documented() -> None:
    """What the lab does when nobody chose, and every limiter of the library can be chosen."""
    assert {name: default_choice(name) for name in CHOICES} == {
        "limiter": "bbr",
        "breaker": "sre",
        "quota_fallback": "local",
        "balance": "least_request",
    }
    assert CHOICES["limiter"] == LIMITERS
    assert CHOICES["balance"] == tuple(ALGORITHMS)
    assert default_choice("limiter") == DEFAULT_LIMITER
    with pytest.raises(KeyError):
        default_choice("balancer")


@pytest.mark.unit
@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("limitr", "vegas", "there is no choice 'limitr': did you mean limiter? choose one of lim"),
        ("limiter", "vega", "limiter cannot be 'vega': did you mean vegas? choose one of bbr, veg"),
        ("limiter", "states", "limiter cannot be 'states': choose one of bbr, vegas, gradient2"),
        ("breaker", "state", "breaker cannot be 'state': did you mean states? choose one of sre"),
        ("quota_fallback", "", "quota_fallback cannot be '': choose one of local, open, closed"),
        ("", "bbr", "there is no choice '': choose one of limiter, breaker, quota_fallback, balan"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(name: str, value: str, said: str) -> None:
    """And with all that there are; what resembles nothing gets no guess."""
    with pytest.raises(ConfigError) as refused:
        check_choice(name, value)
    assert str(refused.value).startswith(said)


@pytest.mark.unit
def test_whatever_may_be_chosen_is_accepted() -> None:
    """Every value of every choice."""
    for name, values in CHOICES.items():
        for value in values:
            check_choice(name, value)


@pytest.mark.integration
async def test_nonsense_does_not_reach_control(control: ControlClient) -> None:
    """Neither as an entry nor in an arm; what stands there stays."""
    await control.write({"choice/video/limiter": {"value": "vegas"}})
    with pytest.raises(ConfigError, match="did you mean vegas"):
        await control.write({"choice/video/limiter": {"value": "vegass"}})
    with pytest.raises(ConfigError, match="there is no choice 'limter'"):
        await control.write({"overlay": {"id": "a", "choices": {"video": {"limter": "bbr"}}}})
    assert (await control.read()).entries == {"choice/video/limiter": {"value": "vegas"}}


async def choose(control: ControlClient, node: Node, value: str) -> None:
    """Choose the gateway's breaker, and wait until this process knows."""
    await control.write({"choice/gateway/breaker": {"value": value}})
    await wait_until(lambda: node.choice("breaker", default_choice("breaker")) == value)


def admitted(gate: ChosenGate, now_s: float) -> Permit:
    """Let a call through."""
    permit = gate.admit(ASK, now_s)
    assert isinstance(permit, Permit)
    return permit


@pytest.mark.integration
async def test_a_breaker_exchanged_under_way_gets_all_its_permits_back(
    control: ControlClient, shared_control: Valkey
) -> None:
    """Calls of both are under way while it moves; each teaches only the one that let it in."""
    async with node_of(shared_control, "gateway") as node:
        gate = _breaker(node, random.Random(17))
        assert isinstance(gate, ChosenGate)
        by_throttle = [admitted(gate, 0.0) for _ in range(5)]
        await choose(control, node, "states")
        by_states = [admitted(gate, 1.0) for _ in range(3)]
        await choose(control, node, "sre")
        by_new_throttle = [admitted(gate, 2.0) for _ in range(2)]
        assert (gate.by, gate.snapshot()["in_flight"]) == ("sre", 2)

        throttles = [_inner(permits[0], SreBreaker) for permits in (by_throttle, by_new_throttle)]
        assert throttles[0] is not throttles[1]
        for permit in (*by_throttle, *by_new_throttle):
            gate.settle(permit, Outcome.OK, 3.0)
        for permit in by_states:
            gate.settle(permit, Outcome.FAILED, 3.0)
        assert [each.in_flight for each in throttles] == [0, 0]
        assert [each.snapshot()["accepts"] for each in throttles] == [5, 2]
        figures = _inner(by_states[0], StateBreaker).snapshot()
        assert (figures["calls"], figures["failed"]) == (3, 3)
        with pytest.raises(AssertionError, match="settled twice"):
            gate.settle(by_throttle[0], Outcome.OK, 4.0)


@pytest.mark.integration
async def test_a_half_open_place_comes_back_after_the_breaker_has_moved_on(
    control: ControlClient, shared_control: Valkey
) -> None:
    """All three probes are under way when another is chosen; settled, the state closes."""
    async with node_of(shared_control, "gateway") as node:
        await choose(control, node, "states")
        gate = _breaker(node, random.Random(17))
        assert isinstance(gate, ChosenGate)
        for _ in range(STATES.min_calls):
            gate.settle(admitted(gate, 0.0), Outcome.FAILED, 0.0)
        assert isinstance(gate.admit(ASK, 0.1), Rejection)
        later_s = 0.1 + 2 * STATES.open_s
        probes = [admitted(gate, later_s) for _ in range(STATES.half_open_calls)]
        assert isinstance(gate.admit(ASK, later_s), Rejection)

        await choose(control, node, "sre")
        gate.settle(admitted(gate, later_s), Outcome.OK, later_s)
        assert gate.by == "sre"
        breaker = _inner(probes[0], StateBreaker)
        assert breaker.snapshot()["state"] == "half_open"
        for permit in probes:
            gate.settle(permit, Outcome.OK, later_s)
        assert breaker.snapshot()["state"] == "closed"


@pytest.mark.integration
async def test_an_overlay_s_choice_ends_with_its_lease(
    control: ControlClient, shared_control: Valkey
) -> None:
    """Nobody renews it any more: what was chosen before holds again, else the default."""
    async with node_of(shared_control, "gateway") as node:

        def chosen() -> tuple[str, ...]:
            return tuple(node.choice(name, default_choice(name)) for name in CHOICES)

        await choose(control, node, "states")
        named = {
            "limiter": "vegas",
            "breaker": "sre",
            "quota_fallback": "closed",
            "balance": "peak_ewma",
        }
        arm = {"id": "arm", "ttl_s": HELD_S, "choices": {"gateway": named}}
        await control.write({"overlay": arm})
        await wait_until(lambda: chosen() == ("vegas", "sre", "closed", "peak_ewma"))
        await control.write({"overlay": {**arm, "ttl_s": ENDING_S}})
        await wait_until(lambda: chosen() == ("bbr", "states", "local", "least_request"))


def _inner(permit: Permit, kind: type[BreakerT]) -> BreakerT:
    """Return the breaker that gave a permit."""
    assert isinstance(permit, GatePermit)
    assert isinstance(permit.gate, kind)
    return permit.gate
