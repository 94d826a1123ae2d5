"""Evidence beside an arm's load, also where control is silent while the fault lasts."""

from collections.abc import Mapping
from typing import Any

import pytest

from chaos.drill import following
from chaos.drill.arms import main_arm
from chaos.drill.following import gather_evidence, run_commands
from chaos.drill.notes import Notes
from chaos.drill.readings import CommandRun
from kit.errors import LabEnvironmentError
from tests.chaos.drill.build import drill

pytestmark = pytest.mark.unit

ARM = main_arm(drill())  # warm until 1, steady until 3, fault until 7, recover until 10


class SteppedLoad:
    """Time passes by half a second with each look at it; a request fails each second."""

    def __init__(self) -> None:
        self.now_s = 0.0

    @property
    def at_s(self) -> float:
        self.now_s += 0.5
        return self.now_s

    async def sleep_until(self, at_s: float) -> None:
        self.now_s = max(self.now_s, at_s)

    def progress(self) -> dict[str, Any]:
        return {"recent": {"failed": [f"due-{int(self.now_s)}"]}}


class ControlThatReturns:
    """Silent until some moment; then everybody remembers every request."""

    def __init__(self, load: SteppedLoad, back_at_s: float) -> None:
        self._load = load
        self._back_at_s = back_at_s
        self.asked: list[str] = []

    async def ask(self, kind: str, args: Mapping[str, str], **_: object) -> dict[str, Any]:
        self.asked.append(args["request_id"])
        if self._load.now_s < self._back_at_s:
            raise LabEnvironmentError("control does not answer")
        return {"l7.1": [{"instance": "l7.1", "started_unix_s": 1.0}]}


async def gathered(monkeypatch: pytest.MonkeyPatch, back_at_s: float) -> tuple[list[str], float]:
    """Return whose hops were found, and when it stopped asking."""
    monkeypatch.setattr(following, "EVERY_S", 0.0)
    load, notes = SteppedLoad(), Notes()
    control = ControlThatReturns(load, back_at_s)
    await gather_evidence(control, ARM, load, notes)  # type: ignore[arg-type]
    return [one.request_id for one in notes.evidence], load.now_s


async def test_evidence_is_asked_for_during_the_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of each kind is enough; nobody is asked after the fault."""
    found, ended_s = await gathered(monkeypatch, back_at_s=0.0)

    assert len(found) == 1
    assert ended_s <= 8.0


async def test_control_that_returns_is_asked_about_the_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Killed for the whole fault, as in control-plane-loss: the request is still the fault's."""
    found, _ = await gathered(monkeypatch, back_at_s=8.5)

    assert len(found) == 1
    assert 3 <= int(found[0].removeprefix("due-")) < 7


async def test_control_that_stays_away_costs_only_the_evidence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The arm ends as planned, without an error."""
    found, ended_s = await gathered(monkeypatch, back_at_s=99.0)

    assert found == []
    assert ended_s <= 11.0


async def test_a_command_is_noted_with_the_moment_it_began(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the load's clock, so that what the generator did meanwhile can be looked up."""

    async def quick(command: str) -> CommandRun:
        return CommandRun(command, 0.4, 3)

    monkeypatch.setattr(following, "run_command", quick)
    claim = {"name": "c", "metric": "command_seconds", "command": "status", "bound": "<= 2"}
    fault = {"kind": "latency", "on": "video", "for": 4, "ms": 10}
    of, notes = drill(hypotheses=[claim], faults=[fault]), Notes()

    await run_commands(of, main_arm(of), SteppedLoad(), notes)  # type: ignore[arg-type]

    begun = [run.began_s for run in notes.commands]
    assert begun
    assert 6.0 < begun[0] < 7.5
    assert begun == sorted(begun)
