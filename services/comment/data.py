"""Comments: what is kept, under which keys, and the store that keeps it.

Keys; the hash tag keeps all that belongs to a video on one shard, so that one script may use both:

- ``{video:7}:comment-ids``    counter; ids are unique within their video
- ``{video:7}:comments``       sorted set scored by id; a member is the id, a space and JSON

Why the id in the member too: equal members are one entry of a set, and two people may well say
the same thing in the same second.
Not handled: deleting or editing a comment.
"""

from typing import NamedTuple, Protocol

import msgspec

from shard.script import Script
from shard.store import Durability, StoreClient

ADD_COMMENT = Script(
    """
    local id = redis.call('INCR', KEYS[1])
    redis.call('ZADD', KEYS[2], id, id .. ' ' .. ARGV[1])
    return id
    """
)


class CommentBody(msgspec.Struct, frozen=True):
    """What somebody said.

    Args:
        author_id: An account's id.
        text: 1 to 1,000 characters.
        created_unix_s: Wall clock.
    """

    author_id: int
    text: str
    created_unix_s: int


class CommentRecord(NamedTuple):
    """One comment and its place: ``id`` counts from 1 within the video."""

    id: int
    video_id: int
    body: CommentBody


class CommentSlice(NamedTuple):
    """Some comments of a video, newest first, and how many it has in all."""

    comments: list[CommentRecord]
    total: int


class CommentRepository(Protocol):
    """Where comments are kept. Every method may raise ``STORE_UNAVAILABLE``."""

    async def newest(self, video_id: int, before_id: int | None, limit: int) -> CommentSlice:
        """Return up to that many comments older than ``before_id`` (None: the newest)."""

    async def add(self, video_id: int, body: CommentBody) -> int:
        """Keep a comment and return its id."""


def comments_key(video_id: int) -> str:
    """Name the key of a video's comments."""
    return f"{{video:{video_id}}}:comments"


def comment_ids_key(video_id: int) -> str:
    """Name the key that counts a video's comment ids."""
    return f"{{video:{video_id}}}:comment-ids"


def encode_comment(body: CommentBody) -> bytes:
    """Make the stored form of a comment, without its id."""
    return msgspec.json.encode(body)


def comment_member(comment_id: int, body: CommentBody) -> bytes:
    """Make the member of the sorted set, as the script makes it."""
    return b"%d %s" % (comment_id, encode_comment(body))


def decode_member(video_id: int, member: bytes) -> CommentRecord:
    """Read a member of the sorted set back."""
    comment_id, _, body = member.partition(b" ")
    return CommentRecord(int(comment_id), video_id, _decoder.decode(body))


class StoreComments:
    """Comments in the sharded store."""

    def __init__(self, store: StoreClient) -> None:
        self._store = store

    async def newest(self, video_id: int, before_id: int | None, limit: int) -> CommentSlice:
        """Read one page and the total, pipelined to the one node that has both."""
        key = comments_key(video_id)
        top = "+inf" if before_id is None else f"({before_id}"
        total, members = await self._store.read_many(
            [
                ("ZCARD", key),
                ("ZRANGE", key, top, "-inf", "BYSCORE", "REV", "LIMIT", 0, limit),
            ]
        )
        assert isinstance(total, int)
        assert isinstance(members, list)
        return CommentSlice([decode_member(video_id, each) for each in members], total)

    async def add(self, video_id: int, body: CommentBody) -> int:
        """Take the next id and keep the comment, in one script, on two nodes."""
        result = await self._store.eval(
            ADD_COMMENT,
            [comment_ids_key(video_id), comments_key(video_id)],
            [encode_comment(body)],
            durability=Durability.REPLICATED,
        )
        comment_id = result.raise_for_status()
        assert isinstance(comment_id, int)
        return comment_id


_decoder = msgspec.json.Decoder(CommentBody)
