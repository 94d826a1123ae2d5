"""Videos in a real store."""

import asyncio
import uuid

import msgspec
import pytest

from services.idempotency import RECORD_TTL_S, IdempotencyKey
from services.video.data import (
    LAST_SEEDED_ID,
    NEWEST_KEY,
    StoreVideos,
    VideoRecord,
    WriteOutcome,
    Written,
    claim_key,
    edit_record_key,
    encode_video,
    video_key,
)
from services.video.scripts import LIST
from shard.store import StoreClient
from tests.services.video.fakes import MemoryVideos, make_video

pytestmark = pytest.mark.integration

COUNT = 25


@pytest.fixture
async def videos(store: StoreClient) -> StoreVideos:
    """Write 25 videos and hand out the repository."""
    await store.write("DEL", NEWEST_KEY)
    for number in range(1, COUNT + 1):
        stored = encode_video(make_video(number))
        await store.write("SET", video_key(number), stored)
        await store.write("ZADD", NEWEST_KEY, number, stored)
    return StoreVideos(store)


async def test_video_reads_back_as_it_was_written(videos: StoreVideos) -> None:
    """A record is found by its id, and None without one."""
    assert await videos.find(7) == make_video(7)
    assert await videos.find(COUNT + 1_000_000) is None


@pytest.mark.parametrize(
    ("before_id", "limit"), [(None, 5), (None, 100), (10, 3), (2, 5), (1, 5), (10**9, 2)]
)
async def test_newest_is_what_the_repository_in_memory_says(
    videos: StoreVideos, before_id: int | None, limit: int
) -> None:
    """The store and the fake that other tests trust answer alike."""
    expected = await MemoryVideos(COUNT).newest(before_id, limit)
    assert await videos.newest(before_id, limit) == expected


DRAFT = VideoRecord(0, "a title", 3, 60, 10**9)
KEY = IdempotencyKey("a key {with} braces", "fingerprint one")


def fresh_key() -> IdempotencyKey:
    """Make a key that no other test has used."""
    return KEY._replace(key=uuid.uuid4().hex)


async def listed(videos: StoreVideos, video_id: int) -> list[VideoRecord]:
    """Return every copy that the list has of a video; there should be one."""
    return [each for each in await videos.newest(video_id + 1, 5) if each.id == video_id]


async def test_published_video_is_kept_and_listed(videos: StoreVideos) -> None:
    """Ids count up from above the seeded ones; record and list have the same."""
    first = (await videos.publish(DRAFT, None)).video
    second = (await videos.publish(DRAFT, None)).video
    assert first is not None
    assert second is not None
    assert second.id == first.id + 1 > LAST_SEEDED_ID + 1
    assert await videos.newest(None, 2) == [second, first]
    assert await videos.find(first.id) == first


async def test_publishing_again_with_the_key_finds_the_first_video(videos: StoreVideos) -> None:
    """A repeat makes no second video, whatever step the first time failed at."""
    key = fresh_key()
    first = await videos.publish(DRAFT, key)
    assert first.outcome is WriteOutcome.WRITTEN
    assert first.video is not None
    assert await videos.publish(DRAFT, key) == first._replace(outcome=WriteOutcome.KEPT)
    assert await listed(videos, first.video.id) == [first.video]


@pytest.mark.parametrize("lost", ["record", "listing"])
async def test_a_repeat_completes_what_was_left_half_done(
    videos: StoreVideos, store: StoreClient, lost: str
) -> None:
    """Without its record, or without its place in the list: the repeat writes what is missing."""
    key = fresh_key()
    first = (await videos.publish(DRAFT, key)).video
    assert first is not None
    if lost == "record":
        await store.write("DEL", video_key(first.id))
    else:
        await store.write("ZREMRANGEBYSCORE", NEWEST_KEY, first.id, first.id)
    assert (await videos.publish(DRAFT, key)).video == first
    assert await videos.find(first.id) == first
    assert await listed(videos, first.id) == [first]


async def test_a_repeat_leaves_a_later_edit_alone(videos: StoreVideos) -> None:
    """Publishing again with the key doesn't bring an old title back, neither here nor there."""
    key = fresh_key()
    first = (await videos.publish(DRAFT, key)).video
    assert first is not None
    edited = msgspec.structs.replace(first, title="later", revision=1)
    assert (await videos.edit(edited, 3, None)).outcome is WriteOutcome.WRITTEN
    assert (await videos.publish(DRAFT, key)).video == first
    assert await videos.find(first.id) == edited
    assert await listed(videos, first.id) == [edited]


