"""A store that grows under a drill: killed movers, what is counted, and that it is taken back."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from chaos.drill import outcome
from chaos.drill.arms import Arm, control_arm, main_arm
from chaos.drill.growing import Growing, grown, look, parted
from chaos.drill.hypothesis_mistakes import hypothesis_mistakes
from chaos.drill.loadgen import LoadProcess
from chaos.drill.metrics import Arrivals, observe
from chaos.drill.mistakes import mistakes
from chaos.drill.notes import Notes
from chaos.drill.readings import Grown, Readings, Written
from chaos.drill.records import Window
from chaos.drill.schema import DEFAULT_SLOTS_PER_S, Growth, Hypothesis
from chaos.drill.shard_role import StoreNode
from kit.errors import LabEnvironmentError
from shard.form import form
from shard.policy.plan import GROUP_SLOTS
from shard.policy.survey import NodeState
from shard.policy.topology import Address
from shard.policy.view import Row
from tests.chaos.drill.build import drill
from tests.chaos.drill.clock import Clock
from tests.shard.cluster import PORT, StoreCluster, launch_node, start_cluster

GROWTH: dict[str, Any] = {
    "growth": {"kills_after_s": [0.2], "slots_per_s": 256},
    "policies": {"deadline": "on", "slot_map": "on"},
    "hypotheses": [{"name": "moved", "metric": "moved_of_gained", "bound": "<= 1.2"}],
    "control": {"off": ["slot_map"], "refutes": [{"name": "moved", "bound": ">= 2"}]},
}


@pytest.fixture
async def eight(tmp_path: Path) -> AsyncIterator[tuple[StoreCluster, list[StoreNode]]]:
    """Six nodes that are a store, and two that know nobody."""
    with start_cluster() as cluster:
        await form(cluster.addresses, limit_s=60)
        network = cluster.nodes[0].host.rpartition(".")[0]
        hosts = [node.host for node in cluster.nodes]
        for number in (7, 8):
            folder = tmp_path / str(number)
            folder.mkdir()
            cluster.nodes.append(launch_node(f"{network}.{number}", folder))
            hosts.append(f"{network}.{number}")
        yield cluster, [StoreNode(f"store-{n}", host) for n, host in enumerate(hosts, start=1)]


def short(arm: Arm, seconds: float) -> Arm:
    """Let an arm's fault phase begin at once and last so long."""
    phases = [
        type(each)(each.name, seconds if each.name == "fault" else 0.001, each.rates)
        for each in arm.phases
    ]
    return Arm(arm.name, arm.policies, phases, arm.off)


async def grow(arm: Arm, nodes: list[StoreNode], growth: Growth) -> tuple[Notes, Growing]:
    """Let a store grow in an arm."""
    notes, growing = Notes(), Growing(growth, arm, nodes)
    await growing.run(cast("LoadProcess", Clock()), notes)
    return notes, growing


def is_fresh(cluster: StoreCluster) -> list[bool]:
    """Whether each of the two last nodes knows nobody."""
    return [len(node.cli("CLUSTER", "NODES").splitlines()) == 1 for node in cluster.nodes[6:]]


@pytest.mark.integration
@pytest.mark.timeout(120)
async def test_a_killed_mover_is_followed_and_slots_move_once(
    eight: tuple[StoreCluster, list[StoreNode]],
) -> None:
    """What moved is what the newcomer got, though the mover was killed; then it leaves again."""
    cluster, nodes = eight
    one = drill(**GROWTH)
    assert one.growth is not None

    notes, growing = await grow(short(main_arm(one), 12.0), nodes, one.growth)

    assert notes.grown is not None
    assert notes.grown.kills == 1
    assert GROUP_SLOTS <= notes.grown.gained == notes.grown.moved <= 4096
    await growing.undo()
    assert is_fresh(cluster) == [True, True]
    assert len(await look(cluster.addresses)) == 6


@pytest.mark.integration
@pytest.mark.timeout(120)
async def test_by_modulo_more_moves_and_a_move_that_is_not_over_is_called_off(
    eight: tuple[StoreCluster, list[StoreNode]],
) -> None:
    """Of what moved in the time the newcomer has a third; undone, no slot is half moved."""
    cluster, nodes = eight
    one = drill(**{**GROWTH, "growth": {"slots_per_s": 256}})
    assert one.growth is not None

    notes, growing = await grow(short(control_arm(one), 14.0), nodes, one.growth)
    await growing.undo()

    assert notes.grown is not None
    assert notes.grown.moved > 2 * notes.grown.gained > 0
    assert is_fresh(cluster) == [True, True]
    states = await look(cluster.addresses)
    assert not any(state.importing or state.migrating for state in states)
    assert sum(len(state.row.slots) for state in states) == 16384


@pytest.mark.integration
async def test_a_store_without_two_spare_nodes_is_refused(
    eight: tuple[StoreCluster, list[StoreNode]],
) -> None:
    """It says what to do; and a store that nobody can reach, too."""
    _, nodes = eight
    one = drill(**GROWTH)
    assert one.growth is not None
    with pytest.raises(LabEnvironmentError, match=r"0 nodes to spare.*shard remove store-7"):
        await grow(short(main_arm(one), 5.0), nodes[:6], one.growth)
    silent = [StoreNode("store-1", "127.85.0.1")]
    with pytest.raises(LabEnvironmentError, match="don't answer from here"):
        await grow(short(main_arm(one), 5.0), silent, one.growth)


