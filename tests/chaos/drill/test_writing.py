"""A drill's writes to the store: who judges them, what is made of it, and what a file may say."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from chaos.drill.arms import Arm, control_arm, fault_windows, main_arm, overlay
from chaos.drill.hypothesis_mistakes import hypothesis_mistakes
from chaos.drill.loadgen import LoadProcess
from chaos.drill.metrics import Arrivals, observe
from chaos.drill.mistakes import mistakes
from chaos.drill.notes import Notes
from chaos.drill.readings import Readings, Written
from chaos.drill.records import Window
from chaos.drill.schema import Drill, Hypothesis
from chaos.drill.shard_role import StoreNode, drop_replicas
from chaos.drill.writing import HISTORY, READ_BACK_S, judged, write_and_judge
from chaos.store.own import OwnStore, start_store
from shard.check.ending import ask
from shard.check.history import lines_of, parse_history
from tests.chaos.drill.build import drill
from tests.chaos.drill.clock import Clock

WRITES: dict[str, Any] = {
    "writes": {"rate": 100, "shard": 1},
    "policies": {"deadline": "on", "replicated": "on"},
    "hypotheses": [{"name": "lost", "metric": "acknowledged_lost", "bound": "<= 0"}],
    "control": {"off": ["replicated"], "refutes": [{"name": "lost", "bound": ">= 5"}]},
}


@pytest.fixture
async def own() -> AsyncIterator[OwnStore]:
    """Six nodes."""
    async with start_store() as store:
        yield store


def nodes_of(own: OwnStore) -> list[StoreNode]:
    """Name a store's nodes as the lab does."""
    return [StoreNode(f"store-{n}", seed.host) for n, seed in enumerate(own.seeds, start=1)]


def arm_of(one: Drill, make: Any = main_arm) -> Arm:
    """Make an arm."""
    return cast("Arm", make(one))


async def write_in(arm: Arm, own: OwnStore, folder: Path) -> Notes:
    """Let a drill's writes run through an arm."""
    notes = Notes()
    load = cast("LoadProcess", Clock())
    await write_and_judge(drill(**WRITES), arm, 17, nodes_of(own), load, folder, notes)
    return notes


@pytest.mark.integration
@pytest.mark.parametrize(("make", "word"), [(main_arm, "replicated"), (control_arm, "local")])
async def test_an_arm_writes_as_its_policies_say_and_leaves_nothing(
    own: OwnStore, tmp_path: Path, make: Any, word: str
) -> None:
    """With replicated off the same writes are LOCAL; the history tells which, and can be read."""
    arm = arm_of(drill(**WRITES), make)

    notes = await write_in(arm, own, tmp_path)

    assert notes.written is not None
    wanted = (arm.seconds - READ_BACK_S - 1.0) * 100
    assert 0.3 * wanted < notes.written.acknowledged <= 1.1 * wanted
    assert (notes.written.lost, notes.written.first_local_s) == (0, None)
    history = parse_history((tmp_path / HISTORY).read_text())
    assert (history.header["durability"], history.has_ended) == (word, True)
    assert [await ask(each, ("DBSIZE",)) for each in own.addresses[:3]] == [[0], [0], [0]]


@pytest.mark.integration
async def test_a_primary_drops_its_replica_which_comes_back(own: OwnStore) -> None:
    """One connection ended is the fault's proof; a node that follows has none to end."""
    assert await drop_replicas("store-1", nodes_of(own)) == 1
    assert await drop_replicas("store-4", nodes_of(own)) == 0
    await own.whole()


@pytest.mark.integration
async def test_a_store_that_is_silent_is_no_proof() -> None:
    """Nobody listens there."""
    assert await drop_replicas("store-1", [StoreNode("store-1", "127.85.0.1")]) == 0


