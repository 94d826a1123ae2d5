"""Formation against a model of the cluster: from any state, whatever is dropped, to the goal."""

from dataclasses import dataclass, field, replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashing import registry
from hashing.algorithm import Node
from hashing.slots import SLOT_COUNT
from shard.policy.assignment import assign
from shard.policy.formation import (
    MIN_PRIMARIES,
    TAKEOVER_AFTER_S,
    Action,
    Plan,
    plan_formation,
    shard_name,
    with_members,
)
from shard.policy.topology import Address
from shard.policy.view import Row, View

ASSIGNMENT = assign(registry.build("rendezvous", [Node(shard_name(n)) for n in range(3)]))
COUNT = 6
LATER_S = TAKEOVER_AFTER_S + 1


@dataclass
class ModelNode:
    """What a node keeps: whom it knows and where, and everybody's role and slots."""

    node_id: str
    address: Address
    known: dict[str, Address] = field(default_factory=dict)
    primary_id: str | None = None


class ModelCluster:
    """Nodes that obey commands and gossip at once; ``owned`` is common knowledge of the known."""

    def __init__(self, count: int = COUNT) -> None:
        self.generation = 0
        self.owned: dict[str, frozenset[int]] = {}
        self.nodes: list[ModelNode | None] = [self.new(number) for number in range(count)]

    @property
    def slot_count(self) -> int:
        """How many slots have an owner."""
        return sum(map(len, self.owned.values()))

    def new(self, number: int) -> ModelNode:
        """Make an empty node at its number's present address."""
        self.generation += 1
        return ModelNode(f"id{self.generation}", Address(f"10.0.0.{number}", 6379))

    def alive(self) -> list[ModelNode]:
        """Return the nodes that answer."""
        return [node for node in self.nodes if node is not None]

    def views(self) -> list[View | str]:
        """Say what each node says."""
        return [
            f"node {number} does not answer" if node is None else self.view(node)
            for number, node in enumerate(self.nodes)
        ]

    def view(self, node: ModelNode) -> View:
        """Say what one node says."""
        everyone = {each.node_id: each for each in self.alive()}
        rows = {}
        for node_id, address in {**node.known, node.node_id: node.address}.items():
            other = everyone.get(node_id)
            reachable = other is not None and other.address == address
            rows[node_id] = Row(
                node_id,
                address,
                frozenset({"master"} if reachable else {"fail"}),
                other.primary_id if other else None,
                reachable,
                self.owned.get(node_id, frozenset()),
            )
        followers = [each for each in self.alive() if each.primary_id == node.node_id]
        rows[node.node_id] = Row(
            node.node_id,
            node.address,
            frozenset({"myself", "slave" if node.primary_id else "master"}),
            node.primary_id,
            True,
            rows[node.node_id].slots,
        )
        is_ok = self.slot_count == SLOT_COUNT and set(self.owned) <= set(everyone)
        return View(node.address, rows, node.node_id, is_ok, len(followers))

    def obey(self, action: Action) -> None:
        """Carry out one command, or refuse it as valkey would."""
        node = self.nodes[action.node]
        assert node is not None
        match action.command:
            case ("CLUSTER", "MEET", host, port):
                self.meet(node, Address(str(host), int(port)))
            case ("CLUSTER", "ADDSLOTSRANGE", *bounds):
                self.add_slots(node, [int(bound) for bound in bounds])
            case ("CLUSTER", "REPLICATE", primary_id):
                if primary_id in node.known and node.node_id not in self.owned:
                    node.primary_id = str(primary_id)
            case ("CLUSTER", "FORGET", node_id):
                node.known.pop(str(node_id), None)
                self.owned.pop(str(node_id), None)
            case ("CLUSTER", "FAILOVER", "TAKEOVER"):
                self.take_over(node)

    def meet(self, node: ModelNode, address: Address) -> None:
        """Introduce two nodes; each learns the other's present address."""
        for other in self.alive():
            if other.address == address and other is not node:
                node.known[other.node_id] = other.address
                other.known[node.node_id] = node.address

    def take_over(self, node: ModelNode) -> None:
        """Make a replica the owner of what its primary owned."""
        old, node.primary_id = node.primary_id, None
        if old in self.owned:
            self.owned[node.node_id] = self.owned.pop(old)

    def add_slots(self, node: ModelNode, bounds: list[int]) -> None:
        """Give a primary slots, all or none."""
        pairs = zip(bounds[::2], bounds[1::2], strict=True)
        wanted = frozenset(slot for first, last in pairs for slot in range(first, last + 1))
        if node.primary_id is None and not any(wanted & owned for owned in self.owned.values()):
            self.owned[node.node_id] = self.owned.get(node.node_id, frozenset()) | wanted

    def plan(self) -> Plan:
        """Name what is next; nodes beyond the sixth are spares."""
        views = self.views()
        members = with_members(views[:COUNT], views[COUNT:])
        return plan_formation(members, ASSIGNMENT, LATER_S)

    def settle(self, rng: Random | None = None, rounds: int = 60) -> int:
        """Form, dropping each command with even chance when given chance; return the rounds."""
        for turn in range(rounds):
            plan = self.plan()
            if not plan.actions and not plan.missing:
                return turn
            for action in plan.actions:
                if rng is None or rng.random() < 0.5:
                    self.obey(action)
        raise AssertionError(f"not formed: {plan}")


