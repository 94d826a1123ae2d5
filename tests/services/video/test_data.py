"""Videos in a real store."""

import pytest

from services.video.data import NEWEST_KEY, StoreVideos, encode_video, video_key
from shard.store import StoreClient
from tests.services.video.fakes import MemoryVideos, make_video

pytestmark = pytest.mark.integration

COUNT = 25


@pytest.fixture
async def videos(store: StoreClient) -> StoreVideos:
    """Write 25 videos and hand out the repository."""
    await store.write("DEL", NEWEST_KEY)
    for number in range(1, COUNT + 1):
        stored = encode_video(make_video(number))
        await store.write("SET", video_key(number), stored)
        await store.write("ZADD", NEWEST_KEY, number, stored)
    return StoreVideos(store)


async def test_video_reads_back_as_it_was_written(videos: StoreVideos) -> None:
    """A record is found by its id, and None without one."""
    assert await videos.find(7) == make_video(7)
    assert await videos.find(COUNT + 1_000_000) is None


@pytest.mark.parametrize(
    ("before_id", "limit"), [(None, 5), (None, 100), (10, 3), (2, 5), (1, 5), (10**9, 2)]
)
async def test_newest_is_what_the_repository_in_memory_says(
    videos: StoreVideos, before_id: int | None, limit: int
) -> None:
    """The store and the fake that other tests trust answer alike."""
    expected = await MemoryVideos(COUNT).newest(before_id, limit)
    assert await videos.newest(before_id, limit) == expected
