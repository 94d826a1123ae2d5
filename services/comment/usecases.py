"""What one can do with comments: read them page by page, newest first, and add one."""

import time
from collections.abc import Callable
from typing import NamedTuple

from resilience.errors import Code, ServiceError
from services.checks import check_id
from services.comment.data import CommentBody, CommentRecord, CommentRepository
from services.cursor import decode_cursor, encode_cursor, page_limit

COMMENT_TEXT_INVALID = "COMMENT_TEXT_INVALID"
CURSOR_KIND = "comment"
MAX_TEXT_CHARS = 1000  # as the contract says
ALLOWED_CONTROLS = "\n\t"


class CommentPage(NamedTuple):
    """One page of a video's comments; ``next_cursor`` is empty on the last one."""

    comments: list[CommentRecord]
    next_cursor: str
    total: int


class Comments:
    """The comment service's use cases.

    Args:
        repository: Where comments are kept.
        clock: Wall clock, seconds since the epoch.
    """

    def __init__(
        self, repository: CommentRepository, clock: Callable[[], float] = time.time
    ) -> None:
        self._repository = repository
        self._clock = clock

    async def page(self, video_id: int, cursor: str, limit: int) -> CommentPage:
        """Return one page; a video nobody commented on, or that isn't there, has none.

        Args:
            video_id: At least 1.
            cursor: Empty for the first page, else ``next_cursor`` of the page before.
            limit: Entries per page; 0 or less means 20, above 100 means 100.

        Raises:
            ServiceError: ``CURSOR_INVALID``, ``ID_INVALID``.
        """
        check_id(video_id, "video")
        size = page_limit(limit)
        before_id = decode_cursor(CURSOR_KIND, cursor)
        found, total = await self._repository.newest(video_id, before_id, size + 1)
        if len(found) <= size:
            return CommentPage(found, "", total)
        shown = found[:size]
        return CommentPage(shown, encode_cursor(CURSOR_KIND, shown[-1].id), total)

    async def add(self, video_id: int, author_id: int, text: str) -> CommentRecord:
        """Keep what somebody said; the caller vouches that video and author exist.

        Raises:
            ServiceError: ``COMMENT_TEXT_INVALID``, ``ID_INVALID``.
        """
        check_id(video_id, "video")
        check_id(author_id, "account")
        body = CommentBody(author_id, _checked_text(text), int(self._clock()))
        return CommentRecord(await self._repository.add(video_id, body), video_id, body)


def _checked_text(text: str) -> str:
    """Return the text without blanks around it, or refuse it."""
    stripped = text.strip()
    if not 1 <= len(stripped) <= MAX_TEXT_CHARS:
        raise _text_error(f"has 1 to {MAX_TEXT_CHARS} characters, this one {len(stripped)}")
    if any(each < " " or each == "\x7f" for each in stripped if each not in ALLOWED_CONTROLS):
        raise _text_error("has no control characters but line breaks and tabs")
    return stripped


def _text_error(what: str) -> ServiceError:
    return ServiceError(Code.INVALID_ARGUMENT, COMMENT_TEXT_INVALID, f"a comment's text {what}")
