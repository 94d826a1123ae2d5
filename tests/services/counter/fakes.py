"""Likes and views in dictionaries, with the same life of an idempotency key as the scripts."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from services.counter.data import IN_FLIGHT_S, LikeResult, LikeStatus, VideoStats
from services.idempotency import IdempotencyKey


@dataclass
class Record:
    """What an idempotency key was used for."""

    fingerprint: str
    answer: LikeResult
    at_s: float
    is_done: bool


class MemoryCounters:
    """A CounterRepository without a store.

    Args:
        proves: Whether a write is proven replicated, so that its record is marked done.
    """

    def __init__(self, *, proves: bool = True) -> None:
        self.likers: dict[int, set[int]] = defaultdict(set)
        self.views: Counter[int] = Counter()
        self.records: dict[tuple[int, str], Record] = {}
        self.proves = proves
        self.now_s = 0.0

    async def stats(self, video_ids: Sequence[int]) -> list[VideoStats]:
        """Count."""
        return [self._stats(each) for each in video_ids]

    async def add_like(
        self, video_id: int, account_id: int, idempotency: IdempotencyKey | None
    ) -> LikeResult:
        """Like, or replay what the key was used for."""
        place = (account_id, idempotency.key if idempotency else "")
        kept = self.records.get(place) if idempotency else None
        if kept is not None and idempotency is not None:
            return self._replay(kept, idempotency)
        liked_now = account_id not in self.likers[video_id]
        self.likers[video_id].add(account_id)
        result = LikeResult(LikeStatus.ADDED, self._stats(video_id), liked_now)
        if idempotency:
            self.records[place] = Record(idempotency.fingerprint, result, self.now_s, self.proves)
        return result

    async def add_view(self, video_id: int) -> VideoStats:
        """Count one view."""
        self.views[video_id] += 1
        return self._stats(video_id)

    def _replay(self, kept: Record, asked: IdempotencyKey) -> LikeResult:
        if kept.fingerprint != asked.fingerprint:
            return kept.answer._replace(status=LikeStatus.REUSED)
        if kept.is_done:
            return kept.answer._replace(status=LikeStatus.KEPT)
        age_s = self.now_s - kept.at_s
        if age_s < IN_FLIGHT_S:
            return kept.answer._replace(
                status=LikeStatus.IN_FLIGHT, retry_after_s=IN_FLIGHT_S - age_s
            )
        kept.is_done = True
        return kept.answer._replace(status=LikeStatus.RENEWED)

    def _stats(self, video_id: int) -> VideoStats:
        return VideoStats(video_id, len(self.likers[video_id]), self.views[video_id])
