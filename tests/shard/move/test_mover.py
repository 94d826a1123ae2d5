"""Moving slots of a real cluster: whole, broken off at every step, cancelled, and under load."""

import asyncio
import itertools
import os
from contextlib import closing

import pytest

from hashing.slots import slot_of
from shard.move.journal import LEASE_MS, PLAN, Taken
from shard.move.mover import DEFAULT_PATIENCE_S, DEFAULT_RATES, GROUP_KEYS, Progress
from shard.move.node import Cluster, NodeLink
from shard.move.pace import Pace
from shard.move.relay import Relay
from shard.move.slot import BATCH_KEYS, SlotMove
from shard.policy.epochs import Epochs
from shard.policy.holders import Holders
from shard.policy.plan import GROUP_SLOTS, Plan, next_group
from shard.policy.slot_move import Step
from shard.policy.topology import Address
from shard.store import Durability, StoreClient, WriteStatus
from tests.shard.cluster import StoreCluster, first_good
from tests.shard.move.moving import check_whole, fill, looked, mover_at, plan_for, slots_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

FORWARD = (Step.OPEN, Step.COPY, Step.LEAVE, Step.CLAIM, Step.TELL)
# Every step and node, so many times each: minutes. Without it the cases that differ in kind.
MATRIX = int(os.environ.get("MOVE_MATRIX", "0"))
NODE_CASES = list(itertools.product(FORWARD, ("source", "target"), ("primary", "replica"))) * MATRIX
NODE_CASES = NODE_CASES or [
    (Step.COPY, "source", "primary"),
    (Step.LEAVE, "source", "primary"),
    (Step.COPY, "target", "primary"),
    (Step.LEAVE, "target", "primary"),
    (Step.CLAIM, "target", "primary"),
    (Step.OPEN, "source", "replica"),
    (Step.OPEN, "target", "replica"),
]


class Killed(BaseException):
    """Stands for kill -9 of the mover: nothing that it would still do is done."""


def test_documented_defaults() -> None:
    """Keys and slots a second, seconds, milliseconds, keys of a batch and of a group, slots."""
    assert (*DEFAULT_RATES, DEFAULT_PATIENCE_S) == (5000.0, 64.0, 60.0)
    assert (LEASE_MS, BATCH_KEYS, GROUP_KEYS, GROUP_SLOTS) == (5000, 200, 1000, 16)


async def test_keys_arrive_with_their_types_and_their_ends(
    cluster: StoreCluster, store: StoreClient
) -> None:
    """DUMP and RESTORE carry any type; what expires does so at the same moment."""
    await store.write("RPUSH", "{types}:list", "a", "b")
    await store.write("ZADD", "{types}:set", "1.5", "x")
    await store.write("SET", "{types}:end", "soon", "PXAT", "4102444800123")
    slot = slot_of(b"{types}")
    plan = await plan_for(cluster, [slot])
    said: list[Progress] = []
    async with mover_at(cluster, said=said) as (mover, journal):
        await journal.take()
        await journal.begin(plan)
        assert await mover.run(plan)
        assert await journal.plan() is None
        await journal.release()
    assert (said[-1].slots, said[-1].keys, said[-1].waiting_for) == (1, 3, "")
    assert await store.read("LRANGE", "{types}:list", 0, -1) == [b"a", b"b"]
    assert await store.read("ZSCORE", "{types}:set", "x") == b"1.5"
    assert await store.read("PEXPIRETIME", "{types}:end") == 4102444800123
    await check_whole(cluster, plan, {"{types}:end": b"soon"})


@pytest.mark.parametrize("step", FORWARD * max(1, MATRIX))
@pytest.mark.parametrize("then", ["resume", "cancel"])
async def test_a_mover_killed_at_any_step_is_followed_or_taken_back(
    cluster: StoreCluster, store: StoreClient, step: Step, then: str
) -> None:
    """Of three slots the second is broken off, with those that go beside it; whoever comes after
    finds all he needs.
    """
    values = await fill(store, f"mover-{step.value}-{then}")
    plan = await plan_for(cluster, slots_of(values))
    before = store.topology

    async def kill(at: Step, slot: int) -> None:
        if at is step and slot == plan.moves[1].slot:
            raise Killed

    async with mover_at(cluster, kill) as (mover, journal):
        await journal.take()
        await journal.begin(plan)
        with pytest.raises(Killed):
            await mover.run(plan)
        await journal.release()  # else the test waits until the lease has ended
    async with mover_at(cluster) as (mover, journal):
        found = await journal.plan()
        assert found == plan
        await (mover.run(found) if then == "resume" else mover.back(found))
        assert await journal.plan() is None
        await journal.release()
    await check_whole(cluster, plan, values)
    if then == "cancel":
        moved = [await owner(store, move.slot) for move in plan.moves]
        went = [a != before.owners[move.slot] for a, move in zip(moved, plan.moves, strict=True)]
        ways = [move[1:] for move in plan.moves]
        first, last = ways.index(ways[1]), 2 - ways[::-1].index(ways[1])  # of the second's group
        has_left = step not in (Step.OPEN, Step.COPY)
        assert went == [number < first or (number <= last and has_left) for number in range(3)]


