"""Comments in a real store."""

import asyncio

import pytest

from services.comment.data import CommentBody, StoreComments, comment_member, decode_member
from shard.store import StoreClient
from tests.services.comment.fakes import MemoryComments

pytestmark = pytest.mark.integration


def test_member_reads_back_as_it_was_made() -> None:
    """A member carries the id and the body, whatever the text has in it."""
    body = CommentBody(3, 'a "quoted" text\nwith 北京 {braces} and 1 2 3', 1_800_000_000)
    assert decode_member(9, comment_member(12, body)) == (12, 9, body)


async def test_the_same_words_twice_are_two_comments(store: StoreClient) -> None:
    """Two equal comments of the same second are both kept, with ids of their own."""
    comments = StoreComments(store)
    body = CommentBody(1, "first!", 1_800_000_000)
    assert [await comments.add(501, body), await comments.add(501, body)] == [1, 2]
    found, total = await comments.newest(501, None, 10)
    assert [each.id for each in found] == [2, 1]
    assert total == 2


async def test_ids_are_unique_when_many_comment_at_once(store: StoreClient) -> None:
    """Forty comments at once get forty ids."""
    comments = StoreComments(store)
    bodies = [CommentBody(1, f"comment {number}", 1) for number in range(40)]
    given = await asyncio.gather(*(comments.add(502, body) for body in bodies))
    assert sorted(given) == list(range(1, 41))


@pytest.mark.parametrize(("before_id", "limit"), [(None, 3), (None, 50), (5, 3), (1, 3), (99, 2)])
async def test_newest_is_what_the_repository_in_memory_says(
    store: StoreClient, before_id: int | None, limit: int
) -> None:
    """The store and the fake that other tests trust answer alike."""
    comments, memory = StoreComments(store), MemoryComments()
    video_id = 600 + limit + (before_id or 0) * 1000
    for number in range(8):
        body = CommentBody(1, f"comment {number}", number)
        await comments.add(video_id, body)
        await memory.add(video_id, body)
    expected = await memory.newest(video_id, before_id, limit)
    assert await comments.newest(video_id, before_id, limit) == expected
