"""Comments in a dictionary."""

from collections import defaultdict

from services.comment.data import CommentBody, CommentRecord, CommentSlice


class MemoryComments:
    """A CommentRepository without a store."""

    def __init__(self) -> None:
        self.by_video: dict[int, list[CommentBody]] = defaultdict(list)

    async def newest(self, video_id: int, before_id: int | None, limit: int) -> CommentSlice:
        """Count back from the newest."""
        bodies = self.by_video.get(video_id, [])
        records = [
            CommentRecord(number, video_id, body)
            for number, body in enumerate(bodies, start=1)
            if before_id is None or number < before_id
        ]
        return CommentSlice(records[::-1][:limit], len(bodies))

    async def add(self, video_id: int, body: CommentBody) -> int:
        """Append."""
        self.by_video[video_id].append(body)
        return len(self.by_video[video_id])
