"""A real store for the data rooms: six nodes formed as the lab forms its own."""

from collections.abc import AsyncIterator, Iterator

import pytest

from shard.form import form
from shard.policy.topology import Address
from shard.store import StoreClient
from tests.valkey import start_cluster_nodes


@pytest.fixture(scope="session")
def six_nodes() -> Iterator[list[Address]]:
    """Start six nodes that are no cluster yet."""
    with start_cluster_nodes(node_timeout_ms=5_000) as nodes:
        yield [Address(node.host, node.port) for node in nodes]


@pytest.fixture
async def store(six_nodes: list[Address]) -> AsyncIterator[StoreClient]:
    """Connect to the store; forming it a second time finds it formed."""
    await form(six_nodes, limit_s=30)
    client = StoreClient(six_nodes)
    await client.connect()
    yield client
    await client.close()
