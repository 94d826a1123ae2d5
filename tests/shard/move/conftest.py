"""The cluster of the folder above, without anybody's keys."""

from contextlib import closing

import pytest

from shard.move.node import Cluster
from shard.policy.survey import join
from tests.shard.cluster import StoreCluster


@pytest.fixture
async def cluster(cluster: StoreCluster) -> StoreCluster:
    """Begin without keys: tests count them, and a plan under way is one, too."""
    with closing(Cluster(cluster.addresses)) as look:
        for shard in join(await look.look()):
            await look.link(shard.primary.address).ask("FLUSHALL")
    return cluster
