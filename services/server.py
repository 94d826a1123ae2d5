"""How every service process runs: connect to the store, then serve until told to stop."""

from collections.abc import Callable

import grpc.aio

from kit.grpc_server import serve_grpc
from kit.node import Node
from services.dial import dial_of
from services.hot_keys import tell_hot_keys
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
    store = StoreClient(node.settings.require_store(), dial=dial_of(node.directory))
    tell_hot_keys(node, "store", store.hot_keys, store.owner)
    node.directory.on_dial_change(store.redial)
    try:
        if await node.lifecycle.unless_stopped(store.connect()):
            await serve_grpc(node, lambda server: add_servicer(store, server))
    finally:
        await store.close()
