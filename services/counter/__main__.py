"""Run the counter service: ``python -m services.counter``."""

import grpc.aio

from api.counter.v1.counter_pb2_grpc import add_CounterServiceServicer_to_server
from kit.node import Node
from kit.run import run
from services.counter.data import StoreCounters
from services.counter.transport import CounterServicer
from services.counter.usecases import Counters
from services.server import serve_with_store
from shard.store import StoreClient


def add_servicer(store: StoreClient, server: grpc.aio.Server) -> None:
    """Build the service on the store."""
    servicer = CounterServicer(Counters(StoreCounters(store)))
    add_CounterServiceServicer_to_server(servicer, server)


async def main(node: Node) -> None:
    """Serve until told to stop."""
    await serve_with_store(node, add_servicer)


if __name__ == "__main__":
    run(main, "counter")
