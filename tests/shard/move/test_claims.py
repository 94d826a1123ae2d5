"""Before a claim, and slots that nobody claims: who has the keys gets them."""

from collections.abc import Sequence
from contextlib import closing

import pytest

from shard.move.claims import ADOPT_AFTER_S, SETTLE_LIMIT_S, Claims
from shard.move.node import Cluster, NodeTrouble
from shard.policy.epochs import config_epoch
from shard.policy.holders import Holders
from shard.policy.plan import Plan
from shard.policy.slot_move import Step
from shard.policy.survey import NodeState
from shard.store import StoreClient
from tests.shard.cluster import StoreCluster
from tests.shard.move.moving import check_whole, fill, looked, mover_at, plan_for, slots_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]


def test_documented_defaults() -> None:
    """Seconds."""
    assert (SETTLE_LIMIT_S, ADOPT_AFTER_S) == (2.0, 2.0)


async def run(cluster: StoreCluster, plan: Plan, patience_s: float = 20.0) -> None:
    """Carry a plan out."""
    async with mover_at(cluster) as (mover, journal):
        mover._patience_s = patience_s
        await journal.take()
        await journal.begin(plan)
        assert await mover.run(plan)
        await journal.release()


def disown(cluster: StoreCluster, slot: int) -> None:
    """Let a slot be nobody's, in everybody's eyes."""
    for node in cluster.nodes:
        node.cli("CLUSTER", "DELSLOTS", str(slot))


async def test_the_targets_replica_knows_an_epoch_above_the_sources_before_a_claim(
    cluster: StoreCluster, store: StoreClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The source has the highest of all; so the target takes a higher one, and tells it."""
    values = await fill(store, "epoch")
    plan = await plan_for(cluster, slots_of(values)[:1])
    with closing(Cluster(cluster.addresses)) as links:
        holders = Holders(await looked(cluster))
        source, target = (holders.primary([name]) for name in plan.moves[0][1:])
        assert source is not None
        assert target is not None
        await links.link(source.address).ask("CLUSTER", "BUMPEPOCH")
        [replica] = holders.replicas(target)
        known: list[tuple[int, int]] = []
        real = Claims.settle

        async def settle(
            claims: Claims, holders: Holders, target: NodeState, sources: Sequence[NodeState]
        ) -> None:
            await real(claims, holders, target, sources)
            text = await links.link(replica.address).ask("CLUSTER", "NODES")
            assert isinstance(text, bytes)
            rows = text.decode()
            known.append((config_epoch(rows, source.node_id), config_epoch(rows, target.node_id)))

        monkeypatch.setattr(Claims, "settle", settle)
        await run(cluster, plan)
    [(sources, targets)] = known
    assert targets > sources > 0


@pytest.mark.parametrize("where", ["source", "target"])
async def test_a_slot_that_is_nobodys_goes_to_who_has_its_keys(
    cluster: StoreCluster, store: StoreClient, where: str
) -> None:
    """And then on to where the plan wants it."""
    values = await fill(store, "orphan")
    plan = await plan_for(cluster, slots_of(values))
    if where == "target":
        await run(cluster, plan)
    disown(cluster, plan.moves[0].slot)
    await run(cluster, plan)
    await check_whole(cluster, plan, values)


async def test_a_slot_that_is_nobodys_with_keys_on_two_nodes_is_left_to_somebody_who_knows(
    cluster: StoreCluster, store: StoreClient
) -> None:
    """It says which; no key is touched."""
    values = await fill(store, "torn")
    plan = await plan_for(cluster, slots_of(values)[:1])

    class Killed(BaseException):
        """The mover ends here."""

    async def kill(step: Step, slot: int) -> None:
        if step is Step.COPY:
            raise Killed

    async with mover_at(cluster, kill) as (mover, journal):
        await journal.take()
        await journal.begin(plan)
        with pytest.raises(Killed):
            await mover.run(plan)
        await journal.end()
        await journal.release()
    slot = plan.moves[0].slot
    disown(cluster, slot)
    with pytest.raises(NodeTrouble, match=rf"slot {slot} has no owner, and keys on .* and .*: dec"):
        await run(cluster, plan, patience_s=3.0)
    counts = [int(node.cli("CLUSTER", "COUNTKEYSINSLOT", str(slot))) for node in cluster.nodes]
    assert sorted(counts) == [0, 0, 4, 4, 4, 4]
