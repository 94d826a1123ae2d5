"""Videos: what is kept, under which keys, and the store that keeps it.

Keys:

- ``video:{id}``       JSON of the video
- ``videos:newest``    sorted set of the same JSON, scored by id: newer videos have higher ids

Why twice: a page of the list is then one command at one node, where ids alone would cost a second
trip to every shard. A video never changes once published, so the copies can't differ. The price is
one hot key, which lives on one shard whatever the number of shards.
Not handled: publishing through the API (the seed writes videos), editing, deletion.
"""

from typing import Protocol

import msgspec

from shard.store import StoreClient

NEWEST_KEY = "videos:newest"


class VideoRecord(msgspec.Struct, frozen=True):
    """One video as it is kept.

    Args:
        id: At least 1; a later video has a higher one.
        title: For people.
        author_id: An account's id.
        duration_s: Length, above 0.
        published_unix_s: Wall clock.
    """

    id: int
    title: str
    author_id: int
    duration_s: int
    published_unix_s: int


class VideoRepository(Protocol):
    """Where videos are kept. Every method may raise ``STORE_UNAVAILABLE``."""

    async def find(self, video_id: int) -> VideoRecord | None:
        """Return the video, or None when there is none of that id."""

    async def newest(self, before_id: int | None, limit: int) -> list[VideoRecord]:
        """Return up to that many videos, newest first, older than ``before_id`` (None: all)."""


def video_key(video_id: int) -> str:
    """Name the key of a video's record."""
    return f"video:{video_id}"


def encode_video(video: VideoRecord) -> bytes:
    """Make the stored form of a video."""
    return msgspec.json.encode(video)


def decode_video(stored: bytes) -> VideoRecord:
    """Read a video back."""
    return _decoder.decode(stored)


class StoreVideos:
    """Videos in the sharded store."""

    def __init__(self, store: StoreClient) -> None:
        self._store = store

    async def find(self, video_id: int) -> VideoRecord | None:
        """Read one record."""
        stored = await self._store.read("GET", video_key(video_id))
        return decode_video(stored) if isinstance(stored, bytes) else None

    async def newest(self, before_id: int | None, limit: int) -> list[VideoRecord]:
        """Read one page of the sorted set, in O(log videos + limit)."""
        top = "+inf" if before_id is None else f"({before_id}"
        stored = await self._store.read(
            "ZRANGE", NEWEST_KEY, top, "-inf", "BYSCORE", "REV", "LIMIT", 0, limit
        )
        assert isinstance(stored, list)
        return [decode_video(each) for each in stored]


_decoder = msgspec.json.Decoder(VideoRecord)
