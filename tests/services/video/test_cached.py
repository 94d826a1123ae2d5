"""For how long videos are kept."""

import asyncio

from services.read_through import Lookup
from services.video.cached import MIN_TTL_S, VIDEO_TTL_S, VideoCache
from services.video.data import VideoRecord
from tests.services.video.fakes import MemoryCache, MemoryVideos, read_through


async def test_a_time_to_live_that_is_set_holds_for_what_is_kept_from_then_on() -> None:
    """A minute at first, then what was said; the feed's stays."""
    repository, cache = MemoryVideos(9), MemoryCache()
    videos = VideoCache(read_through(cache))
    await videos.video(1, lambda: repository.find(1))
    videos.set_ttl(3.6)
    await videos.video(2, lambda: repository.find(2))
    await videos.feed(lambda: repository.newest(None, 3))
    assert cache.ttls_s == {"video:1": VIDEO_TTL_S, "video:2": 3.6, "feed": 10.0}


async def test_nothing_is_kept_for_less_than_the_cache_can_count() -> None:
    """0 would be refused by the cache's nodes: a millisecond is the least."""
    repository, cache = MemoryVideos(9), MemoryCache()
    videos = VideoCache(read_through(cache))
    videos.set_ttl(0.0)
    await videos.video(1, lambda: repository.find(1))
    assert cache.ttls_s == {"video:1": MIN_TTL_S} == {"video:1": 0.001}


async def test_a_delay_of_the_origin_holds_for_what_is_not_kept_alone() -> None:
    """A miss waits before the origin is asked, a hit waits for nobody."""
    repository, asked = MemoryVideos(9), []
    videos = VideoCache(read_through(MemoryCache()))
    videos.set_origin_delay(0.02)

    async def origin() -> VideoRecord | None:
        asked.append(asyncio.get_running_loop().time())
        return await repository.find(1)

    began_s = asyncio.get_running_loop().time()
    miss, hit = await videos.video(1, origin), await videos.video(1, origin)
    assert (miss and miss.lookup, hit and hit.lookup) == (Lookup.MISS, Lookup.HIT)
    assert len(asked) == 1
    assert asked[0] - began_s >= 0.019  # a timer never comes early, but for its clock's grain
