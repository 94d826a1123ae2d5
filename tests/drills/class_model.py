"""A drill of load classes played in virtual time: its own arrivals, one station, a door to try.

The arrivals are those that the load generator sends for the drill and seed; what becomes of them is
judged by the drill's own metrics and bounds. Not in it: network, event loops, the generator.
"""

import json
from collections.abc import Iterable

from chaos.drill.arms import load_plan, main_arm
from chaos.drill.judge import Finding, examine
from chaos.drill.metrics import Arrivals, phase_windows
from chaos.drill.records import Record
from chaos.drill.schema import Drill
from loadtests.plan import Plan, from_json
from resilience.policy.contract import Criticality
from tests.resilience.policy.admission_model import (
    CAPACITY_RPS,
    DEADLINE_S,
    AdmissionModel,
    MakeDoor,
    Stream,
)

OK, REFUSED, EXPIRED = 200, 503, 504


def play(drill: Drill, door: MakeDoor, seed: int) -> Arrivals:
    """Return what one arm's load meets behind a door."""
    assert drill.capacity is not None
    assert drill.capacity.rps == CAPACITY_RPS, "the model's station is another one"
    return Arrivals(
        _ClassModel(drill, door, seed).records(),
        phase_windows(drill),
        DEADLINE_S,
        drill.capacity.rps,
    )


def findings(drill: Drill, door: MakeDoor, seed: int) -> dict[str, Finding]:
    """Return a main arm's hypotheses by name, as the drill itself would judge them."""
    return {each.hypothesis.name: each for each in examine(drill, play(drill, door, seed))}


class _ClassModel(AdmissionModel):
    """The model, with a drill's arrivals in place of Poisson's."""

    def __init__(self, drill: Drill, door: MakeDoor, seed: int) -> None:
        super().__init__([(_seconds(drill), _streams(drill))], door, seed)
        self._plan = _plan(drill, seed)
        streams = {stream.name: stream for stream in _streams(drill)}
        for arrival in self._plan.arrivals():
            self._come(streams[arrival.route], arrival.at_s)

    def _schedule_arrivals(self, stream: Stream, begin_s: float, end_s: float) -> None:
        """Leave it to the plan."""

    def _come(self, stream: Stream, at_s: float) -> None:
        self._at(at_s, lambda now_s: self._arrive(stream, now_s))

    def records(self) -> list[Record]:
        """Play it, and return each arrival as the generator would have written it."""
        self.run()
        rows = (
            row
            for name, tally in self.tallies.items()
            for row in _rows(name, tally.arrived_s, dict(tally.answers), frozenset(tally.refused_s))
        )
        return [
            Record(number, at_s, at_s, done_s, name, status, "", "", f"model-{number}")
            for number, (at_s, name, status, done_s) in enumerate(
                sorted(rows, key=lambda row: row[:2])
            )
        ]


def _rows(
    name: str, arrived_s: list[float], latencies_s: dict[float, float], refused_s: frozenset[float]
) -> Iterable[tuple[float, str, int, float | None]]:
    for at_s in arrived_s:
        if at_s in latencies_s:
            yield at_s, name, OK, at_s + latencies_s[at_s]
        else:
            yield at_s, name, REFUSED if at_s in refused_s else EXPIRED, None


def _plan(drill: Drill, seed: int) -> Plan:
    plan = load_plan(drill, main_arm(drill), seed=seed, run_id="model", parent_pid=1)
    return from_json(json.dumps(plan))


def _seconds(drill: Drill) -> float:
    return sum(phase.seconds for phase in drill.load.phases)


def _streams(drill: Drill) -> list[Stream]:
    return [
        Stream(name, 1.0, _level(each.criticality), each.tenant)
        for name, each in drill.load.classes.items()
    ]


def _level(name: str) -> Criticality:
    return Criticality[name.upper()] if name else Criticality.CRITICAL
