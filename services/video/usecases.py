"""What one can do with videos: look at one, leaf through all of them, see the feed.

Nothing is cached here: a cache tier of its own comes in front of the store, where its effect can be
measured.
"""

from typing import NamedTuple

from resilience.errors import Code, ServiceError
from services.cursor import decode_cursor, encode_cursor, page_limit
from services.video.data import VideoRecord, VideoRepository

VIDEO_NOT_FOUND = "VIDEO_NOT_FOUND"
CURSOR_KIND = "video"
DEFAULT_FEED_LIMIT = 10
MAX_FEED_LIMIT = 50


class VideoPage(NamedTuple):
    """One page of the list; ``next_cursor`` is empty on the last one."""

    videos: list[VideoRecord]
    next_cursor: str


class Videos:
    """The video service's use cases."""

    def __init__(self, repository: VideoRepository) -> None:
        self._repository = repository

    async def get(self, video_id: int) -> VideoRecord:
        """Return one video.

        Raises:
            ServiceError: ``VIDEO_NOT_FOUND``.
        """
        video = await self._repository.find(video_id) if video_id >= 1 else None
        if video is None:
            raise ServiceError(Code.NOT_FOUND, VIDEO_NOT_FOUND, f"there is no video {video_id}")
        return video

    async def page(self, cursor: str, limit: int) -> VideoPage:
        """Return one page of all videos, newest first.

        Args:
            cursor: Empty for the first page, else ``next_cursor`` of the page before.
            limit: Entries per page; 0 or less means 20, above 100 means 100.

        Raises:
            ServiceError: ``CURSOR_INVALID``.
        """
        size = page_limit(limit)
        videos = await self._repository.newest(decode_cursor(CURSOR_KIND, cursor), size + 1)
        if len(videos) <= size:
            return VideoPage(videos, "")
        shown = videos[:size]
        return VideoPage(shown, encode_cursor(CURSOR_KIND, shown[-1].id))

    async def feed(self, limit: int) -> list[VideoRecord]:
        """Return the videos of the home page: the newest ones.

        Args:
            limit: How many; 0 or less means 10, above 50 means 50.
        """
        return await self._repository.newest(
            None, page_limit(limit, DEFAULT_FEED_LIMIT, MAX_FEED_LIMIT)
        )
