"""The video service on gRPC: messages in, use cases, messages out; it decides nothing."""

from api.video.v1 import video_pb2 as pb
from api.video.v1 import video_pb2_grpc as pb_grpc
from services.video.data import VideoRecord
from services.video.usecases import Videos


class VideoServicer(pb_grpc.VideoServiceServicer):
    """Translate between ``video.v1`` and the use cases."""

    def __init__(self, videos: Videos) -> None:
        self._videos = videos

    async def GetVideo(self, request: pb.GetVideoRequest, context: object) -> pb.Video:
        """Return one video."""
        return _video(await self._videos.get(request.id))

    async def ListVideos(
        self, request: pb.ListVideosRequest, context: object
    ) -> pb.ListVideosResponse:
        """Return one page of the list, newest first."""
        page = await self._videos.page(request.cursor, request.limit)
        return pb.ListVideosResponse(videos=map(_video, page.videos), next_cursor=page.next_cursor)

    async def GetFeed(self, request: pb.GetFeedRequest, context: object) -> pb.GetFeedResponse:
        """Return the videos of the home page."""
        return pb.GetFeedResponse(videos=map(_video, await self._videos.feed(request.limit)))


def _video(video: VideoRecord) -> pb.Video:
    return pb.Video(
        id=video.id,
        title=video.title,
        author_id=video.author_id,
        duration_s=video.duration_s,
        published_unix_s=video.published_unix_s,
    )
