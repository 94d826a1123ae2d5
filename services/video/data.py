"""Videos: what is kept, under which keys, and the store that keeps it.

Keys:

- ``video:{id}``       JSON of the video
- ``videos:newest``    sorted set of the same JSON, scored by id: newer videos have higher ids
- ``videos:ids``       counter; a video published by someone gets 1,000,000 + its next value
- ``{video:7}:edit-key:{account}:{key}``  hash: what an idempotency key was used for and answered
- ``{account:3}:video-key:{key}``  JSON: which request an account's key belongs to, and the video it
  publishes

Why twice: a page of the list is then one command at one node, where ids alone would cost a second
trip to every shard. The price is one hot key, which lives on one shard whatever the number of
shards, and that a write changes two. The record is the truth and is written first; each copy says
its revision, and the list never goes back to an earlier one, so that two writers can't leave the
copies different. A writer that fails half-way says so, and its repeat (with its key, or the next
change) completes the list.

All writes are REPLICATED. Videos below 1,000,001 belong to the seeded data set.
Not handled: deletion; changing anything but the title.
"""

from enum import Enum
from typing import NamedTuple, Protocol

import msgspec

from services.idempotency import RECORD_TTL_S, IdempotencyKey
from services.video.scripts import ADD, CLAIM, EDIT, LIST
from shard.resp import Argument
from shard.script import Script
from shard.store import Durability, Reply, StoreClient

NEWEST_KEY = "videos:newest"
IDS_KEY = "videos:ids"
LAST_SEEDED_ID = 1_000_000  # a hundred times the videos of `seed --size full`


class VideoRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """One video as it is kept.

    Args:
        id: At least 1; a later video has a higher one.
        title: For people.
        author_id: An account's id.
        duration_s: Length, above 0.
        published_unix_s: Wall clock.
        revision: How often it was changed.
    """

    id: int
    title: str
    author_id: int
    duration_s: int
    published_unix_s: int
    revision: int = 0


class Claim(msgspec.Struct, frozen=True):
    """Which request an idempotency key belongs to, and for a publication the video it makes."""

    fingerprint: str
    video: VideoRecord | None = None


class WriteOutcome(Enum):
    """What became of a write; the values are what the scripts answer."""

    WRITTEN = b"written"  # executed now
    KEPT = b"kept"  # executed before: its answer again
    REUSED = b"reused"  # the key belongs to another request
    CHANGED = b"changed"  # somebody changed the video meanwhile: read it again


class Written(NamedTuple):
    """A write's answer; no video for REUSED and CHANGED."""

    outcome: WriteOutcome
    video: VideoRecord | None = None


class VideoRepository(Protocol):
    """Where videos are kept. Every method may raise ``STORE_UNAVAILABLE``."""

    async def find(self, video_id: int) -> VideoRecord | None:
        """Return the video, or None when there is none of that id."""

    async def newest(self, before_id: int | None, limit: int) -> list[VideoRecord]:
        """Return up to that many videos, newest first, older than ``before_id`` (None: all)."""

    async def publish(self, draft: VideoRecord, idempotency: IdempotencyKey | None) -> Written:
        """Keep a new video under an id of its own; the draft's id doesn't count."""

    async def edit(
        self, changed: VideoRecord, account_id: int, idempotency: IdempotencyKey | None
    ) -> Written:
        """Keep a changed video whose revision is one above the kept one's."""


def video_key(video_id: int) -> str:
    """Name the key of a video's record."""
    return f"video:{video_id}"


def edit_record_key(video_id: int, account_id: int, key: str) -> str:
    """Name the key of an edit's record; in the video's slot, so that one script may use both."""
    return f"{{video:{video_id}}}:edit-key:{account_id}:{key}"


def claim_key(account_id: int, key: str) -> str:
    """Name the key that says which request an account's idempotency key belongs to."""
    return f"{{account:{account_id}}}:video-key:{key}"


