"""Let two fresh nodes in as a shard without slots, and let a shard that has none go.

Each command may be given twice, so a join that was broken off is gone on with by the same call.
"""

import asyncio
import time
from collections.abc import Iterable, Sequence

from shard.move.node import Cluster, NodeTrouble
from shard.policy.plan import PlanRefused
from shard.policy.survey import NodeState
from shard.policy.topology import Address

JOIN_LIMIT_S = 30.0
FRESH_LIMIT_S = 20.0  # valkey waits 5 s for each word of a primary that it begins to follow
POLL_S = 0.1


async def join_shard(cluster: Cluster, primary: Address, replica: Address) -> str:
    """Make two nodes a shard of the cluster; return the id of its primary.

    Args:
        primary: Fresh: knows nobody and has no key; or a member without slots.
        replica: The same; it will follow the primary.

    Raises:
        PlanRefused: They are one node, or belong to the cluster with slots, or to another.
        NodeTrouble: One doesn't answer, or they aren't in after 30 s.
    """
    if primary == replica:
        raise PlanRefused(f"{primary} is named twice: a shard is two nodes")
    states = await cluster.look()
    wanted = [await cluster.link(each).where() for each in (primary, replica)]
    for address in wanted:
        await _require_fresh(cluster, address, states)
    host = next(each for each in states if not each.trouble)
    for address in wanted:
        await cluster.link(host.address).ask("CLUSTER", "MEET", address.host, address.port)
    limit_s = time.monotonic() + JOIN_LIMIT_S
    while (missing := await _missing(cluster, wanted)) is not None:
        if time.monotonic() > limit_s:
            raise NodeTrouble(f"not joined after {JOIN_LIMIT_S:.0f} s: {missing}")
        await asyncio.sleep(POLL_S)
    return (await cluster.link(wanted[0]).look())[0].node_id


async def let_go(cluster: Cluster, node_ids: Iterable[str]) -> None:
    """Have everybody forget nodes that own nothing, and these forget everybody.

    Raises:
        PlanRefused: One of them owns slots.
        NodeTrouble: A node that stays doesn't answer, and then the same may be done again; or one
            that left, for 20 s, and what it has must be deleted by hand.
    """
    leaving = set(node_ids)
    states = await cluster.look()
    for state in states:
        if state.node_id in leaving and state.row.slots:
            raise PlanRefused(f"{state.address} owns {len(state.row.slots)} slots: move them first")
    present = [each for each in states if each.node_id in leaving]
    cluster.leave_out([each.address for each in present])
    for stays in (each for each in states if each.node_id not in leaving and not each.trouble):
        for gone in present:
            await cluster.link(stays.address).ask("CLUSTER", "FORGET", gone.node_id)
    await asyncio.gather(*(_make_fresh(cluster, each.address) for each in present))


async def _make_fresh(cluster: Cluster, address: Address) -> None:
    """Empty a node and have it forget everybody.

    A shard that loses its last slot follows the shard that got it, and a node that begins to follow
    may answer nobody for some seconds: it is asked until it answers.
    """
    limit_s = time.monotonic() + FRESH_LIMIT_S
    link = cluster.link(address)
    while True:
        try:
            state, _ = await link.look()
            await link.ask_all([("FLUSHALL",)] * (not state.row.is_replica))
            await link.ask("CLUSTER", "RESET", "HARD")
        except NodeTrouble as error:
            if time.monotonic() > limit_s:
                raise NodeTrouble(
                    f"{address} is of the store no more, and couldn't be emptied: {error}; "
                    "FLUSHALL and CLUSTER RESET HARD it before it is added again"
                ) from error
            await asyncio.sleep(POLL_S)
        else:
            return


async def _require_fresh(cluster: Cluster, address: Address, states: Sequence[NodeState]) -> None:
    state, text = await cluster.link(address).look()
    if state.row.slots:
        raise PlanRefused(f"{address} owns {len(state.row.slots)} slots: it is a shard already")
    is_member = any(each.node_id == state.node_id for each in states)
    if not is_member and (len(text.splitlines()) > 1 or state.keys):
        raise PlanRefused(
            f"{address} is not fresh: it knows {len(text.splitlines()) - 1} other nodes and holds "
            f"{state.keys} keys; FLUSHALL and CLUSTER RESET HARD it if that may go"
        )


async def _missing(cluster: Cluster, wanted: Sequence[Address]) -> str | None:
    """Do what is due, and say what is missing; None when all is there."""
    states = await cluster.look()
    silent = [each for each in states if each.trouble]
    for state in states:
        known = 0 if state.trouble else await _known(cluster, state.address)
        if not state.trouble and known < len(states) - len(silent):
            return f"{state.address} knows {known} of {len(states)} nodes"
    here = {state.address: state for state in states}
    if any(address not in here for address in wanted):
        return "the new nodes are not known to all"
    head, follower = (here[address] for address in wanted)
    if follower.row.primary_id != head.node_id:
        await cluster.link(wanted[1]).ask("CLUSTER", "REPLICATE", head.node_id)
        return f"{wanted[1]} does not follow {wanted[0]}"
    in_step = await cluster.link(wanted[0]).ask("WAIT", 1, int(POLL_S * 1000))
    return None if in_step else f"{wanted[1]} is not in step with {wanted[0]}"


async def _known(cluster: Cluster, address: Address) -> int:
    """Count the nodes that a node knows by their real ids and believes alive."""
    _, text = await cluster.link(address).look()
    bad = ("handshake", "noaddr", "fail")
    return sum(1 for line in text.splitlines() if not any(word in line for word in bad))
