"""Chosen gate: exchanged under way, every permit goes back where it came from."""

import random

import pytest

from resilience.policy.breaker_settings import BreakerSettings
from resilience.policy.chosen_gate import ChosenGate
from resilience.policy.contract import Outcome, Permit, Rejection, Request
from resilience.policy.sre_breaker import SreBreaker
from resilience.policy.state_breaker import StateBreaker

ASK = Request()
QUICK = BreakerSettings(window_calls=2, min_calls=2, open_s=5.0, half_open_calls=1)


class Choice:
    """A choice that a test moves, and what was made for it."""

    def __init__(self, name: str = "sre") -> None:
        self.name = name
        self.made: list[str] = []
        self.gate = ChosenGate("breaker", {"sre": self.sre, "states": self.states}, self)

    def __call__(self) -> str:
        return self.name

    def sre(self) -> SreBreaker:
        """Make one."""
        self.made.append("sre")
        return SreBreaker(random.Random(1))

    def states(self) -> StateBreaker:
        """Make one that opens at two failures."""
        self.made.append("states")
        return StateBreaker(QUICK)


def admitted(gate: ChosenGate, now_s: float) -> Permit:
    """Let a call through."""
    permit = gate.admit(ASK, now_s)
    assert isinstance(permit, Permit)
    return permit


def test_the_one_chosen_decides_and_is_made_when_it_is() -> None:
    """Two failures open the one with states, which nobody had made before."""
    choice = Choice()
    gate = choice.gate
    gate.settle(admitted(gate, 0.0), Outcome.FAILED, 0.0)
    assert (choice.made, gate.snapshot()["by"]) == (["sre"], "sre")

    choice.name = "states"
    for _ in range(2):
        gate.settle(admitted(gate, 1.0), Outcome.FAILED, 1.0)
    refused = gate.admit(ASK, 1.0)
    assert isinstance(refused, Rejection)
    assert refused.reason == "BREAKER_OPEN"
    assert (gate.snapshot()["by"], gate.snapshot()["state"]) == ("states", "open")
    assert choice.made == ["sre", "states"]


def test_a_moved_choice_settles_permits_where_they_were_given() -> None:
    """What the throttle let through teaches the one with states nothing, and once only."""
    choice = Choice()
    gate = choice.gate
    permits = [admitted(gate, 0.0) for _ in range(3)]
    choice.name = "states"
    gate.settle(admitted(gate, 0.0), Outcome.OK, 0.0)
    for permit in permits:
        gate.settle(permit, Outcome.FAILED, 0.0)
    assert (gate.snapshot()["calls"], gate.snapshot()["failed"]) == (1, 0)
    with pytest.raises(AssertionError, match="twice"):
        gate.settle(permits[0], Outcome.OK, 0.0)


def test_an_unknown_choice_changes_nothing_later_and_is_an_error_at_first() -> None:
    """The one in use goes on; with nothing in use the message names what there is."""
    choice = Choice()
    choice.name = "magic"
    admitted(choice.gate, 0.0)
    assert choice.gate.by == "sre"
    with pytest.raises(ValueError, match="'magic' must be one of sre, states"):
        Choice("magic")


def test_reset_forgets_what_the_one_in_use_learned() -> None:
    """An open breaker lets through again."""
    choice = Choice("states")
    for _ in range(2):
        choice.gate.settle(admitted(choice.gate, 0.0), Outcome.FAILED, 0.0)
    choice.gate.reset(0.0)
    admitted(choice.gate, 0.0)
    assert repr(choice.gate) == "<ChosenGate breaker states>"
