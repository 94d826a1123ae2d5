"""Publishing and renaming: who may, what is refused, what a repeat gets, who sees it when."""

import asyncio

import pytest

from resilience.errors import Code, ServiceError
from services.idempotency import IdempotencyKey
from services.read_through import Lookup
from services.video.cached import FEED_TTL_S, VIDEO_TTL_S
from services.video.data import VideoRecord, WriteOutcome, Written
from services.video.usecases import MAX_DURATION_S, MAX_EDIT_TRIES, MAX_TITLE_CHARS
from tests.services.video.fakes import MemoryCache, MemoryVideos, make_video, make_videos

AUTHOR_OF_2 = make_video(2).author_id


def test_defaults_are_the_documented_ones() -> None:
    """Titles, lengths, tries and times to live are those of docs/services.md."""
    assert (MAX_TITLE_CHARS, MAX_DURATION_S, MAX_EDIT_TRIES) == (100, 43_200, 4)
    assert (VIDEO_TTL_S, FEED_TTL_S) == (60.0, 10.0)


async def test_a_published_video_is_first_in_list_and_feed() -> None:
    """It has an id of its own above the seeded ones, and every replica shows it at once."""
    repository, cache = MemoryVideos(12), MemoryCache()
    writer, reader = make_videos(repository, cache, now_s=5.0), make_videos(repository, cache)
    await reader.feed(10)  # kept before the write
    done = await writer.publish(7, "  A new one ", 30, "", "")
    assert done.video == VideoRecord(1_000_001, "A new one", 7, 30, 5)
    assert not done.replayed
    assert (await reader.feed(10)).value[0] == done.video
    assert (await reader.page("", 3)).videos[0] == done.video
    assert (await reader.get(done.video.id)).value == done.video


async def test_a_renamed_video_is_new_everywhere_at_once() -> None:
    """Page and feed were cached; after the answer both have the new title, on each replica."""
    repository, cache = MemoryVideos(3), MemoryCache()
    replicas = [make_videos(repository, cache) for _ in range(3)]
    for each in replicas:
        await each.get(2)
        await each.feed(10)
    assert (await replicas[1].get(2)).lookup is Lookup.HIT
    done = await replicas[0].update(2, AUTHOR_OF_2, "Other", "", "")
    assert (done.video.title, done.video.revision) == ("Other", 1)
    for each in replicas:
        assert (await each.get(2)).value.title == "Other"
        assert [video.title for video in (await each.feed(3)).value] == [
            "video 3",
            "Other",
            "video 1",
        ]


async def test_only_its_author_may_rename_a_video() -> None:
    """Anybody else is refused with 403, and nothing changes."""
    repository = MemoryVideos(3)
    with pytest.raises(ServiceError) as caught:
        await make_videos(repository).update(2, AUTHOR_OF_2 + 1, "Mine", "", "")
    assert (caught.value.code, caught.value.reason) == (Code.PERMISSION_DENIED, "NOT_THE_AUTHOR")
    assert repository.videos[2] == make_video(2)


async def test_the_author_is_the_stores_and_not_the_caches() -> None:
    """Who may write is never decided by what the cache says."""
    repository, cache = MemoryVideos(3), MemoryCache()
    cache.values["video:2"] = (
        b'{"id":2,"title":"x","author_id":99,"duration_s":1,"published_unix_s":1}'
    )
    with pytest.raises(ServiceError, match="somebody else"):
        await make_videos(repository, cache).update(2, 99, "Mine", "", "")


async def test_what_is_not_there_cannot_be_renamed() -> None:
    """An id that no video has is 404."""
    with pytest.raises(ServiceError) as caught:
        await make_videos(MemoryVideos(3)).update(4, 1, "x", "", "")
    assert caught.value.reason == "VIDEO_NOT_FOUND"


@pytest.mark.parametrize("title", ["", "   ", "x" * 101, "two\nlines", "a\x00b", "a\x7fb"])
async def test_bad_titles_are_refused(title: str) -> None:
    """Empty, too long, or more than one line of plain text."""
    videos = make_videos(MemoryVideos(3))
    for call in (videos.publish(1, title, 5, "", ""), videos.update(2, AUTHOR_OF_2, title, "", "")):
        with pytest.raises(ServiceError) as caught:
            await call
        assert caught.value.reason == "VIDEO_TITLE_INVALID"


@pytest.mark.parametrize("title", ["x", "北" * 100, "  kept inside  "])
async def test_good_titles_are_kept_without_blanks_around_them(title: str) -> None:
    """1 to 100 characters of any script."""
    done = await make_videos(MemoryVideos(3)).publish(1, title, 5, "", "")
    assert done.video.title == title.strip()


@pytest.mark.parametrize("duration_s", [0, -1, 43_201])
async def test_bad_durations_are_refused(duration_s: int) -> None:
    """A video lasts a second to twelve hours."""
    with pytest.raises(ServiceError) as caught:
        await make_videos(MemoryVideos(3)).publish(1, "x", duration_s, "", "")
    assert caught.value.reason == "VIDEO_DURATION_INVALID"


