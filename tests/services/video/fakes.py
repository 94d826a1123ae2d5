"""Videos in a dictionary."""

from services.video.data import VideoRecord


def make_video(video_id: int) -> VideoRecord:
    """Make a video whose every field follows from its id."""
    return VideoRecord(
        video_id, f"video {video_id}", 1 + video_id % 3, 60 + video_id, 10**9 + video_id
    )


class MemoryVideos:
    """A VideoRepository without a store."""

    def __init__(self, count: int) -> None:
        self.videos = {each: make_video(each) for each in range(1, count + 1)}

    async def find(self, video_id: int) -> VideoRecord | None:
        """Look the id up."""
        return self.videos.get(video_id)

    async def newest(self, before_id: int | None, limit: int) -> list[VideoRecord]:
        """Sort by id."""
        ids = [each for each in self.videos if before_id is None or each < before_id]
        return [self.videos[each] for each in sorted(ids, reverse=True)[:limit]]
