"""How every service process runs: connect to the store, then serve until told to stop."""

import asyncio
from collections.abc import Callable

import grpc.aio

from kit.grpc_server import serve_grpc
from kit.node import Node
from shard.store import StoreClient

AddServicer = Callable[[StoreClient, grpc.aio.Server], None]


async def serve_with_store(node: Node, add_servicer: AddServicer) -> None:
    """Serve a service whose data is in the store.

    The process is not ready before the store answers, however long that takes, and a stop signal
    ends the wait.

    Args:
        node: Started; its settings name the store's nodes.
        add_servicer: Builds the service on the store and adds it to the server.

    Raises:
        ConfigError: When SQUALL_STORE is not set.
    """
    store = StoreClient(node.settings.require_store())
    try:
        if await _connected(store, node):
            await serve_grpc(node, lambda server: add_servicer(store, server))
    finally:
        await store.close()


async def _connected(store: StoreClient, node: Node) -> bool:
    """Wait for the store; False when the process was told to stop meanwhile."""
    connecting = asyncio.ensure_future(store.connect())
    stopping = asyncio.ensure_future(node.lifecycle.wait_stop())
    try:
        await asyncio.wait({connecting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if connecting.done():
            connecting.result()
            return True
        return False
    finally:
        for task in (connecting, stopping):
            task.cancel()
        await asyncio.gather(connecting, stopping, return_exceptions=True)
