"""Run the video service: ``python -m services.video``."""

import grpc.aio

from api.video.v1.video_pb2_grpc import add_VideoServiceServicer_to_server
from kit.node import Node
from kit.run import run
from services.server import serve_with_store
from services.video.data import StoreVideos
from services.video.transport import VideoServicer
from services.video.usecases import Videos
from shard.store import StoreClient


def add_servicer(store: StoreClient, server: grpc.aio.Server) -> None:
    """Build the service on the store."""
    servicer = VideoServicer(Videos(StoreVideos(store)))
    add_VideoServiceServicer_to_server(servicer, server)


async def main(node: Node) -> None:
    """Serve until told to stop."""
    await serve_with_store(node, add_servicer)


if __name__ == "__main__":
    run(main, "video")