@pytest.mark.parametrize("then", ["resume", "cancel"])
async def test_slots_of_one_group_may_have_come_to_different_steps(
    cluster: StoreCluster, store: StoreClient, then: str
) -> None:
    """A mover is killed while some have taken a step and others haven't."""
    values: dict[str, bytes] = {}
    slots = [*range(6)]  # neighbours: of one shard
    for slot in slots:
        name = next(str(n) for n in itertools.count() if slot_of(b"%d" % n) == slot)
        await first_good(
            store, "SET", name, b"%d" % slot, durability=Durability.REPLICATED, limit_s=20
        )
        values[name] = b"%d" % slot
    plan = await plan_for(cluster, slots)
    assert len(next_group(plan.moves, 0)) == len(slots)
    holders = Holders(await looked(cluster))
    target = holders.primary(plan.members[plan.moves[0].target])
    assert target is not None
    with closing(Cluster(cluster.addresses)) as links, closing(Relay()) as relay:
        for steps, move in enumerate(plan.moves):
            source = holders.other_than(target, move.slot)
            assert source is not None
            way = (links.link(source.address), links.link(target.address))
            one = SlotMove(move.slot, source, target, *way, Pace(1000.0).wait, relay, {})
            for step in FORWARD[:steps]:
                await one.take(step)
    async with mover_at(cluster) as (mover, journal):
        await journal.take()
        await journal.begin(plan)
        await (mover.run(plan) if then == "resume" else mover.back(plan))
        await journal.release()
    await check_whole(cluster, plan, values)
    went = [await owner(store, slot) == target.address for slot in slots]
    assert went == ([True] * 6 if then == "resume" else [False] * 3 + [True] * 3)


async def test_a_group_has_no_more_keys_than_can_be_copied_in_a_moment(
    cluster: StoreCluster, store: StoreClient
) -> None:
    """Of three slots with 600 keys each every one goes alone; progress says so."""
    values: dict[str, bytes] = {}
    for slot in (10, 11, 12):
        tag = next(str(n) for n in itertools.count() if slot_of(b"%d" % n) == slot)
        values |= {f"{{{tag}}}:{n}": b"x" for n in range(600)}
        await asyncio.gather(*(store.write("SET", f"{{{tag}}}:{n}", b"x") for n in range(600)))
    plan = await plan_for(cluster, [10, 11, 12])
    said: list[Progress] = []
    async with mover_at(cluster, said=said) as (mover, journal):
        await journal.take()
        await journal.begin(plan)
        assert await mover.run(plan)
        await journal.release()
    assert [(each.slots, each.keys) for each in said] == [(1, 600), (2, 1200), (3, 1800)]
    await check_whole(cluster, plan, values)


async def owner(store: StoreClient, slot: int) -> Address | None:
    """Ask for a key of the slot, and return who the client believes answers now."""
    key = next(key for key in (f"{n}" for n in itertools.count()) if slot_of(key.encode()) == slot)
    await store.read("GET", key)
    return store.topology.owners[slot]


@pytest.mark.parametrize(("step", "who", "role"), NODE_CASES)
async def test_a_node_killed_at_a_step_costs_time_and_nothing_else(
    cluster: StoreCluster, store: StoreClient, step: Step, who: str, role: str
) -> None:
    """The mover waits for the failover, or for the replica to be back, and goes on by itself."""
    values = await fill(store, f"node-{step.value}-{who}-{role}")
    plan = await plan_for(cluster, slots_of(values))
    first = plan.moves[0]
    ids = plan.members[first.source if who == "source" else first.target]
    node_id = ids[0] if role == "primary" else ids[1]
    number = next(
        n for n, node in enumerate(cluster.nodes) if node.cli("CLUSTER", "MYID") == node_id
    )
    killed = asyncio.Event()

    async def kill(at: Step, slot: int) -> None:
        if at is step and slot == first.slot and not killed.is_set():
            cluster.kill(number)
            killed.set()

    async def bring_back() -> None:
        await killed.wait()
        await asyncio.sleep(3.0)  # as the lab's nodes: after the election, deploy/store-node.sh
        cluster.start(number)

    async with mover_at(cluster, kill) as (mover, journal), asyncio.TaskGroup() as beside:
        back = beside.create_task(bring_back())
        await journal.take()
        await journal.begin(plan)
        assert await mover.run(plan)
        await journal.release()
        assert killed.is_set()
        back.cancel()  # what follows holds without the node, and the fixture mends
    await check_whole(cluster, plan, values)


