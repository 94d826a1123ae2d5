"""Two fresh nodes become a shard, and go again; what isn't fresh stays outside."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from shard.form import NotFormed, form
from shard.move.joining import join_shard, let_go
from shard.move.node import Cluster
from shard.policy.plan import PlanRefused
from shard.policy.survey import join
from shard.policy.topology import Address
from tests.shard.cluster import PORT, StoreCluster, launch_node
from tests.shard.fake import until
from tests.valkey import Valkey

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]


@pytest.fixture
def two_more(cluster: StoreCluster, tmp_path: Path) -> Iterator[list[Valkey]]:
    """Start two nodes in the cluster's network that know nobody."""
    network = cluster.nodes[0].host.rpartition(".")[0]
    nodes = []
    for number in (7, 8):
        folder = tmp_path / str(number)
        folder.mkdir()
        nodes.append(launch_node(f"{network}.{number}", folder))
    yield nodes
    for node in nodes:
        node.stop()


async def test_two_fresh_nodes_come_and_go(cluster: StoreCluster, two_more: list[Valkey]) -> None:
    """In twice is in once; let go, nobody knows them and they know nobody."""
    look = Cluster(cluster.addresses)
    head, follower = (Address(node.host, PORT) for node in two_more)
    first = await join_shard(look, head, follower)
    assert await join_shard(look, head, follower) == first
    newcomer = join(await look.look())[-1]
    assert newcomer.primary.node_id == first
    assert [each.address for each in newcomer.replicas] == [follower]
    await let_go(look, newcomer.node_ids)
    assert len(await look.look()) == 6
    assert all(len(node.cli("CLUSTER", "NODES").splitlines()) == 1 for node in two_more)
    look.close()


async def test_a_node_that_is_silent_while_it_leaves_is_emptied_when_it_answers(
    cluster: StoreCluster, two_more: list[Valkey]
) -> None:
    """Else it would know the others still, and couldn't be added again."""
    look = Cluster(cluster.addresses)
    head, follower = (Address(node.host, PORT) for node in two_more)
    await join_shard(look, head, follower)
    newcomer = join(await look.look())[-1]
    two_more[1].process.send_signal(signal.SIGSTOP)
    leaving = asyncio.create_task(let_go(look, newcomer.node_ids))
    await until(lambda: len(two_more[0].cli("CLUSTER", "NODES").splitlines()) == 1, limit_s=20)
    assert not leaving.done()
    two_more[1].process.send_signal(signal.SIGCONT)
    await leaving
    assert all(len(node.cli("CLUSTER", "NODES").splitlines()) == 1 for node in two_more)
    look.close()


async def test_who_is_not_fresh_stays_outside(
    cluster: StoreCluster, two_more: list[Valkey]
) -> None:
    """A node named twice, one with slots, one with friends; and a shard with slots can't go."""
    look = Cluster(cluster.addresses)
    head, follower = (Address(node.host, PORT) for node in two_more)
    with pytest.raises(PlanRefused, match="named twice"):
        await join_shard(look, head, head)
    shard = join(await look.look())[0]
    with pytest.raises(PlanRefused, match="it is a shard already"):
        await join_shard(look, shard.primary.address, follower)
    with pytest.raises(PlanRefused, match="move them first"):
        await let_go(look, shard.node_ids)
    two_more[0].cli("CLUSTER", "MEET", follower.host, str(PORT))
    with pytest.raises(PlanRefused, match="is not fresh"):
        await join_shard(look, head, follower)
    assert len(await look.look()) == 6
    look.close()


async def test_a_grown_cluster_that_was_killed_is_formed_with_its_spare_nodes(
    cluster: StoreCluster, two_more: list[Valkey]
) -> None:
    """They stay outside until they are added; from then on they are waited for."""
    spares = [Address(node.host, PORT) for node in two_more]
    await form(cluster.addresses, spares=spares, limit_s=30)
    assert all(len(node.cli("CLUSTER", "NODES").splitlines()) == 1 for node in two_more)

    look = Cluster(cluster.addresses)
    name = await join_shard(look, *spares)
    donor = join(await look.look())[0].primary
    slot = min(donor.row.slots)
    grown = StoreCluster([*cluster.nodes, *two_more])
    grown.hand_over(slot, donor.address, spares[0])
    for number in range(8):
        grown.kill(number)
    for number in range(6):
        cluster.start(number)
    with pytest.raises(NotFormed, match=f"{spares[0]} does not answer"):
        await form(cluster.addresses, spares=spares, limit_s=2)
    for number in (6, 7):
        grown.start(number)
    two_more[:] = grown.nodes[6:]
    await form(cluster.addresses, spares=spares, limit_s=30)

    newcomer = next(one for one in join(await look.look()) if slot in one.primary.row.slots)
    assert (newcomer.primary.node_id, newcomer.primary.address) == (name, spares[0])
    assert [each.address for each in newcomer.replicas] == spares[1:]
    grown = StoreCluster([*cluster.nodes, *two_more])
    grown.hand_over(slot, spares[0], donor.address)
    look.close()
