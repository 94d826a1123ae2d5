"""How a service process has its cache: connected while it runs, its figures where others look."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from kit.node import Node
from services.read_through import ReadThrough
from shard.cache import CacheClient


@asynccontextmanager
async def reading_through(node: Node) -> AsyncIterator[ReadThrough]:
    """Read through the cache that the node's settings name, if they name one.

    A cache that is away holds nothing up: the client goes on trying, and readers go to the store.
    The figures are in the answers ``policies`` (as ``cache`` and ``single_flight``) and ``stats``,
    and in the metrics.
    """
    client = CacheClient(node.settings.cache) if node.settings.cache else None
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
    try:
        if client is not None:
            await client.connect()
        yield reads
    finally:
        await reads.close()
        if client is not None:
            await client.close()
