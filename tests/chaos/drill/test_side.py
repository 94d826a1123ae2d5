"""A drill's writers beside a primary that is cut off: whom they reach, and what is told of it."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from chaos.drill import writing
from chaos.drill.arms import fault_windows, main_arm
from chaos.drill.hypothesis_mistakes import hypothesis_mistakes
from chaos.drill.loadgen import LoadProcess
from chaos.drill.metrics import Arrivals, observe
from chaos.drill.notes import Notes
from chaos.drill.readings import Readings, Written
from chaos.drill.records import Window
from chaos.drill.schema import Hypothesis
from chaos.drill.side import OUT_OF_REACH, Side, last_good_s, side_of
from chaos.store.own import OwnStore, start_store
from shard.check.events import Op, Outcome
from shard.check.history import lines_of, parse_history
from shard.policy.topology import Address
from tests.chaos.drill.build import drill
from tests.chaos.drill.clock import Clock
from tests.chaos.drill.test_writing import WRITES, nodes_of

HERE, THERE = Address("127.77.0.9", 6379), Address("127.77.0.10", 6379)
TORN = {**WRITES, "faults": [{"kind": "isolate", "on": "shard.1.primary", "at": 1, "for": 2}]}


@pytest.mark.unit
def test_clients_on_one_side_reach_one_node_until_they_rejoin() -> None:
    """Nobody else before the cut either, so that no connection outlives its begin."""
    side = Side(HERE, 5.0)
    assert (side.dial(HERE), side.dial(THERE), side.is_apart) == (HERE, OUT_OF_REACH, True)
    side.rejoin()
    assert (side.dial(HERE), side.dial(THERE), side.is_apart) == (HERE, THERE, False)
    assert Side().dial(THERE) == THERE


@pytest.mark.unit
@pytest.mark.parametrize(
    "faults",
    [
        [],
        [{"kind": "kill", "on": "shard.1.primary", "for": 2}],
        [{"kind": "isolate", "on": "shard.1.replica", "for": 2}],
        [{"kind": "isolate", "on": "shard.2.primary", "for": 2}],
    ],
)
async def test_clients_reach_all_where_their_primary_is_not_cut_off(faults: list[Any]) -> None:
    """The store isn't even asked."""
    one = drill(**{**WRITES, "faults": faults})

    assert (await side_of(one, main_arm(one), [])).only is None


@pytest.mark.integration
async def test_writers_write_beside_the_primary_and_read_back_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Apart until the cut's planned end; then nothing is out of reach, and nothing was lost."""
    sides: list[Side] = []

    async def noted(*args: Any) -> Side:
        sides.append(await side_of(*args))
        return sides[-1]

    monkeypatch.setattr(writing, "side_of", noted)
    one = drill(**TORN)
    (window,) = fault_windows(one, main_arm(one))
    notes = Notes(faults={window.id: window})
    async with start_store() as own:
        load = cast("LoadProcess", Clock())
        arm, nodes = main_arm(one), nodes_of(own)
        await writing.write_and_judge(one, arm, 17, nodes, load, tmp_path, notes)
        await _all_answer(own)

    (side,) = sides
    assert (side.only, side.until_s, side.is_apart) == (
        Address(own.seeds[0].host, 6379),
        window.window.to_s,
        False,
    )
    assert notes.written is not None
    assert notes.written.lost == 0
    # Nothing was really cut: the primary took writes until its clients reached all again.
    assert notes.written.last_cut_off_s == pytest.approx(2.0, abs=0.7)


async def _all_answer(own: OwnStore) -> None:
    await asyncio.wait_for(own.whole(), 60)


@pytest.mark.unit
def test_the_last_write_is_that_of_the_time_apart() -> None:
    """Of plain writes only, acknowledged only, ended before the clients reached all."""
    rows = [(1.0, "ok"), (3.2, "ok"), (3.9, "unknown"), (9.4, "ok")]
    events: list[dict[str, Any]] = []
    for number, (end_s, word) in enumerate(rows, start=1):
        invoke = {"do": "invoke", "id": number, "op": "probe", "key": "p", "value": number}
        events += [{"t": end_s - 0.1, **invoke}, {"t": end_s, "do": word, "id": number}]
    added: Sequence[dict[str, Any]] = [
        {"t": 9.5, "do": "invoke", "id": 9, "op": "add", "key": "s", "value": 1},
        {"t": 9.6, "do": "ok", "id": 9},
        {"t": 9.9, "do": "final", "key": "s", "value": [1]},
    ]
    history = parse_history(lines_of([*events, *added]))
    assert {e.op for e in history.operations if e.outcome is Outcome.OK} == {Op.PROBE, Op.ADD}

    assert last_good_s(history, 2.0, 9.0) == pytest.approx(1.2)
    assert last_good_s(history, 2.0, 10.0) == pytest.approx(7.4)
    assert last_good_s(history, 4.0, 9.0) == 0.0
    written = writing.judged(history, None, 10.0, Window(12.0, 19.0))
    assert written.last_cut_off_s == pytest.approx(1.2)
    assert writing.judged(history, None, 10.0).last_cut_off_s is None


@pytest.mark.unit
@pytest.mark.parametrize(
    ("written", "value"),
    [(Written(9, 0, None, 1.2), 1.2), (Written(9, 0, None), None), (None, None)],
)
def test_no_cut_no_figure(written: Written | None, value: float | None) -> None:
    """Nothing seen is no verdict."""
    arrivals = Arrivals([], {"fault": Window(0.0, 1.0)}, 1.0, None, Readings(written=written))
    claim = Hypothesis(name="x", metric="last_cut_off_write_s", bound="<= 2")

    assert observe(claim, arrivals).value == value


@pytest.mark.unit
def test_a_figure_of_a_cut_needs_one() -> None:
    """Else it would be nothing, always."""
    claim = Hypothesis(name="x", metric="last_cut_off_write_s", bound="<= 2")

    assert [text for _, text in hypothesis_mistakes(drill(**WRITES), claim, ())] == [
        "last_cut_off_write_s is of a primary cut off from its store: give a fault isolate"
    ]
    assert not list(hypothesis_mistakes(drill(**TORN), claim, ()))