async def test_nothing_is_done_where_nothing_grows() -> None:
    """Neither for a drill without growth, nor where it never began."""
    arm = short(main_arm(drill()), 1.0)
    idle = Growing(None, arm, [])
    notes = Notes()
    await idle.run(cast("LoadProcess", Clock()), notes)
    await idle.undo()
    assert notes.grown is None


def state(number: int, slots: range) -> NodeState:
    """Say that a node owns slots."""
    address = Address(f"127.0.0.{number}", PORT)
    return NodeState(
        Row(str(number) * 40, address, frozenset({"master"}), None, True, frozenset(slots))
    )


@pytest.mark.unit
def test_what_moved_is_the_difference_of_two_looks() -> None:
    """Slots between those who stay count as moved, and not as gained."""
    before = [state(1, range(100)), state(2, range(100, 200))]
    after = [state(1, range(60)), state(2, range(90, 200)), state(3, range(60, 90))]
    assert grown(before, after, Address("127.0.0.3", PORT), 2) == Grown(40, 30, 2)


@pytest.mark.unit
def test_spare_is_who_the_others_do_not_know() -> None:
    """In the order given."""
    addresses = [Address(f"127.0.0.{n}", PORT) for n in (1, 2, 3, 4)]
    known = [state(1, range(1)), state(2, range(1, 2))]
    assert parted(addresses, known) == (addresses[:2], addresses[2:])


def figure(metric: str, told: Readings) -> Any:
    """Observe a figure of an arm of 2 s before a fault of 4 s."""
    windows = {"steady": Window(0.0, 2.0), "fault": Window(2.0, 6.0)}
    return observe(
        Hypothesis(name="x", metric=metric, bound="<= 1"), Arrivals([], windows, 1.0, None, told)
    )


@pytest.mark.unit
def test_moved_of_gained_is_known_but_for_what_is_on_its_way() -> None:
    """Two groups of slots; where nothing came nothing is known."""
    found = figure("moved_of_gained", Readings(grown=Grown(3000, 1000, 2)))
    assert (found.value, found.sd) == (3.0, 2 * GROUP_SLOTS / 1000)
    assert figure("moved_of_gained", Readings(grown=Grown(40, 0, 2))).value is None
    assert figure("moved_of_gained", Readings()).value is None


@pytest.mark.unit
def test_writes_of_steady_compares_rates() -> None:
    """20 in 2 s before, 20 in 4 s then: half."""
    at_s = [n / 10 for n in range(20)] + [2.0 + n / 5 for n in range(20)]
    told = Readings(written=Written(40, 0, None, None, at_s))
    assert figure("writes_of_steady", told).value == pytest.approx(0.5)
    assert figure("writes_of_steady", told).sd == pytest.approx(0.162, abs=0.001)
    assert figure("writes_of_steady", Readings()).value is None


@pytest.mark.unit
@pytest.mark.parametrize(
    ("told", "hits"), [(Grown(3000, 1000, 1), 3000), (Grown(3000, 1000, 0), 0), (None, 0)]
)
def test_growth_is_proved_by_slots_and_by_killed_movers(told: Grown | None, hits: int) -> None:
    """A mover that was done before it could be killed is no fault that bit."""
    one = drill(**GROWTH)
    arm = main_arm(one)
    arrivals = Arrivals([], arm.windows, 1.0, None, Readings(grown=told))
    *_, row = outcome.fault_rows(one, outcome.ArmOutcome(arm, arrivals))
    assert (row["kind"], row["target"], row["proof"]["hits"]) == ("growth", "store", hits)


@pytest.mark.unit
@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, ""),
        ({"growth": {}}, ""),
        ({"growth": {"kills_after_s": [1, 0]}}, "kills_after_s is 1, 0; give more than 0"),
        ({"growth": {"kills_after_s": [60]}}, "less than 60 each"),
        ({"growth": {"slots_per_s": 0.5}}, "slots_per_s is 0.5; give 1 or more"),
        ({"growth": None}, "slot_map is of the drill's growth; it has none"),
    ],
)
def test_what_a_file_may_say_of_growth(changes: dict[str, Any], text: str) -> None:
    """Each mistake in words."""
    found = "; ".join(said for _, said in mistakes(drill(**{**GROWTH, **changes})))
    assert text in found
    assert bool(found) is bool(text)


@pytest.mark.unit
def test_a_figure_of_growth_needs_growth() -> None:
    """Else it would be nothing, always. 640 slots a second unless told."""
    claim = Hypothesis(name="x", metric="moved_of_gained", bound="<= 1.2")
    found = [text for _, text in hypothesis_mistakes(drill(), claim, ())]
    assert found == ["moved_of_gained needs the drill's growth"]
    assert DEFAULT_SLOTS_PER_S == Growth().slots_per_s == 640.0
