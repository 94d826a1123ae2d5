"""The comment service's use cases, over a repository in memory."""

import pytest

from resilience.errors import Code, ServiceError
from services.comment.usecases import MAX_TEXT_CHARS, Comments
from tests.services.comment.fakes import MemoryComments


def make() -> Comments:
    """Make the use cases over no comments, with a clock that stands."""
    return Comments(MemoryComments(), lambda: 1_800_000_000.5)


def test_default_is_the_documented_one() -> None:
    """A comment's text has at most 1,000 characters."""
    assert MAX_TEXT_CHARS == 1000


async def test_added_comment_comes_first() -> None:
    """The newest comment is the first of the first page, with the clock's whole second."""
    comments = make()
    await comments.add(7, 1, "first")
    added = await comments.add(7, 2, "  second ")
    page = await comments.page(7, "", 0)
    assert page.comments[0] == added
    assert (added.id, added.body.text, added.body.created_unix_s) == (2, "second", 1_800_000_000)
    assert (page.total, page.next_cursor) == (2, "")


async def test_pages_cover_every_comment_once() -> None:
    """Following the cursors shows every comment once, newest first, and the same total."""
    comments = make()
    for number in range(7):
        await comments.add(3, 1, f"comment {number}")
    first = await comments.page(3, "", 3)
    second = await comments.page(3, first.next_cursor, 3)
    third = await comments.page(3, second.next_cursor, 3)
    shown = [each.id for page in (first, second, third) for each in page.comments]
    assert shown == [7, 6, 5, 4, 3, 2, 1]
    assert {first.total, second.total, third.total} == {7}
    assert third.next_cursor == ""


async def test_video_without_comments_has_an_empty_page() -> None:
    """A video that nobody commented on has no comments and a total of 0."""
    assert await make().page(99, "", 0) == ([], "", 0)


@pytest.mark.parametrize("text", ["", "   ", "\n", "x" * 1001, "a\x00b", "bell\x07", "\x7f"])
async def test_bad_texts_are_refused(text: str) -> None:
    """A text that is empty, too long or has control characters is an invalid argument."""
    with pytest.raises(ServiceError) as caught:
        await make().add(1, 1, text)
    assert caught.value.code is Code.INVALID_ARGUMENT
    assert caught.value.reason == "COMMENT_TEXT_INVALID"


@pytest.mark.parametrize("text", ["x" * 1000, "two\nlines", "a\ttab", "née 北京 🎬"])
async def test_good_texts_are_kept_as_they_are(text: str) -> None:
    """Line breaks, tabs and any script are welcome, up to 1,000 characters."""
    assert (await make().add(1, 1, text)).body.text == text


@pytest.mark.parametrize(("video_id", "author_id"), [(0, 1), (1, 0), (-1, 1)])
async def test_impossible_ids_are_refused(video_id: int, author_id: int) -> None:
    """Ids begin at 1."""
    with pytest.raises(ServiceError) as caught:
        await make().add(video_id, author_id, "text")
    assert caught.value.reason == "ID_INVALID"
