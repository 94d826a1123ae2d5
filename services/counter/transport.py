"""The counter service on gRPC: messages in, use cases, messages out; it decides nothing."""

from api.counter.v1 import counter_pb2 as pb
from api.counter.v1 import counter_pb2_grpc as pb_grpc
from services.counter.data import VideoStats
from services.counter.usecases import Counters


class CounterServicer(pb_grpc.CounterServiceServicer):
    """Translate between ``counter.v1`` and the use cases."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters

    async def GetStats(self, request: pb.GetStatsRequest, context: object) -> pb.GetStatsResponse:
        """Return the counts of some videos, in the order asked."""
        found = await self._counters.stats(request.video_ids)
        return pb.GetStatsResponse(stats=map(_stats, found))

    async def AddLike(self, request: pb.AddLikeRequest, context: object) -> pb.AddLikeResponse:
        """Note that an account likes a video."""
        liked = await self._counters.add_like(
            request.video_id, request.account_id, request.idempotency_key, request.fingerprint
        )
        return pb.AddLikeResponse(
            stats=_stats(liked.stats), liked_now=liked.liked_now, replayed=liked.replayed
        )

    async def AddView(self, request: pb.AddViewRequest, context: object) -> pb.Stats:
        """Count one view."""
        return _stats(await self._counters.add_view(request.video_id))


def _stats(stats: VideoStats) -> pb.Stats:
    return pb.Stats(video_id=stats.video_id, likes=stats.likes, views=stats.views)
