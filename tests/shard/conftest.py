"""One real cluster for all tests of this folder, formed by the command that forms the lab's."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator

import pytest

from shard.connection import Limits
from shard.form import form
from shard.store import StoreClient
from tests.shard.cache_nodes import CacheNodes, start_cache_nodes
from tests.shard.cluster import StoreCluster, start_cluster


@pytest.fixture(scope="session")
def six_nodes() -> Iterator[StoreCluster]:
    """Start six nodes and form them with ``python -m shard.form``."""
    with start_cluster() as cluster:
        done = subprocess.run(
            [sys.executable, "-m", "shard.form"],
            env={**os.environ, "SQUALL_STORE": cluster.seeds_text},
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert done.returncode == 0, done.stderr
        assert "formed 3 primaries, 3 replicas, slots by rendezvous" in done.stderr
        yield cluster


@pytest.fixture
async def cluster(six_nodes: StoreCluster) -> AsyncIterator[StoreCluster]:
    """Hand out the cluster whole, and mend it after a test that broke something."""
    yield six_nodes
    six_nodes.mend()
    await form(six_nodes.addresses, limit_s=60)


@pytest.fixture
async def store(cluster: StoreCluster) -> AsyncIterator[StoreClient]:
    """Connect a client that is patient with a disk under load."""
    client = StoreClient(cluster.addresses, limits=Limits(reply_timeout_s=2.0), wait_timeout_s=0.8)
    await client.connect()
    yield client
    await client.close()


@pytest.fixture(scope="module")
def three_nodes() -> Iterator[CacheNodes]:
    """Run three nodes for the module."""
    with start_cache_nodes() as nodes:
        yield nodes


@pytest.fixture
def nodes(three_nodes: CacheNodes) -> CacheNodes:
    """Hand the nodes out running and empty."""
    three_nodes.mend()
    return three_nodes