def formed() -> ModelCluster:
    """Make a model that is formed already."""
    cluster = ModelCluster()
    cluster.settle()
    return cluster


def is_whole(cluster: ModelCluster) -> bool:
    """Every slot owned by somebody alive who has a replica."""
    ids = {node.node_id for node in cluster.alive()}
    followed = {node.primary_id for node in cluster.alive() if node.primary_id}
    owners = set(cluster.owned)
    return cluster.slot_count == SLOT_COUNT and owners <= ids and owners == followed


def test_documented_constants() -> None:
    """Three primaries make a majority; an election gets five seconds."""
    assert (MIN_PRIMARIES, TAKEOVER_AFTER_S) == (3, 5.0)


def test_fresh_nodes_become_three_primaries_with_a_replica_each() -> None:
    """The first half owns the slots of the assignment, in a few rounds."""
    cluster = ModelCluster()

    rounds = cluster.settle()

    assert rounds <= 4
    assert is_whole(cluster)
    ids = [node.node_id for node in cluster.alive()]
    for number, node_id in enumerate(ids[:3]):
        wanted = {slot for slot, name in enumerate(ASSIGNMENT) if name == shard_name(number)}
        assert cluster.owned[node_id] == wanted
    assert [node.primary_id for node in cluster.alive()] == [None] * 3 + ids[:3]


def test_a_formed_cluster_is_left_alone() -> None:
    """Nothing to do, nothing missing, whatever the assignment says now."""
    plan = plan_formation(formed().views(), ASSIGNMENT[::-1], 0.0)

    assert not plan.actions
    assert not plan.missing


def test_a_node_that_has_not_heard_of_an_owner_is_waited_for() -> None:
    """Slots travel with pings: whom a client asks meanwhile would name no owner for them."""
    views = formed().views()
    late = views[4]
    assert isinstance(late, View)
    owner = next(row for row in late.rows.values() if row.slots)
    views[4] = replace(late, rows={**late.rows, owner.node_id: replace(owner, slots=frozenset())})

    plan = plan_formation(views, ASSIGNMENT, 0.0)

    assert not plan.actions
    assert plan.missing == [f"{late.address} has not heard who owns {len(owner.slots)} slots"]


def test_an_absent_node_is_named_and_nothing_is_decided_without_it() -> None:
    """What seems free may be the absent node's."""
    cluster = ModelCluster()
    cluster.nodes[2] = None

    plan = plan_formation(cluster.views(), ASSIGNMENT, 0.0)

    assert "node 2 does not answer" in plan.missing
    assert {action.command[1] for action in plan.actions} == {"SET-CONFIG-EPOCH", "MEET"}


def test_new_addresses_are_taught_to_everybody() -> None:
    """All nodes back at other addresses: introductions only, and nobody loses a slot."""
    cluster = formed()
    owned = dict(cluster.owned)
    for number, node in enumerate(cluster.alive()):
        node.address = Address(f"10.0.1.{5 - number}", 6379)

    cluster.settle()

    assert is_whole(cluster)
    assert cluster.owned == owned


def test_an_empty_replica_follows_the_shard_that_lacks_one() -> None:
    """It comes back with a new id; its old self is forgotten."""
    cluster = formed()
    gone, primary = cluster.nodes[4], cluster.nodes[1]
    back = cluster.nodes[4] = cluster.new(4)

    cluster.settle()

    assert gone is not None
    assert primary is not None
    assert back.primary_id == primary.node_id
    assert all(gone.node_id not in node.known for node in cluster.alive())


def test_an_empty_primary_does_not_get_its_slots_back_empty() -> None:
    """Its replica has the data and takes over; the empty one follows it."""
    cluster = formed()
    back = cluster.nodes[0] = cluster.new(0)

    early = plan_formation(cluster.views(), ASSIGNMENT, 0.0)
    cluster.settle()

    verbs = {action.command[1] for action in early.actions}
    assert not verbs & {"ADDSLOTSRANGE", "FAILOVER", "FORGET"}
    heir = cluster.nodes[3]
    assert heir is not None
    assert len(cluster.owned[heir.node_id]) == ASSIGNMENT.count("shard-1")
    assert back.primary_id == heir.node_id


def test_a_shard_that_lost_both_nodes_begins_anew() -> None:
    """Nobody has its data any more, so its slots go to the empty nodes."""
    cluster = formed()
    cluster.nodes[0], cluster.nodes[3] = cluster.new(0), cluster.new(3)

    cluster.settle()

    assert is_whole(cluster)


