"""What the tests of moves share: a plan for a few slots, a mover, and the invariant."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence, Set
from contextlib import asynccontextmanager, closing

from hashing.slots import slot_of
from shard.connection import Limits
from shard.move.group import Watcher
from shard.move.journal import Journal
from shard.move.mover import Mover, Progress
from shard.move.node import Cluster
from shard.policy.assignment import Move
from shard.policy.plan import Plan, in_turns
from shard.policy.slot_move import Step
from shard.policy.survey import NodeState, join
from shard.store import Durability, StoreClient
from tests.shard.cluster import StoreCluster, first_good

SETTLED_S = 10.0


async def no_watcher(step: Step, slot: int) -> None:
    """Break nothing."""


@asynccontextmanager
async def mover_at(
    nodes: StoreCluster,
    watcher: Watcher = no_watcher,
    *,
    said: list[Progress] | None = None,
) -> AsyncIterator[tuple[Mover, Journal]]:
    """Hand out a mover with everything it stands on."""
    store = StoreClient(nodes.addresses, limits=Limits(reply_timeout_s=2.0), wait_timeout_s=0.8)
    await store.connect()
    cluster, journal = Cluster(nodes.addresses), Journal(store)
    told = said if said is not None else []
    try:
        yield Mover(cluster, journal, report=told.append, watcher=watcher), journal
    finally:
        cluster.close()
        await store.close()


async def fill(store: StoreClient, prefix: str, count: int = 12) -> dict[str, bytes]:
    """Write keys of three slots, in each of which are several."""
    values: dict[str, bytes] = {}
    for number in range(count):
        key, value = f"{{{prefix}{number % 3}}}:{number}", b"%d" % number
        await first_good(store, "SET", key, value, durability=Durability.REPLICATED, limit_s=20)
        values[key] = value
    return values


def slots_of(values: dict[str, bytes]) -> list[int]:
    """Each slot once."""
    return sorted({slot_of(key.encode()) for key in values})


async def looked(nodes: StoreCluster) -> list[NodeState]:
    """Look at all nodes."""
    with closing(Cluster(nodes.addresses)) as look:
        return await look.look()


async def plan_for(nodes: StoreCluster, slots: list[int]) -> Plan:
    """Plan to move slots from whoever owns each to the shard after it."""
    with closing(Cluster(nodes.addresses)) as look:
        shards = join(await look.look())
    members = {shard.primary.node_id: shard.node_ids for shard in shards}
    names = [shard.primary.node_id for shard in shards]
    found = []
    for slot in slots:
        source = next(i for i, shard in enumerate(shards) if slot in shard.primary.row.slots)
        found.append(Move(slot, names[source], names[(source + 1) % len(names)]))
    return Plan("slot-map", members, tuple(in_turns(found)))


async def check_whole(nodes: StoreCluster, plan: Plan, values: Mapping[str, bytes]) -> None:
    """Every slot of the plan has one owner and no mark, every key one place and its value."""
    slots = {move.slot for move in plan.moves}
    with closing(Cluster(nodes.addresses)) as look:
        primaries = await _settled(look, slots)
        for slot in slots:
            holders = [
                one.address
                for one in primaries
                if await look.link(one.address).ask("CLUSTER", "COUNTKEYSINSLOT", slot)
            ]
            expected = any(slot_of(key.encode()) == slot for key in values)
            assert len(holders) == int(expected), f"slot {slot} is at {holders}"
    store = StoreClient(nodes.addresses, limits=Limits(reply_timeout_s=2.0))
    try:
        await store.connect()
        assert await store.read_many([("GET", key) for key in values]) == list(values.values())
    finally:
        await store.close()


async def _settled(look: Cluster, slots: Set[int]) -> Sequence[NodeState]:
    """Return the primaries once each slot has one owner and no mark: gossip may tell it late."""
    limit_s = time.monotonic() + SETTLED_S
    while True:
        primaries = [shard.primary for shard in join(await look.look())]
        if not (trouble := _trouble(primaries, slots)):
            return primaries
        assert time.monotonic() < limit_s, trouble
        await asyncio.sleep(0.02)


def _trouble(primaries: Sequence[NodeState], slots: Set[int]) -> str:
    """Say what is not settled yet, or nothing."""
    if silent := [one.trouble for one in primaries if one.trouble]:
        return silent[0]  # one that was killed last, and nobody has taken its place yet
    owners = [sum(slot in one.row.slots for one in primaries) for slot in slots]
    marks = [(one.address, one.importing, one.migrating) for one in primaries]
    is_open = any(importing or migrating for _, importing, migrating in marks)
    return f"{owners} {marks}" if set(owners) != {1} or is_open else ""
