"""Run the account service: ``python -m services.account``."""

import grpc.aio

from api.account.v1.account_pb2_grpc import add_AccountServiceServicer_to_server
from kit.node import Node
from kit.run import run
from services.account.data import StoreAccounts
from services.account.transport import AccountServicer
from services.account.usecases import Accounts
from services.server import serve_with_store
from services.store_nodes import telling_store_nodes
from shard.store import StoreClient


def add_servicer(store: StoreClient, server: grpc.aio.Server) -> None:
    """Build the service on the store."""
    servicer = AccountServicer(Accounts(StoreAccounts(store)))
    add_AccountServiceServicer_to_server(servicer, server)


async def main(node: Node) -> None:
    """Serve until told to stop."""
    async with telling_store_nodes(node):
        await serve_with_store(node, add_servicer)


if __name__ == "__main__":
    run(main, "account")