async def test_key_of_another_request_is_reused(videos: StoreVideos) -> None:
    """Another fingerprint is refused, and neither publishes nor edits."""
    key = fresh_key()
    first = (await videos.publish(DRAFT, key)).video
    assert first is not None
    other = key._replace(fingerprint="fingerprint two")
    assert await videos.publish(DRAFT, other) == Written(WriteOutcome.REUSED)
    edited = msgspec.structs.replace(first, title="later", revision=1)
    assert await videos.edit(edited, 3, other) == Written(WriteOutcome.REUSED)
    assert await videos.find(first.id) == first


async def test_same_fingerprint_is_checked_in_the_edits_record_too(
    videos: StoreVideos, store: StoreClient
) -> None:
    """Without the claim the record beside the video still knows its request."""
    key = fresh_key()
    edited = msgspec.structs.replace(make_video(3), title="later", revision=1)
    assert (await videos.edit(edited, 3, key)).outcome is WriteOutcome.WRITTEN
    await store.write("DEL", claim_key(3, key.key))
    other = key._replace(fingerprint="fingerprint two")
    assert await videos.edit(edited, 3, other) == Written(WriteOutcome.REUSED)


async def test_edit_changes_both_copies(videos: StoreVideos) -> None:
    """Record and list have the new title; the other videos are as they were."""
    before = await videos.newest(9, 3)
    edited = msgspec.structs.replace(make_video(8), title='quoted "北京" \\ title', revision=1)
    assert await videos.edit(edited, 3, None) == Written(WriteOutcome.WRITTEN, edited)
    assert await videos.find(8) == edited
    assert await videos.newest(9, 3) == [edited, *before[1:]]


async def test_repeated_edit_with_its_key_changes_nothing(videos: StoreVideos) -> None:
    """The repeat gets its first answer, and a later edit stays in record and list."""
    key = fresh_key()
    first = msgspec.structs.replace(make_video(5), title="first", revision=1)
    later = msgspec.structs.replace(first, title="later", revision=2)
    assert await videos.edit(first, 3, key) == Written(WriteOutcome.WRITTEN, first)
    assert await videos.edit(later, 3, None) == Written(WriteOutcome.WRITTEN, later)
    assert await videos.edit(first, 3, key) == Written(WriteOutcome.KEPT, first)
    assert await videos.find(5) == later
    assert await listed(videos, 5) == [later]


async def test_an_edit_that_came_late_says_so(videos: StoreVideos) -> None:
    """Of two edits of one revision the second has to read again; so has one of no video."""
    first = msgspec.structs.replace(make_video(6), title="first", revision=1)
    second = msgspec.structs.replace(first, title="second")
    assert (await videos.edit(first, 3, None)).outcome is WriteOutcome.WRITTEN
    assert await videos.edit(second, 3, None) == Written(WriteOutcome.CHANGED)
    nowhere = msgspec.structs.replace(first, id=999_999)
    assert await videos.edit(nowhere, 3, None) == Written(WriteOutcome.CHANGED)
    assert await videos.find(6) == first


async def test_edits_at_once_leave_both_copies_the_same(videos: StoreVideos) -> None:
    """Many editors of one video: each revision is one editor's, and the copies agree at the end."""

    async def edit(title: str) -> None:
        while True:
            video = await videos.find(7)
            assert video is not None
            changed = msgspec.structs.replace(video, title=title, revision=video.revision + 1)
            if (await videos.edit(changed, 3, None)).outcome is WriteOutcome.WRITTEN:
                return

    await asyncio.gather(*(edit(f"title {each}") for each in range(8)))
    video = await videos.find(7)
    assert video is not None
    assert video.revision == 8
    assert await listed(videos, 7) == [video]


async def test_claims_and_records_expire(videos: StoreVideos, store: StoreClient) -> None:
    """Both keys of an idempotency key live a day."""
    key = fresh_key()
    edited = msgspec.structs.replace(make_video(4), title="later", revision=1)
    await videos.edit(edited, 3, key)
    for name in (claim_key(3, key.key), edit_record_key(4, 3, key.key)):
        ttl_s = await store.read("TTL", name)
        assert isinstance(ttl_s, int)
        assert RECORD_TTL_S - 10 <= ttl_s <= RECORD_TTL_S


async def test_seeding_again_leaves_an_edited_video_alone(
    videos: StoreVideos, store: StoreClient
) -> None:
    """The seed's own step for the list doesn't add a second copy beside a later revision."""
    edited = msgspec.structs.replace(make_video(9), title="later", revision=1)
    await videos.edit(edited, 3, None)
    await store.eval(LIST, [NEWEST_KEY], [9, encode_video(make_video(9)), 0])
    assert await listed(videos, 9) == [edited]
