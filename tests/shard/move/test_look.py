"""Looking at a real cluster, whole and with a node that doesn't answer."""

from contextlib import closing

import pytest

from shard.move.node import Cluster, NodeTrouble
from shard.policy.survey import join
from shard.policy.topology import Address
from tests.ports import free_port
from tests.shard.cluster import StoreCluster

pytestmark = pytest.mark.integration


async def test_every_node_is_asked_and_all_slots_are_somebodys(cluster: StoreCluster) -> None:
    """Three shards of two; keys, memory and lag are their own words."""
    look = Cluster(cluster.addresses[:1])
    shards = join(await look.look())
    look.close()
    assert [len(shard.replicas) for shard in shards] == [1, 1, 1]
    assert sum(len(shard.primary.row.slots) for shard in shards) == 16384
    assert all(shard.lag_bytes(shard.replicas[0]) is not None for shard in shards)
    assert all((shard.primary.memory_bytes or 0) > 0 for shard in shards)


async def test_a_node_that_is_down_is_named_and_the_rest_is_told(cluster: StoreCluster) -> None:
    """A look never fails for one node."""
    look = Cluster(cluster.addresses)
    replica = join(await look.look())[0].replicas[0]
    cluster.kill(cluster.at(replica.address))
    states = await look.look()
    look.close()
    (silent,) = [each for each in states if each.trouble]
    assert silent.address == replica.address
    assert str(replica.address) in silent.trouble


async def test_nobody_answers() -> None:
    """The message names who was asked."""
    port = free_port()
    with pytest.raises(NodeTrouble, match=f"127.0.0.1:{port} does not answer"):
        await Cluster([Address("127.0.0.1", port)]).look()


async def test_nodes_that_would_forget_marks_are_refused(
    cluster: StoreCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """These pass; of newer kind than they are, the first is named."""
    with closing(Cluster(cluster.addresses)) as look:
        await look.require_valkey()
        monkeypatch.setattr("shard.move.node.LEAST_VALKEY", 100)
        with pytest.raises(NodeTrouble, match=r"127\.78\.\d+\.\d:6379 isn't Valkey 100 or newer"):
            await look.require_valkey()