@pytest.mark.property
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    emptied=st.sets(st.integers(0, COUNT - 1), max_size=3),
    was_formed=st.booleans(),
    moved=st.booleans(),
)
def test_every_state_leads_to_the_goal_whatever_is_dropped(
    seed: int, emptied: set[int], was_formed: bool, moved: bool
) -> None:
    """Half the commands lost, nodes emptied and moved: a whole cluster in the end."""
    cluster = formed() if was_formed else ModelCluster()
    for number in emptied:
        cluster.nodes[number] = cluster.new(number)
    if moved:
        for number, node in enumerate(cluster.alive()):
            node.address = Address(f"10.0.2.{number}", 6379)

    cluster.settle(Random(seed))

    assert is_whole(cluster)


def test_a_shard_that_was_added_is_not_forgotten() -> None:
    """Members that aren't listed, but connected, keep their place and their slots."""
    added = Row(
        "added", Address("10.0.1.7", 6379), frozenset({"master"}), None, True, frozenset({7})
    )
    follows = replace(added, node_id="follows", primary_id="added", slots=frozenset())
    views = [view for view in formed().views() if isinstance(view, View)]

    def with_added(view: View, *more: Row) -> View:
        rows = {each.node_id: replace(each, slots=each.slots - {7}) for each in view.rows.values()}
        return replace(view, rows={**rows, **{each.node_id: each for each in more}})

    plan = plan_formation([with_added(view, added, follows) for view in views], ASSIGNMENT, LATER_S)
    assert (plan.actions, plan.missing) == ([], [])
    gone = replace(added, is_connected=False)
    plan = plan_formation([with_added(view, gone) for view in views], ASSIGNMENT, LATER_S)
    assert any(action.command[1] == "FORGET" for action in plan.actions)


def grown() -> ModelCluster:
    """Make a model whose spare nodes have become its fourth shard."""
    cluster = ModelCluster(COUNT + 2)
    cluster.settle()
    primary, replica = cluster.alive()[COUNT:]
    for member in cluster.alive()[:COUNT]:
        cluster.meet(member, primary.address)
        cluster.meet(member, replica.address)
    cluster.meet(primary, replica.address)
    replica.primary_id = primary.node_id
    donor = cluster.alive()[0].node_id
    given = frozenset(sorted(cluster.owned[donor])[:100])
    cluster.owned[donor] -= given
    cluster.owned[primary.node_id] = given
    assert not cluster.plan().missing
    return cluster


def test_spare_nodes_stay_out_of_a_cluster_that_was_not_grown() -> None:
    """Fresh ones know nobody afterwards, and a silent one is not waited for."""
    cluster = ModelCluster(COUNT + 2)
    cluster.nodes[COUNT] = None

    cluster.settle()

    assert is_whole(cluster)
    spare = cluster.nodes[COUNT + 1]
    assert spare is not None
    assert (spare.known, spare.primary_id) == ({}, None)


def test_a_grown_cluster_finds_its_spare_nodes_at_new_addresses() -> None:
    """They are introduced like all others and keep their slots."""
    cluster = grown()
    owned = dict(cluster.owned)
    for number, node in enumerate(cluster.alive()):
        node.address = Address(f"10.0.3.{number}", 6379)

    cluster.settle()

    assert is_whole(cluster)
    assert cluster.owned == owned


def test_a_grown_cluster_waits_for_a_spare_node_that_is_down() -> None:
    """Nobody is forgotten and no slot is dealt out anew."""
    cluster = grown()
    cluster.nodes[COUNT] = None

    plan = cluster.plan()

    assert f"node {COUNT} does not answer" in plan.missing
    assert not plan.actions


@pytest.mark.parametrize("number", [COUNT, COUNT + 1])
def test_a_spare_node_that_comes_back_empty_is_a_replica_again(number: int) -> None:
    """Its old self is forgotten, and the data stay where they are."""
    cluster = grown()
    other = cluster.nodes[2 * COUNT + 1 - number]
    back = cluster.nodes[number] = cluster.new(number)

    cluster.settle()

    assert is_whole(cluster)
    assert other is not None
    assert back.primary_id == other.node_id
    assert len(cluster.owned[other.node_id]) == 100


@pytest.mark.property
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), emptied=st.integers(0, COUNT + 1))
def test_a_grown_cluster_with_one_node_emptied_loses_no_slot(seed: int, emptied: int) -> None:
    """Half the commands lost: every slot stays with its shard."""
    cluster = grown()
    sizes = sorted(map(len, cluster.owned.values()))
    cluster.nodes[emptied] = cluster.new(emptied)

    cluster.settle(Random(seed))

    assert is_whole(cluster)
    assert sorted(map(len, cluster.owned.values())) == sizes
