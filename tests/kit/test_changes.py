"""What moved in a process: switches, choices, faults, states, limits, readiness."""

from collections.abc import Mapping

import pytest

from faults.rule import FaultRule
from kit import changes as module
from kit.changes import Changes
from resilience.observer import Detail
from resilience.policy.contract import Mode, Snapshot

pytestmark = pytest.mark.unit


class World:
    """A node as changes see it, and what they told."""

    instance = "video.1"

    def __init__(self) -> None:
        self.modes: dict[str, Mode] = {}
        self.choices: dict[str, str] = {}
        self.figures: dict[str, Snapshot] = {}
        self.told: list[tuple[str, str, str, Mapping[str, Detail]]] = []
        self.changes = Changes(self, self)
        self.changes.on_state([])

    def mode(self, policy: str) -> Mode:
        """Return what the test set."""
        return self.modes.get(policy, Mode.ON)

    def choice(self, name: str, default: str) -> str:
        """Return what the test chose."""
        return self.choices.get(name, default)

    def policies(self) -> Mapping[str, Snapshot]:
        """Return what the test says."""
        return self.figures

    def on_decision(self, policy: str, what: str, scope: str, detail: Mapping[str, Detail]) -> None:
        """Keep what was told."""
        self.told.append((policy, what, scope, detail))


def test_a_switch_and_a_choice_that_moved_are_told_once() -> None:
    """From where to where; a state that moves nothing tells nothing."""
    world = World()
    world.modes["limiter"] = Mode.OFF
    world.choices["limiter"] = "vegas"
    world.changes.on_state([])
    world.changes.on_state([])
    assert world.told == [
        ("switch", "moved", "limiter", {"from": "on", "to": "off"}),
        ("choice", "moved", "limiter", {"from": "bbr", "to": "vegas"}),
    ]


def test_the_first_state_moves_nothing() -> None:
    """A process that starts in a changed lab has seen no other one."""
    assert World().told == []


def test_a_fault_begins_and_ends() -> None:
    """Each once, with its kind."""
    world = World()
    rule = FaultRule("f1", "latency", "video", params={"ms": 5})
    world.changes.on_state([rule])
    world.changes.on_state([rule])
    world.changes.on_state([])
    assert world.told == [
        ("fault", "began", "f1", {"kind": "latency"}),
        ("fault", "ended", "f1", {"kind": "latency"}),
    ]


def test_a_breakers_state_is_told_whenever_it_is_another() -> None:
    """Looked at once a second, whatever the beat."""
    world = World()
    for now_s, state in ((1.0, "closed"), (1.5, "open"), (2.0, "open"), (3.0, "half_open")):
        world.figures = {"video.breaker": {"state": state}}
        world.changes.on_beat(now_s)
    moves = [(what, detail["from"], detail["to"]) for _, what, _, detail in world.told]
    assert moves == [("state-changed", "closed", "open"), ("state-changed", "open", "half_open")]


def test_a_limit_is_told_when_it_moved_by_a_fifth() -> None:
    """From 20 to 23 is learning, from 20 to 24 a move; the next counts from 24."""
    world = World()
    for second, limit in enumerate((20, 23, 24, 21, 19), start=1):
        world.figures = {"limiter": {"limit": limit}}
        world.changes.on_beat(float(second))
    assert [(detail["from"], detail["to"]) for *_, detail in world.told] == [(20, 24), (24, 19)]


def test_a_small_limit_moves_by_one_at_least() -> None:
    """A fifth of 2 is no limit's step: from 2 to 2.5 nothing is told."""
    world = World()
    for second, limit in enumerate((2.0, 2.5, 3.0), start=1):
        world.figures = {"limiter": {"limit": limit}}
        world.changes.on_beat(float(second))
    assert [(detail["from"], detail["to"]) for *_, detail in world.told] == [(2.0, 3.0)]


def test_readiness_is_told() -> None:
    """Both ways."""
    world = World()
    world.changes.on_ready(True)
    world.changes.on_ready(False)
    assert [what for _, what, _, _ in world.told] == ["ready", "not-ready"]


def test_defaults_are_as_written() -> None:
    """The figures of docs/events.md."""
    assert (module.LOOK_EVERY_S, module.MOVED_SHARE) == (1.0, 0.2)
