"""The video service on gRPC: messages in, use cases, messages out; it decides nothing."""

from typing import Any

from api.video.v1 import video_pb2 as pb
from api.video.v1 import video_pb2_grpc as pb_grpc
from services.read_through import Found
from services.video.data import VideoRecord
from services.video.usecases import Videos


class VideoServicer(pb_grpc.VideoServiceServicer):
    """Translate between ``video.v1`` and the use cases."""

    def __init__(self, videos: Videos) -> None:
        self._videos = videos

    async def GetVideo(self, request: pb.GetVideoRequest, context: object) -> pb.GetVideoResponse:
        """Return one video."""
        found = await self._videos.get(request.id)
        return pb.GetVideoResponse(video=_video(found.value), cache=_cache_use(found))

    async def ListVideos(
        self, request: pb.ListVideosRequest, context: object
    ) -> pb.ListVideosResponse:
        """Return one page of the list, newest first."""
        page = await self._videos.page(request.cursor, request.limit)
        return pb.ListVideosResponse(videos=map(_video, page.videos), next_cursor=page.next_cursor)

    async def GetFeed(self, request: pb.GetFeedRequest, context: object) -> pb.GetFeedResponse:
        """Return the videos of the home page."""
        found = await self._videos.feed(request.limit)
        return pb.GetFeedResponse(videos=map(_video, found.value), cache=_cache_use(found))

    async def PublishVideo(
        self, request: pb.PublishVideoRequest, context: object
    ) -> pb.PublishVideoResponse:
        """Keep a new video."""
        answered = await self._videos.publish(
            request.author_id,
            request.title,
            request.duration_s,
            request.idempotency_key,
            request.fingerprint,
        )
        return pb.PublishVideoResponse(video=_video(answered.video), replayed=answered.replayed)

    async def UpdateVideo(
        self, request: pb.UpdateVideoRequest, context: object
    ) -> pb.UpdateVideoResponse:
        """Change a video's title."""
        answered = await self._videos.update(
            request.id,
            request.account_id,
            request.title,
            request.idempotency_key,
            request.fingerprint,
        )
        return pb.UpdateVideoResponse(video=_video(answered.video), replayed=answered.replayed)


def _cache_use(found: Found[Any]) -> pb.CacheUse:
    lookup = pb.CacheUse.Lookup.Value(found.lookup.name)
    return pb.CacheUse(lookup=lookup, age_s=found.age_s)


def _video(video: VideoRecord) -> pb.Video:
    return pb.Video(
        id=video.id,
        title=video.title,
        author_id=video.author_id,
        duration_s=video.duration_s,
        published_unix_s=video.published_unix_s,
    )
