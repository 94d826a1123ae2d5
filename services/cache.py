"""How a service process has its cache: connected while it runs, its figures where others look."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from kit.node import Node
from services.hot_keys import tell_hot_keys
from services.read_through import ReadThrough
from shard.cache import CacheClient
from shard.policy.local_cache import LocalCache
from shard.policy.topology import Address


@asynccontextmanager
async def reading_through(node: Node) -> AsyncIterator[ReadThrough]:
    """Read through the cache that the node's settings name, if they name one.

    A cache that is away holds nothing up: the client goes on trying, and readers go to the store.
    The figures are in the answers ``policies`` (as ``cache``, ``local_cache`` and
    ``single_flight``) and ``stats``, and in the metrics.
    """
    client = _client(node) if node.settings.cache else None
    reads = ReadThrough(client, node, scope=node.instance)
    node.register_gate("cache", reads)
    node.register_gate("single_flight", reads.flights)

    def stats(_: dict[str, Any]) -> dict[str, Any]:
        """Add the cache to what every process counts."""
        return {
            **node.stats(),
            "cache": reads.snapshot(),
            "single_flight": reads.flights.snapshot(),
        }

    node.answer("stats", stats)
    if client is not None:
        node.register_gate("local_cache", client.local)
        tell_hot_keys(node, "cache", client.hot_keys, client.owner)
    try:
        if client is not None:
            await client.connect()
        yield reads
    finally:
        await reads.close()
        if client is not None:
            await client.close()


def _client(node: Node) -> CacheClient:
    """Make a client that goes round by the link proxy while a fault disturbs one of its links."""

    def dial(address: Address) -> Address:
        """Say where to connect for a node's address now."""
        return Address(*node.directory.dial(*address))

    client = CacheClient(node.settings.cache, dial=dial, local=LocalCache(), switches=node)
    nodes = [Address(*each) for each in node.settings.cache]
    ways = [dial(each) for each in nodes]

    def on_dial_change() -> None:
        """Connect anew when it is one of ours that changed."""
        nonlocal ways
        before, ways = ways, [dial(each) for each in nodes]
        if ways != before:
            client.redial()

    node.directory.on_dial_change(on_dial_change)
    return client
