"""What one can do with counters: read them, like a video, count a view."""

from collections.abc import Sequence
from typing import NamedTuple

from resilience.errors import Code, ServiceError
from services.checks import check_batch, check_id
from services.counter.data import CounterRepository, LikeResult, LikeStatus, VideoStats
from services.idempotency import key_reused, read_key

IDEMPOTENCY_KEY_IN_FLIGHT = "IDEMPOTENCY_KEY_IN_FLIGHT"


class Liked(NamedTuple):
    """A like's answer.

    Args:
        liked_now: False when this account had liked the video before.
        replayed: Whether an idempotency key gave back a kept answer.
    """

    stats: VideoStats
    liked_now: bool
    replayed: bool


class Counters:
    """The counter service's use cases."""

    def __init__(self, repository: CounterRepository) -> None:
        self._repository = repository

    async def stats(self, video_ids: Sequence[int]) -> list[VideoStats]:
        """Return the counts of up to 100 videos, in the order asked.

        Raises:
            ServiceError: ``TOO_MANY_IDS``, ``ID_INVALID``.
        """
        check_batch(video_ids)
        for each in video_ids:
            check_id(each, "video")
        return await self._repository.stats(video_ids) if video_ids else []

    async def add_like(self, video_id: int, account_id: int, key: str, fingerprint: str) -> Liked:
        """Note that an account likes a video; liking again changes nothing.

        Args:
            video_id: The caller vouches that it exists.
            account_id: The caller vouches that it exists.
            key: Idempotency key, 1 to 128 printable ASCII characters; empty for none.
            fingerprint: Of the request that carried the key.

        Raises:
            ServiceError: ``ID_INVALID``, ``IDEMPOTENCY_KEY_INVALID``, ``_REUSED``, ``_IN_FLIGHT``.
        """
        check_id(video_id, "video")
        check_id(account_id, "account")
        idempotency = read_key(key, fingerprint)
        result = await self._repository.add_like(video_id, account_id, idempotency)
        _raise_for_key(result)
        return Liked(result.stats, result.liked_now, result.status is not LikeStatus.ADDED)

    async def add_view(self, video_id: int) -> VideoStats:
        """Count one view and return the counts.

        Raises:
            ServiceError: ``ID_INVALID``.
        """
        check_id(video_id, "video")
        return await self._repository.add_view(video_id)


def _raise_for_key(result: LikeResult) -> None:
    if result.status is LikeStatus.REUSED:
        raise key_reused()
    if result.status is LikeStatus.IN_FLIGHT:
        raise ServiceError(
            Code.ALREADY_EXISTS,
            IDEMPOTENCY_KEY_IN_FLIGHT,
            "the first request with this idempotency key isn't answered yet: try again soon",
            retry_after_s=result.retry_after_s,
        )