async def test_a_repeat_with_its_key_publishes_nothing() -> None:
    """The same request again gets the first answer; another one under that key is refused."""
    repository = MemoryVideos(3)
    videos = make_videos(repository)
    first = await videos.publish(1, "once", 5, "key", "print")
    again = await videos.publish(1, "once", 5, "key", "print")
    assert again == first._replace(replayed=True)
    assert len(repository.videos) == 4
    with pytest.raises(ServiceError) as caught:
        await videos.publish(1, "twice", 5, "key", "other print")
    assert (caught.value.code, caught.value.reason) == (
        Code.UNPROCESSABLE,
        "IDEMPOTENCY_KEY_REUSED",
    )


async def test_a_repeated_edit_does_not_undo_a_later_one() -> None:
    """The first edit's repeat gets its own answer, and the title stays the second one's."""
    repository = MemoryVideos(3)
    videos = make_videos(repository)
    first = await videos.update(2, AUTHOR_OF_2, "first", "key", "print")
    await videos.update(2, AUTHOR_OF_2, "second", "", "")
    again = await videos.update(2, AUTHOR_OF_2, "first", "key", "print")
    assert again == first._replace(replayed=True)
    assert (await videos.get(2)).value.title == "second"


@pytest.mark.parametrize("key", ["x" * 129, "schlüssel", "a\tb"])
async def test_bad_keys_are_refused(key: str) -> None:
    """A key has 1 to 128 printable ASCII characters."""
    with pytest.raises(ServiceError) as caught:
        await make_videos(MemoryVideos(3)).publish(1, "x", 5, key, "print")
    assert caught.value.reason == "IDEMPOTENCY_KEY_INVALID"


class Crowded(MemoryVideos):
    """Somebody changes the video before each of our first few edits."""

    def __init__(self, times: int) -> None:
        super().__init__(3)
        self.times = times

    async def edit(
        self, changed: VideoRecord, account_id: int, idempotency: IdempotencyKey | None
    ) -> Written:
        """Be late as often as the test says."""
        if self.times > 0:
            self.times -= 1
            return Written(WriteOutcome.CHANGED)
        return await super().edit(changed, account_id, idempotency)


async def test_an_edit_that_came_late_tries_again() -> None:
    """Three lost races are tried again; four are a conflict that says when to come back."""
    done = await make_videos(Crowded(3)).update(2, AUTHOR_OF_2, "x", "", "")
    assert done.video.title == "x"
    with pytest.raises(ServiceError) as caught:
        await make_videos(Crowded(4)).update(2, AUTHOR_OF_2, "x", "", "")
    assert (caught.value.code.http_status, caught.value.reason) == (409, "EDIT_CONFLICT")
    assert caught.value.retry_after_s == 1.0


class Unsure(MemoryVideos):
    """Writes take effect and then fail, or never end: nobody knows whether they happened."""

    def __init__(self, *, hangs: bool = False) -> None:
        super().__init__(3)
        self.has_written = asyncio.Event()
        self.hangs = hangs

    async def edit(
        self, changed: VideoRecord, account_id: int, idempotency: IdempotencyKey | None
    ) -> Written:
        """Do it and don't say so."""
        await super().edit(changed, account_id, idempotency)
        return await self._fail()

    async def publish(self, draft: VideoRecord, idempotency: IdempotencyKey | None) -> Written:
        """Do it and don't say so."""
        await super().publish(draft, idempotency)
        return await self._fail()

    async def _fail(self) -> Written:
        self.has_written.set()
        if self.hangs:
            await asyncio.Event().wait()
        raise ServiceError(Code.UNAVAILABLE, "NOT_REPLICATED", "unproven")


async def test_what_a_failed_write_may_have_changed_is_forgotten_too() -> None:
    """A write that ends unproven leaves nothing old in the cache."""
    repository, cache = Unsure(), MemoryCache()
    videos = make_videos(repository, cache)
    await videos.get(2)
    await videos.feed(10)
    with pytest.raises(ServiceError, match="unproven"):
        await videos.update(2, AUTHOR_OF_2, "perhaps", "", "")
    assert (await videos.get(2)).value.title == "perhaps"
    await videos.feed(10)
    with pytest.raises(ServiceError, match="unproven"):
        await videos.publish(1, "perhaps", 5, "", "")
    assert (await videos.feed(10)).value[0].title == "perhaps"


async def test_a_cancelled_write_is_forgotten_too() -> None:
    """A writer who is cancelled while the store is busy still deletes what it may have changed."""
    repository, cache = Unsure(hangs=True), MemoryCache()
    videos = make_videos(repository, cache)
    await videos.get(2)
    writer = asyncio.create_task(videos.update(2, AUTHOR_OF_2, "perhaps", "", ""))
    await repository.has_written.wait()
    writer.cancel()
    await asyncio.gather(writer, return_exceptions=True)
    assert (await videos.get(2)).value.title == "perhaps"


async def test_the_feed_beyond_its_first_ten_is_not_cached() -> None:
    """Home's ten are kept under one key; a longer feed is read from the store each time."""
    repository, cache = MemoryVideos(60), MemoryCache()
    videos = make_videos(repository, cache)
    assert (await videos.feed(10)).lookup is Lookup.MISS
    assert (await videos.feed(4)).lookup is Lookup.HIT
    assert (await videos.feed(11)).lookup is Lookup.OFF
    assert (list(cache.values), cache.ttls_s) == (["feed"], {"feed": 10.0})