async def test_clients_write_on_and_nothing_is_lost(
    cluster: StoreCluster, store: StoreClient
) -> None:
    """Counters of moving slots, raised all the while: each ends at what was acknowledged."""
    names = [f"{{load{number % 6}}}:{number}" for number in range(60)]
    done = dict.fromkeys(names, 0)
    is_over = asyncio.Event()

    async def raise_counter(name: str) -> None:
        while not is_over.is_set():
            result = await store.write("INCR", name, durability=Durability.LOCAL)
            assert result.status is WriteStatus.ACKNOWLEDGED, result
            done[name] += 1
            assert result.value == done[name]

    tasks = [asyncio.create_task(raise_counter(name)) for name in names]
    for _ in range(5):
        plan = await plan_for(cluster, sorted({slot_of(name.encode()) for name in names}))
        async with mover_at(cluster) as (mover, journal):
            await journal.take()
            await journal.begin(plan)
            assert await mover.run(plan)
            await journal.release()
    is_over.set()
    await asyncio.gather(*tasks)
    await check_whole(cluster, plan, {name: b"%d" % count for name, count in done.items()})


async def test_nothing_is_claimed_before_the_target_has_heard_of_all_epochs(
    cluster: StoreCluster, store: StoreClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two nodes have the same until they have been asked some times; then the claim is made."""
    values = await fill(store, "epochs")
    plan = await plan_for(cluster, slots_of(values))
    real, asked, asked_at_claim = NodeLink.epochs, 0, 0

    async def late(link: NodeLink) -> Epochs:
        nonlocal asked
        asked += 1
        return Epochs(3, 3) if asked < 20 else await real(link)

    async def note(step: Step, slot: int) -> None:
        nonlocal asked_at_claim
        asked_at_claim = asked if step is Step.CLAIM else asked_at_claim

    monkeypatch.setattr(NodeLink, "epochs", late)
    async with mover_at(cluster, note) as (mover, journal):
        await journal.take()
        await journal.begin(plan)
        assert await mover.run(plan)
        await journal.release()
    assert asked_at_claim >= 20
    await check_whole(cluster, plan, values)


async def test_one_mover_at_a_time_and_a_word_to_stop(
    cluster: StoreCluster, store: StoreClient
) -> None:
    """The second is told who moves since when; a cancel ends the first at its next slot."""
    values = await fill(store, "two")
    plan = await plan_for(cluster, slots_of(values))
    async with mover_at(cluster) as (mover, journal), mover_at(cluster) as (_, other):
        await journal.take()
        await journal.begin(plan)
        with pytest.raises(Taken, match=r"another mover is at work: .* process \d+ since 2"):
            await other.take()
        await other.ask_to_stop()
        assert not await mover.run(plan)
        assert await other.plan() is None
        await journal.release()
        await other.take()
        await other.release()
    await check_whole(cluster, plan, values)


async def test_a_shard_without_its_replica_is_not_moved_from(
    cluster: StoreCluster, store: StoreClient
) -> None:
    """What can't be proven isn't done: the mover says why, and gives up when patience ends.

    The journal's shard keeps its replica, else that would be the reason.
    """
    journals = await owner(store, slot_of(PLAN.encode()))
    plan = await plan_for(cluster, [*range(0, 16384, 512)])
    move = next(m for m in plan.moves if id_of(cluster, journals) not in plan.members[m.target])
    plan = Plan(plan.algorithm, plan.members, (move,))
    follower = plan.members[plan.moves[0].target][1]
    cluster.kill(
        next(n for n, node in enumerate(cluster.nodes) if node.cli("CLUSTER", "MYID") == follower)
    )
    async with mover_at(cluster) as (mover, _):
        mover._patience_s = 1.0
        with pytest.raises(Exception, match=r"no replica|NOREPLICAS"):
            await mover.run(plan)
        await mover.back(plan)
    cluster.mend()
    await check_whole(cluster, plan, {})


def id_of(cluster: StoreCluster, address: Address | None) -> str:
    """Return a node's id."""
    assert address is not None
    return cluster.nodes[cluster.at(address)].cli("CLUSTER", "MYID")
