"""The video service's use cases, over a repository in memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.errors import Code, ServiceError
from services.video.usecases import DEFAULT_FEED_LIMIT, MAX_FEED_LIMIT
from tests.services.video.fakes import MemoryVideos, make_video, make_videos


def test_defaults_are_the_documented_ones() -> None:
    """The feed has 10 videos unless asked for others, and 50 at most."""
    assert (DEFAULT_FEED_LIMIT, MAX_FEED_LIMIT) == (10, 50)


async def test_get_finds_a_video() -> None:
    """An id leads to its video."""
    assert (await make_videos(MemoryVideos(3)).get(2)).value == make_video(2)


@pytest.mark.parametrize("video_id", [4, 0, -1])
async def test_unknown_video_is_not_found(video_id: int) -> None:
    """An id that no video has is NOT_FOUND."""
    with pytest.raises(ServiceError) as caught:
        await make_videos(MemoryVideos(3)).get(video_id)
    assert (caught.value.code, caught.value.reason) == (Code.NOT_FOUND, "VIDEO_NOT_FOUND")


@given(count=st.integers(0, 60), limit=st.integers(1, 25))
async def test_pages_cover_every_video_once_newest_first(count: int, limit: int) -> None:
    """Following the cursors shows every video exactly once, newest first."""
    videos = make_videos(MemoryVideos(count))
    seen: list[int] = []
    cursor = ""
    while True:
        page = await videos.page(cursor, limit)
        seen += [each.id for each in page.videos]
        cursor = page.next_cursor
        if not cursor:
            break
    assert seen == list(range(count, 0, -1))


async def test_page_sizes_are_coerced() -> None:
    """A page has 20 videos by default and 100 at most."""
    videos = make_videos(MemoryVideos(150))
    assert len((await videos.page("", 0)).videos) == 20
    assert len((await videos.page("", 1000)).videos) == 100


async def test_a_video_published_between_pages_is_not_shown_twice() -> None:
    """A newcomer at the top doesn't push entries of the first page into the second."""
    repository = MemoryVideos(4)
    videos = make_videos(repository)
    first = await videos.page("", 2)
    repository.videos[5] = make_video(5)
    second = await videos.page(first.next_cursor, 2)
    assert [each.id for each in first.videos + second.videos] == [4, 3, 2, 1]


async def test_another_lists_cursor_is_refused() -> None:
    """A cursor of the comments is none of the videos'."""
    with pytest.raises(ServiceError) as caught:
        await make_videos(MemoryVideos(3)).page("Y29tbWVudDoy", 2)
    assert caught.value.reason == "CURSOR_INVALID"


async def test_feed_is_the_newest_videos() -> None:
    """The feed shows the newest videos, 10 by default and 50 at most."""
    videos = make_videos(MemoryVideos(60))
    assert [each.id for each in (await videos.feed(3)).value] == [60, 59, 58]
    assert len((await videos.feed(0)).value) == 10
    assert len((await videos.feed(99)).value) == 50
