"""What one can do with videos: look at one, leaf through all, see the feed, publish, rename.

Reads of one video and of the feed go through the cache, and a write is seen by the next read, on
every replica: the store is written first, then the cache deleted, then the writer answered. What a
failed write may have changed is deleted too.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import msgspec

from resilience.errors import Code, ServiceError
from services.checks import check_id
from services.cursor import decode_cursor, encode_cursor, page_limit
from services.idempotency import IdempotencyKey, key_reused, read_key
from services.read_through import Found, Lookup
from services.video.cached import VideoCache
from services.video.data import VideoRecord, VideoRepository, WriteOutcome, Written

VIDEO_NOT_FOUND = "VIDEO_NOT_FOUND"
VIDEO_TITLE_INVALID = "VIDEO_TITLE_INVALID"
VIDEO_DURATION_INVALID = "VIDEO_DURATION_INVALID"
NOT_THE_AUTHOR = "NOT_THE_AUTHOR"
EDIT_CONFLICT = "EDIT_CONFLICT"
CURSOR_KIND = "video"
DEFAULT_FEED_LIMIT = 10
MAX_FEED_LIMIT = 50
MAX_TITLE_CHARS = 100  # as YouTube has it
MAX_DURATION_S = 43_200  # 12 hours, as YouTube has it
MAX_EDIT_TRIES = 4  # a video has one author, whose edits at the same time are few
CONFLICT_RETRY_AFTER_S = 1.0


class VideoPage(NamedTuple):
    """One page of the list; ``next_cursor`` is empty on the last one."""

    videos: list[VideoRecord]
    next_cursor: str


class Answered(NamedTuple):
    """A write's answer; ``replayed`` when an idempotency key gave back an earlier one."""

    video: VideoRecord
    replayed: bool


