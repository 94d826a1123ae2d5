"""Run the video service: ``python -m services.video``."""

from functools import partial

import grpc.aio

from api.video.v1.video_pb2_grpc import add_VideoServiceServicer_to_server
from kit.node import Node
from kit.run import run
from services.cache import reading_through
from services.server import serve_with_store
from services.video.cached import VIDEO_TTL_S, VideoCache
from services.video.data import StoreVideos
from services.video.transport import VideoServicer
from services.video.usecases import Videos
from shard.store import StoreClient


def add_servicer(cache: VideoCache, store: StoreClient, server: grpc.aio.Server) -> None:
    """Build the service on the store and the cache."""
    servicer = VideoServicer(Videos(StoreVideos(store), cache))
    add_VideoServiceServicer_to_server(servicer, server)


async def main(node: Node) -> None:
    """Serve until told to stop."""
    async with reading_through(node) as reads:
        cache = VideoCache(reads)

        def follow(_: object = None) -> None:
            """Take the numbers of the newest state."""
            cache.set_ttl(node.setting("cache_ttl_ms", VIDEO_TTL_S * 1000) / 1000)
            cache.set_stale(node.setting("cache_stale_ms", 0.0) / 1000)
            cache.set_origin_delay(node.setting("origin_ms", 0.0) / 1000)

        follow()
        node.on_change(follow)
        await serve_with_store(node, partial(add_servicer, cache))


if __name__ == "__main__":
    run(main, "video")
