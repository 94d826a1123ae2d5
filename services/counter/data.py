"""Likes and views: what is kept, under which keys, and the store that keeps it.

Keys; the hash tag keeps all that belongs to a video on one shard, so that one script may use them:

- ``{video:7}:likers``                  set of the accounts that like it; its size is the like count
- ``{video:7}:views``                   counter
- ``{video:7}:like-key:{account}:{key}``  hash: what an idempotency key was used for and answered
- ``{account:3}:like-key:{key}``        fingerprint of the request that an account's key belongs to

An idempotency key belongs to an account, whatever the video, and those two are in different slots.
So a like with a key takes two steps: claim the key for this request, then take effect and keep the
answer, in one script. A crash between them leaves a claim that only the same request can use.

Likes are REPLICATED: somebody was told. Views and claims are LOCAL: a lost view hurts nobody, and
after a lost claim a key could at worst be used again for another video.
Not handled: taking a like back; counting a viewer once.
"""

from collections.abc import Sequence
from contextlib import suppress
from enum import Enum
from typing import NamedTuple, Protocol

from resilience.errors import ServiceError
from services.counter.scripts import ADD_LIKE, ADD_VIEW
from services.idempotency import RECORD_TTL_S, IdempotencyKey
from shard.store import Durability, StoreClient

IN_FLIGHT_S = 1.0  # an answer takes no longer: every route's budget is 1,000 ms by default


class VideoStats(NamedTuple):
    """How often a video was liked (by different accounts) and viewed."""

    video_id: int
    likes: int
    views: int


class LikeStatus(Enum):
    """What became of a like; the values are what the script answers."""

    ADDED = b"added"  # executed now
    KEPT = b"kept"  # executed before: its answer again
    RENEWED = b"renewed"  # executed before without proof of replication; proven now
    REUSED = b"reused"  # the key belongs to another request
    IN_FLIGHT = b"in_flight"  # the first request with this key isn't answered yet


class LikeResult(NamedTuple):
    """A like's answer; ``stats`` and ``liked_now`` mean nothing for REUSED and IN_FLIGHT.

    Args:
        liked_now: False when the account had liked the video before.
        retry_after_s: For IN_FLIGHT: when the key is decided, at the latest.
    """

    status: LikeStatus
    stats: VideoStats
    liked_now: bool
    retry_after_s: float = 0.0


class CounterRepository(Protocol):
    """Where likes and views are kept. Every method may raise ``STORE_UNAVAILABLE``."""

    async def stats(self, video_ids: Sequence[int]) -> list[VideoStats]:
        """Return the counts in the order asked; a video nobody saw has zeros."""

    async def add_like(
        self, video_id: int, account_id: int, idempotency: IdempotencyKey | None
    ) -> LikeResult:
        """Note that an account likes a video, at most once per account and per key."""

    async def add_view(self, video_id: int) -> VideoStats:
        """Count one view."""


def likers_key(video_id: int) -> str:
    """Name the key of the accounts that like a video."""
    return f"{{video:{video_id}}}:likers"


def views_key(video_id: int) -> str:
    """Name the key that counts a video's views."""
    return f"{{video:{video_id}}}:views"


def record_key(video_id: int, account_id: int, key: str) -> str:
    """Name the key of an idempotency record; last, since the client's part may hold anything."""
    return f"{{video:{video_id}}}:like-key:{account_id}:{key}"


def claim_key(account_id: int, key: str) -> str:
    """Name the key that says which request an account's idempotency key belongs to."""
    return f"{{account:{account_id}}}:like-key:{key}"


class StoreCounters:
    """Likes and views in the sharded store."""

    def __init__(self, store: StoreClient) -> None:
        self._store = store

    async def stats(self, video_ids: Sequence[int]) -> list[VideoStats]:
        """Read two counts per video, all pipelined in one turn."""
        commands = [
            command
            for each in video_ids
            for command in (("SCARD", likers_key(each)), ("GET", views_key(each)))
        ]
        replies = await self._store.read_many(commands)
        return [
            VideoStats(video_id, _whole(likes), _whole(views))
            for video_id, likes, views in zip(video_ids, replies[::2], replies[1::2], strict=True)
        ]

    async def add_like(
        self, video_id: int, account_id: int, idempotency: IdempotencyKey | None
    ) -> LikeResult:
        """Claim the key; take effect and keep the answer in one script; note that it is proven."""
        if idempotency is not None and not await self._claims(account_id, idempotency):
            return LikeResult(LikeStatus.REUSED, VideoStats(video_id, 0, 0), False)
        keys = [likers_key(video_id), views_key(video_id)]
        if idempotency is not None:
            keys.append(record_key(video_id, account_id, idempotency.key))
        written = await self._store.eval(
            ADD_LIKE,
            keys,
            [
                account_id,
                idempotency.fingerprint if idempotency else "",
                RECORD_TTL_S,
                int(IN_FLIGHT_S * 1000),
            ],
            durability=Durability.REPLICATED,
        )
        result = _like_result(video_id, written.raise_for_status())
        if idempotency and result.status in (LikeStatus.ADDED, LikeStatus.RENEWED):
            # LOCAL, and it may fail: without the mark a repeat only proves again.
            with suppress(ServiceError):
                await self._store.write("HSET", keys[2], "state", "done")
        return result

    async def add_view(self, video_id: int) -> VideoStats:
        """Count in one script that also says the likes."""
        written = await self._store.eval(ADD_VIEW, [views_key(video_id), likers_key(video_id)], [])
        reply = written.raise_for_status()
        assert isinstance(reply, list)
        views, likes = reply
        return VideoStats(video_id, _whole(likes), _whole(views))

    async def _claims(self, account_id: int, idempotency: IdempotencyKey) -> bool:
        """Whether the key is this request's: nobody's before, or this one's already."""
        claim = await self._store.write(
            "SET",
            claim_key(account_id, idempotency.key),
            idempotency.fingerprint,
            *("NX", "GET", "EX", RECORD_TTL_S),
        )
        before = claim.raise_for_status()
        return before is None or before == idempotency.fingerprint.encode()


def _like_result(video_id: int, reply: object) -> LikeResult:
    assert isinstance(reply, list)
    status, likes, views, liked_now, retry_after_ms = reply
    return LikeResult(
        LikeStatus(status),
        VideoStats(video_id, _whole(likes), _whole(views)),
        _whole(liked_now) == 1,
        _whole(retry_after_ms) / 1000,
    )


def _whole(reply: object) -> int:
    """Read a count as the store says it: a number, its digits, or nothing for zero."""
    if reply is None:
        return 0
    assert isinstance(reply, int | bytes)
    return int(reply)
