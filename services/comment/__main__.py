"""Run the comment service: ``python -m services.comment``."""

import grpc.aio

from api.comment.v1.comment_pb2_grpc import add_CommentServiceServicer_to_server
from kit.node import Node
from kit.run import run
from services.comment.data import StoreComments
from services.comment.transport import CommentServicer
from services.comment.usecases import Comments
from services.server import serve_with_store
from shard.store import StoreClient


def add_servicer(store: StoreClient, server: grpc.aio.Server) -> None:
    """Build the service on the store."""
    servicer = CommentServicer(Comments(StoreComments(store)))
    add_CommentServiceServicer_to_server(servicer, server)


async def main(node: Node) -> None:
    """Serve until told to stop."""
    await serve_with_store(node, add_servicer)


if __name__ == "__main__":
    run(main, "comment")
