"""The cluster of the folder above, without anybody's keys."""

from contextlib import closing

import pytest

from shard.move.node import Cluster
from shard.policy.survey import join
from tests.shard.cluster import StoreCluster


@pytest.fixture
async def empty(cluster: StoreCluster) -> None:
    """Begin without keys: tests name slots whose keys they count."""
    with closing(Cluster(cluster.addresses)) as look:
        for shard in join(await look.look()):
            await look.link(shard.primary.address).ask("FLUSHALL")
