"""Videos in a dictionary, and a cache in another."""

import itertools
from collections.abc import Mapping

import msgspec

from resilience.switches import FixedSwitches, Switches
from services.idempotency import IdempotencyKey
from services.read_through import ReadThrough
from services.video.cached import VideoCache
from services.video.data import LAST_SEEDED_ID, VideoRecord, WriteOutcome, Written
from services.video.usecases import Videos
from shard.cache import Hit, Miss, Token


def make_video(video_id: int) -> VideoRecord:
    """Make a video whose every field follows from its id."""
    return VideoRecord(
        video_id, f"video {video_id}", 1 + video_id % 3, 60 + video_id, 10**9 + video_id
    )


class MemoryVideos:
    """A VideoRepository without a store."""

    def __init__(self, count: int) -> None:
        self.videos = {each: make_video(each) for each in range(1, count + 1)}
        self.claims: dict[tuple[int, str], tuple[str, VideoRecord]] = {}
        self.reads = 0
        self._ids = itertools.count(LAST_SEEDED_ID + 1)

    async def find(self, video_id: int) -> VideoRecord | None:
        """Look the id up."""
        self.reads += 1
        return self.videos.get(video_id)

    async def newest(self, before_id: int | None, limit: int) -> list[VideoRecord]:
        """Sort by id."""
        self.reads += 1
        ids = [each for each in self.videos if before_id is None or each < before_id]
        return [self.videos[each] for each in sorted(ids, reverse=True)[:limit]]

    async def publish(self, draft: VideoRecord, idempotency: IdempotencyKey | None) -> Written:
        """Keep it under the next id, or replay what the key was used for."""
        replayed = self._replay(draft.author_id, idempotency)
        if replayed is not None:
            return replayed
        video = msgspec.structs.replace(draft, id=next(self._ids))
        return self._keep(video, draft.author_id, idempotency)

    async def edit(
        self, changed: VideoRecord, account_id: int, idempotency: IdempotencyKey | None
    ) -> Written:
        """Replace it, if nobody has meanwhile, or replay what the key was used for."""
        replayed = self._replay(account_id, idempotency)
        if replayed is not None:
            return replayed
        if self.videos[changed.id].revision + 1 != changed.revision:
            return Written(WriteOutcome.CHANGED)
        return self._keep(changed, account_id, idempotency)

    def _replay(self, account_id: int, idempotency: IdempotencyKey | None) -> Written | None:
        if idempotency is None or (account_id, idempotency.key) not in self.claims:
            return None
        fingerprint, video = self.claims[account_id, idempotency.key]
        if fingerprint != idempotency.fingerprint:
            return Written(WriteOutcome.REUSED)
        return Written(WriteOutcome.KEPT, video)

    def _keep(
        self, video: VideoRecord, account_id: int, idempotency: IdempotencyKey | None
    ) -> Written:
        self.videos[video.id] = video
        if idempotency is not None:
            self.claims[account_id, idempotency.key] = idempotency.fingerprint, video
        return Written(WriteOutcome.WRITTEN, video)


class MemoryCache:
    """One cache node that everybody shares: values, and the tokens that deletes revoke."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.ttls_s: dict[str, float] = {}
        self.tokens: dict[str, Token] = {}
        self.rights: dict[str, Token] = {}
        self.stales_s: dict[str, float] = {}
        self.age_s = 0.0
        self.is_local = False
        self.is_stale = False  # the first reader of each value gets the right to fill it anew
        self.is_down = False
        self.deleted: list[str] = []
        self._numbers = itertools.count(1)

    async def get(self, key: str, *, deadline_s: float | None = None) -> Hit | Miss:
        """Look it up; whoever misses between two deletes gets the same token."""
        if self.is_down:
            return Miss(None)
        if key in self.values:
            right = self.rights.pop(key, None) if self.is_stale else None
            return Hit(self.values[key], self.age_s, self.is_stale, right, "cache-1", self.is_local)
        token = Token("cache-1", "run", str(next(self._numbers)), is_overflow=False)
        return Miss(self.tokens.setdefault(key, token))

    async def fill(
        self, miss: Miss, key: str, value: bytes, ttl_s: float, stale_s: float = 0.0
    ) -> bool:
        """Keep it when its token still holds."""
        if self.is_down or miss.token is None or self.tokens.get(key) != miss.token:
            return False
        self.values[key], self.ttls_s[key], self.stales_s[key] = value, ttl_s, stale_s
        self.rights[key] = miss.token
        return True

    async def delete(self, *keys: str) -> None:
        """Forget values and tokens."""
        for key in keys:
            self.deleted.append(key)
            self.values.pop(key, None)
            self.tokens.pop(key, None)

    def snapshot(self) -> Mapping[str, object]:
        """Return figures of the shape that the client's have."""
        return {"hits": 0, "nodes": {"cache-1": {"state": "up", "hits": 7, "ejections": 2}}}


def read_through(cache: MemoryCache | None = None, switches: Switches | None = None) -> ReadThrough:
    """Make a replica's way to a cache; without one its switch has nothing to turn on."""
    return ReadThrough(cache, switches or FixedSwitches())


def make_videos(
    repository: MemoryVideos, cache: MemoryCache | None = None, *, now_s: float = 2e9
) -> Videos:
    """Make one replica's use cases; several may share a repository and a cache."""
    return Videos(repository, VideoCache(read_through(cache)), lambda: now_s)