@pytest.mark.unit
def test_writes_are_summed_up_on_the_runs_clock() -> None:
    """The history began at 2 s, the node was killed at 5 s: 3 s into the history."""
    events: Sequence[dict[str, Any]] = [
        {"t": 1.0, "do": "invoke", "id": 1, "op": "add", "key": "s", "value": 1},
        {"t": 1.1, "do": "ok", "id": 1},
        {"t": 2.9, "do": "invoke", "id": 2, "op": "probe", "key": "p", "value": 1},
        {"t": 3.1, "do": "ok", "id": 2},
        {"t": 3.2, "do": "invoke", "id": 3, "op": "probe", "key": "p", "value": 2},
        {"t": 3.25, "do": "ok", "id": 3},  # the driver was about to kill
        {"t": 3.3, "do": "invoke", "id": 4, "op": "probe", "key": "p", "value": 3},
        {"t": 4.3, "do": "unknown", "id": 4},
        {"t": 4.4, "do": "invoke", "id": 5, "op": "probe", "key": "p", "value": 4},
        {"t": 5.5, "do": "ok", "id": 5},
        {"t": 9.0, "do": "final", "key": "s", "value": []},
    ]
    history = parse_history(lines_of(events))

    assert judged(history, None, 2.0) == Written(1, 1, None, None, (3.0,))
    written = judged(history, 5.0, 2.0)
    assert (written.acknowledged, written.lost) == (1, 1)
    assert written.first_local_s == pytest.approx(2.5)
    assert judged(history, 20.0, 2.0).first_local_s is None, "nothing failed after that"


@pytest.mark.unit
@pytest.mark.parametrize(
    ("metric", "written", "value"),
    [
        ("acknowledged_lost", Written(900, 40, 2.3), 40.0),
        ("acknowledged_lost", Written(900, 0, 2.3), 0.0),
        ("acknowledged_lost", Written(0, 0, None), None),
        ("acknowledged_lost", None, None),
        ("first_local_write_s", Written(900, 40, 2.3), 2.3),
        ("first_local_write_s", Written(900, 40, None), None),
        ("first_local_write_s", None, None),
    ],
)
def test_figures_are_what_was_judged_and_nothing_where_it_is_not_known(
    metric: str, written: Written | None, value: float | None
) -> None:
    """No writes, no verdict: none lost of none says nothing."""
    told = Readings(written=written)
    arrivals = Arrivals([], {"fault": Window(0.0, 1.0)}, 1.0, None, told)

    assert observe(Hypothesis(name="x", metric=metric, bound="<= 0"), arrivals).value == value


@pytest.mark.unit
def test_no_process_is_told_of_the_engines_own_policy() -> None:
    """It has no such switch."""
    one = drill(**WRITES)

    positions = overlay(one, main_arm(one), holder="h", epoch=1)["policies"]

    assert positions == {"*": {"deadline": "on"}}


def said(**changes: Any) -> str:
    """Return all mistakes of a drill, as text."""
    return "; ".join(text for _, text in mistakes(drill(**{**WRITES, **changes})))


@pytest.mark.unit
@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, ""),
        ({"writes": {"rate": 0}}, "rate is 0; give more than 0, up to 1000"),
        ({"writes": {"rate": 1e9}}, "rate is 1e+09; give more than 0"),
        ({"writes": {"rate": 1, "shard": 0}}, "shard is 0; shards are numbered from 1"),
        ({"writes": None}, "replicated is of the drill's writes; it has none"),
        ({"faults": [{"kind": "detach", "on": "shard.1.primary"}]}, ""),
        ({"faults": [{"kind": "detach", "on": "store-1"}]}, "write on: shard.1.primary"),
        ({"faults": [{"kind": "detach", "on": "shard.1.replica"}]}, "write on: shard.1.primary"),
        ({"faults": [{"kind": "detach", "on": "shard.1.primary", "for": 1}]}, "it takes no for"),
    ],
)
def test_what_a_file_may_say_of_writes(changes: dict[str, Any], text: str) -> None:
    """Each mistake in words."""
    found = said(**changes)

    assert text in found
    assert bool(found) is bool(text)


@pytest.mark.unit
def test_a_figure_of_writes_needs_writes() -> None:
    """Else it would be nothing, always."""
    claim = Hypothesis(name="x", metric="first_local_write_s", bound="<= 5")

    found = [text for _, text in hypothesis_mistakes(drill(), claim, ())]

    assert found == ["first_local_write_s needs the drill's writes"]


@pytest.mark.unit
def test_a_detach_is_done_at_once() -> None:
    """Its window is from its moment on; it needs nothing that a driver may lack."""
    one = drill(**WRITES, faults=[{"kind": "detach", "on": "shard.1.primary", "at": 1}])
    (window,) = fault_windows(one, main_arm(one))

    assert window.window.from_s == 4.0
    assert one.capabilities == []
    assert window.fault.is_at_once
