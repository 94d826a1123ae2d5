"""What the video service keeps in the cache: single videos, and the feed.

Keys ``video:<id>`` and ``feed``. Every write deletes what it changes, so a time to live bounds only
what a lost delete may leave behind; the list isn't kept, since each cursor would be a key of its
own. Numbers say live for how long a video is kept (``cache_ttl_ms``), for how much longer it is
given as stale (``cache_stale_ms``) and how much later its origin answers (``origin_ms``): so a
stampede can be seen with a store as slow as one likes, which a slow link can't show (over 300 ms
its connections are given up, ``shard.connection``).
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import msgspec

from services.read_through import Found, Kind, ReadThrough
from services.video.data import VideoRecord, decode_video, encode_video, video_key

# A video that is read once a second then costs the store one read in sixty.
VIDEO_TTL_S = 60.0
FEED_TTL_S = 10.0  # every publication and every edit changes it: a lost delete is likelier to show
FEED_KEY = "feed"
MIN_TTL_S = 0.001  # the cache counts whole milliseconds, and nothing can be kept for none

_feed_decoder = msgspec.json.Decoder(list[VideoRecord])

VIDEO = Kind(VIDEO_TTL_S, encode_video, decode_video)
FEED: Kind[list[VideoRecord]] = Kind(FEED_TTL_S, msgspec.json.encode, _feed_decoder.decode)


class VideoCache:
    """Videos and the feed, read through the cache."""

    def __init__(self, reads: ReadThrough) -> None:
        self._reads = reads
        self._video = VIDEO
        self._origin_s = 0.0

    def set_ttl(self, ttl_s: float) -> None:
        """Keep videos for so many seconds from now on; what is kept already lives as long as said.

        Args:
            ttl_s: Less than a millisecond counts as one.
        """
        self._video = replace(self._video, ttl_s=max(MIN_TTL_S, ttl_s))

    def set_stale(self, stale_s: float) -> None:
        """Give videos for so much longer, as stale, while one reader fetches them anew; 0: not."""
        self._video = replace(self._video, stale_s=max(0.0, stale_s))

    def set_origin_delay(self, seconds: float) -> None:
        """Let what isn't kept take so much longer to read, >= 0; 0 adds nothing."""
        self._origin_s = max(0.0, seconds)

    async def video(
        self, video_id: int, origin: Callable[[], Awaitable[VideoRecord | None]]
    ) -> Found[VideoRecord] | None:
        """Return one video, or None when there is none of that id."""

        async def slowly() -> VideoRecord | None:
            """Read after the delay that is set."""
            await asyncio.sleep(self._origin_s)
            return await origin()

        asked = slowly if self._origin_s else origin
        return await self._reads.get(video_key(video_id), self._video, asked)

    async def feed(
        self, origin: Callable[[], Awaitable[list[VideoRecord]]]
    ) -> Found[list[VideoRecord]]:
        """Return the feed."""
        found = await self._reads.get(FEED_KEY, FEED, origin)
        assert found is not None, "a feed may be empty, and is always there"
        return found

    async def on_written(self, video_id: int | None) -> None:
        """Forget what a write changed, or may have; None for a video whose id nobody knows."""
        keys = [FEED_KEY] if video_id is None else [video_key(video_id), FEED_KEY]
        await self._reads.forget(*keys)