class Videos:
    """The video service's use cases.

    Args:
        repository: Where videos are kept.
        cache: What is read through the cache.
        clock: Wall clock, seconds since the epoch.
    """

    def __init__(
        self,
        repository: VideoRepository,
        cache: VideoCache,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._repository = repository
        self._cache = cache
        self._clock = clock

    async def get(self, video_id: int) -> Found[VideoRecord]:
        """Return one video.

        Raises:
            ServiceError: ``VIDEO_NOT_FOUND``.
        """
        if video_id < 1:
            raise _not_found(video_id)
        found = await self._cache.video(video_id, partial(self._repository.find, video_id))
        if found is None:
            raise _not_found(video_id)
        return found

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

    async def feed(self, limit: int) -> Found[list[VideoRecord]]:
        """Return the videos of the home page: the newest ones.

        Args:
            limit: How many; 0 or less means 10, above 50 means 50. The first ten are cached, a
                longer feed is read from the store.
        """
        size = page_limit(limit, DEFAULT_FEED_LIMIT, MAX_FEED_LIMIT)
        if size > DEFAULT_FEED_LIMIT:
            return Found(await self._repository.newest(None, size), Lookup.OFF)
        found = await self._cache.feed(partial(self._repository.newest, None, DEFAULT_FEED_LIMIT))
        return found._replace(value=found.value[:size])

    async def publish(
        self, author_id: int, title: str, duration_s: int, key: str, fingerprint: str
    ) -> Answered:
        """Publish a video; it is at the top of the list and the feed when this returns.

        Args:
            author_id: The caller vouches that it exists.
            title: 1 to 100 characters, blanks around it removed.
            duration_s: 1..43,200 seconds.
            key: Idempotency key, 1 to 128 printable ASCII characters; empty for none.
            fingerprint: Of the request that carried the key.

        Raises:
            ServiceError: ``ID_INVALID``, ``VIDEO_TITLE_INVALID``, ``VIDEO_DURATION_INVALID``,
                ``IDEMPOTENCY_KEY_INVALID``, ``IDEMPOTENCY_KEY_REUSED``.
        """
        check_id(author_id, "account")
        draft = VideoRecord(
            id=0,
            title=_checked_title(title),
            author_id=author_id,
            duration_s=_checked_duration(duration_s),
            published_unix_s=int(self._clock()),
        )
        idempotency = read_key(key, fingerprint)
        written: Written | None = None
        try:
            written = await self._repository.publish(draft, idempotency)
        finally:
            made = written.video if written else None
            await self._cache.on_written(made.id if made else None)
        return _answer(written)

    async def update(
        self, video_id: int, account_id: int, title: str, key: str, fingerprint: str
    ) -> Answered:
        """Give a video another title.

        Args:
            video_id: At least 1.
            account_id: Who asks; only the author may. The caller vouches that it is he.
            title: 1 to 100 characters, blanks around it removed.
            key: Idempotency key, 1 to 128 printable ASCII characters; empty for none.
            fingerprint: Of the request that carried the key.

        Raises:
            ServiceError: ``VIDEO_NOT_FOUND``, ``NOT_THE_AUTHOR``, ``VIDEO_TITLE_INVALID``,
                ``EDIT_CONFLICT``, ``ID_INVALID``, ``IDEMPOTENCY_KEY_INVALID``,
                ``IDEMPOTENCY_KEY_REUSED``.
        """
        check_id(video_id, "video")
        check_id(account_id, "account")
        wanted = _checked_title(title)
        idempotency = read_key(key, fingerprint)
        for _ in range(MAX_EDIT_TRIES):
            written = await self._try_update(video_id, account_id, wanted, idempotency)
            if written.outcome is not WriteOutcome.CHANGED:
                return _answer(written)
        raise ServiceError(
            Code.ALREADY_EXISTS,
            EDIT_CONFLICT,
            f"video {video_id} was changed by others {MAX_EDIT_TRIES} times meanwhile: try again",
            retry_after_s=CONFLICT_RETRY_AFTER_S,
        )

    async def _try_update(
        self, video_id: int, account_id: int, title: str, idempotency: IdempotencyKey | None
    ) -> Written:
        video = await self._repository.find(video_id)  # of the store: the cache decides nothing
        if video is None:
            raise _not_found(video_id)
        if video.author_id != account_id:
            raise ServiceError(
                Code.PERMISSION_DENIED,
                NOT_THE_AUTHOR,
                f"video {video_id} is somebody else's: only its author may change it",
            )
        changed = msgspec.structs.replace(video, title=title, revision=video.revision + 1)
        try:
            return await self._repository.edit(changed, account_id, idempotency)
        finally:
            await self._cache.on_written(video_id)


def _answer(written: Written) -> Answered:
    if written.video is None:
        raise key_reused()
    return Answered(written.video, written.outcome is WriteOutcome.KEPT)


def _checked_title(title: str) -> str:
    """Return the title without blanks around it, or refuse it."""
    stripped = title.strip()
    if not 1 <= len(stripped) <= MAX_TITLE_CHARS:
        raise _title_error(f"has 1 to {MAX_TITLE_CHARS} characters, this one {len(stripped)}")
    if any(each < " " or each == "\x7f" for each in stripped):
        raise _title_error("is one line without control characters")
    return stripped


def _title_error(what: str) -> ServiceError:
    return ServiceError(Code.INVALID_ARGUMENT, VIDEO_TITLE_INVALID, f"a video's title {what}")


def _checked_duration(duration_s: int) -> int:
    if not 1 <= duration_s <= MAX_DURATION_S:
        raise ServiceError(
            Code.INVALID_ARGUMENT,
            VIDEO_DURATION_INVALID,
            f"a video lasts 1 to {MAX_DURATION_S} seconds, this one {duration_s}",
        )
    return duration_s


def _not_found(video_id: int) -> ServiceError:
    return ServiceError(Code.NOT_FOUND, VIDEO_NOT_FOUND, f"there is no video {video_id}")