def encode_video(video: VideoRecord) -> bytes:
    """Make the stored form of a video."""
    return msgspec.json.encode(video)


def decode_video(stored: bytes) -> VideoRecord:
    """Read a video back."""
    return _decoder.decode(stored)


class StoreVideos:
    """Videos in the sharded store."""

    def __init__(self, store: StoreClient) -> None:
        self._store = store

    async def find(self, video_id: int) -> VideoRecord | None:
        """Read one record."""
        stored = await self._store.read("GET", video_key(video_id))
        return decode_video(stored) if isinstance(stored, bytes) else None

    async def newest(self, before_id: int | None, limit: int) -> list[VideoRecord]:
        """Read one page of the sorted set, in O(log videos + limit)."""
        top = "+inf" if before_id is None else f"({before_id}"
        stored = await self._store.read(
            "ZRANGE", NEWEST_KEY, top, "-inf", "BYSCORE", "REV", "LIMIT", 0, limit
        )
        assert isinstance(stored, list)
        return [decode_video(each) for each in stored]

    async def publish(self, draft: VideoRecord, idempotency: IdempotencyKey | None) -> Written:
        """Take an id, claim it for the key, keep the record, then list it.

        A repeat with the same key finds the id of the first time, and takes every step again: a
        first time that failed half-way is completed.
        """
        video = msgspec.structs.replace(draft, id=await self._next_id())
        outcome = WriteOutcome.WRITTEN
        if idempotency is not None:
            claim = await self._claim(video.author_id, idempotency, video)
            if claim.fingerprint != idempotency.fingerprint or claim.video is None:
                return Written(WriteOutcome.REUSED)
            if claim.video != video:
                video, outcome = claim.video, WriteOutcome.KEPT
        await self._eval(ADD, [video_key(video.id)], [encode_video(video)])
        await self._list(video)
        return Written(outcome, video)

    async def edit(
        self, changed: VideoRecord, account_id: int, idempotency: IdempotencyKey | None
    ) -> Written:
        """Claim the key; change the record and keep the answer in one script; then the list."""
        keys = [video_key(changed.id)]
        if idempotency is not None:
            claim = await self._claim(account_id, idempotency, None)
            if claim.fingerprint != idempotency.fingerprint:
                return Written(WriteOutcome.REUSED)
            keys.append(edit_record_key(changed.id, account_id, idempotency.key))
        fingerprint = idempotency.fingerprint if idempotency else ""
        reply = await self._eval(
            EDIT, keys, [encode_video(changed), changed.revision, fingerprint, RECORD_TTL_S]
        )
        assert isinstance(reply, list)
        status, stored = reply
        if not stored:
            return Written(WriteOutcome(status))
        video = decode_video(stored)
        await self._list(video)
        return Written(WriteOutcome(status), video)

    async def _next_id(self) -> int:
        taken = await self._store.write("INCR", IDS_KEY, durability=Durability.REPLICATED)
        number = taken.raise_for_status()
        assert isinstance(number, int)
        return LAST_SEEDED_ID + number

    async def _claim(
        self, account_id: int, idempotency: IdempotencyKey, video: VideoRecord | None
    ) -> Claim:
        """Return what an account's key is claimed for: this request, or an earlier one."""
        wanted = msgspec.json.encode(Claim(idempotency.fingerprint, video))
        kept = await self._eval(
            CLAIM, [claim_key(account_id, idempotency.key)], [wanted, RECORD_TTL_S]
        )
        assert isinstance(kept, bytes)
        return _claim_decoder.decode(kept)

    async def _list(self, video: VideoRecord) -> None:
        await self._eval(LIST, [NEWEST_KEY], [video.id, encode_video(video), video.revision])

    async def _eval(self, script: Script, keys: list[str], args: list[Argument]) -> Reply:
        done = await self._store.eval(script, keys, args, durability=Durability.REPLICATED)
        return done.raise_for_status()


_decoder = msgspec.json.Decoder(VideoRecord)
_claim_decoder = msgspec.json.Decoder(Claim)
