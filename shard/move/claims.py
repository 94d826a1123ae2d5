"""Who may say that a slot is its own: what has to be known before, and slots that nobody claims.

Before a target claims slots of a source,

- it must have heard of every primary's epoch, or nobody would believe it (``shard.policy.epochs``);
- its replica must know an epoch of it that is above the source's. The replica is told of the claim
  before it is made, and of the epoch behind it only by gossip: knowing the old one, it would
  believe the source's next heartbeat instead. If the target died just then, the replica would take
  over all its slots but those just claimed, and they would be nobody's in the end (measured: once
  in three hundred kills at that step, on a starved machine).

A slot that all the same belongs to nobody goes to the one shard that has its keys.
Source: valkey: cluster_legacy.c, clusterUpdateSlotsConfigWith, clusterFailoverReplaceYourPrimary;
CLUSTER BUMPEPOCH.
"""

import asyncio
import time
from collections.abc import Sequence

from shard.move.node import Cluster, NodeTrouble
from shard.policy.epochs import config_epoch, would_be_believed
from shard.policy.holders import Holders
from shard.policy.survey import NodeState

SETTLE_LIMIT_S = 2.0  # gossip takes a millisecond, half a node timeout at most; two of those
SETTLE_POLL_S = 0.005
ADOPT_AFTER_S = 2.0  # gossip and an election are over by then; two node timeouts


class Claims:
    """The claims of one mover.

    Args:
        cluster: To ask and to tell.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._nobodys_since_s: dict[int, float] = {}

    async def settle(
        self, holders: Holders, target: NodeState, sources: Sequence[NodeState]
    ) -> None:
        """Wait until the target's claim to slots of these would be believed, and survive it.

        Raises:
            NodeTrouble: It wouldn't yet, or a node doesn't answer.
        """
        limit_s = time.monotonic() + SETTLE_LIMIT_S
        primaries = holders.primaries()
        owners = {each.node_id for each in sources}
        while True:
            claimant = await self._cluster.link(target.address).epochs()
            said = await asyncio.gather(
                *(self._cluster.link(each.address).epochs() for each in primaries)
            )
            highest = max(
                (epochs.own for one, epochs in zip(primaries, said, strict=True)
                 if one.node_id in owners), default=0,
            )  # fmt: skip
            if would_be_believed(claimant, said):
                if claimant.own <= highest:
                    await self._cluster.link(target.address).ask("CLUSTER", "BUMPEPOCH")
                elif await self._is_known(holders, target, highest):
                    return
            if time.monotonic() > limit_s:
                raise NodeTrouble(f"not all have heard of all epochs, {target.address} has {said}")
            await asyncio.sleep(SETTLE_POLL_S)

    async def adopt(self, slot: int, holders: Holders, target: NodeState) -> None:
        """Give a slot that is nobody's for a while to who has its keys, or else to the target.

        Raises:
            NodeTrouble: Always: nothing can be moved yet; says why, or who has it now.
        """
        now_s = time.monotonic()
        since_s = self._nobodys_since_s.setdefault(slot, now_s)
        if silent := holders.silent():
            raise NodeTrouble(f"slot {slot} has no owner that answers; {silent[0].trouble}")
        if now_s - since_s < ADOPT_AFTER_S:
            raise NodeTrouble(f"slot {slot} has no owner")
        keepers = [one for one in holders.primaries() if await self._count(slot, one)] or [target]
        if len(keepers) > 1:
            places = " and ".join(str(one.address) for one in keepers)
            raise NodeTrouble(f"slot {slot} has no owner, and keys on {places}: decide by hand")
        heir = keepers[0]
        other = next(one for one in holders.primaries() if one is not heir)
        link = self._cluster.link(heir.address)
        await link.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", other.node_id)
        await self.settle(holders, heir, [])
        await link.ask("CLUSTER", "SETSLOT", slot, "NODE", heir.node_id)
        del self._nobodys_since_s[slot]
        raise NodeTrouble(f"slot {slot} had no owner: {heir.address}, who has its keys, has it now")

    async def _is_known(self, holders: Holders, target: NodeState, above: int) -> bool:
        """Whether each replica of the target knows an epoch of it above this one."""
        for replica in holders.replicas(target):
            text = await self._cluster.link(replica.address).ask("CLUSTER", "NODES")
            if not isinstance(text, bytes) or config_epoch(text.decode(), target.node_id) <= above:
                return False
        return True

    async def _count(self, slot: int, one: NodeState) -> int:
        found = await self._cluster.link(one.address).ask("CLUSTER", "COUNTKEYSINSLOT", slot)
        return found if isinstance(found, int) else 0
