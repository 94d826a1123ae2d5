"""The services as the gateway sees them: one method a question, answers ready for JSON.

Which calls may be repeated by the pipeline is said here, where it is known: reads are idempotent,
liking is (a set), commenting and opening a session are not. Publishing and renaming are with an
idempotency key. A like with one is repeated by its client, who holds the key, since a repeat by us
could find it in flight.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from api.account.v1 import account_pb2, account_pb2_grpc
from api.comment.v1 import comment_pb2, comment_pb2_grpc
from api.counter.v1 import counter_pb2, counter_pb2_grpc
from api.video.v1 import video_pb2, video_pb2_grpc
from gateway.cached import Cached, Lookup
from gateway.models import (
    Account,
    Comment,
    CommentList,
    Like,
    Session,
    Stats,
    Video,
    VideoList,
    VideoRequest,
)
from gateway.upstreams import Upstream
from resilience.errors import Code, ServiceError, UpstreamStatus

T = TypeVar("T")


class Written(NamedTuple):
    """A video as it was written; ``replayed`` when a key gave back an earlier answer."""

    video: Video
    replayed: bool


class Clients:
    """Ask the four services. Every method may raise a ServiceError."""

    def __init__(
        self,
        account: "Upstream[account_pb2_grpc.AccountServiceAsyncStub]",
        video: "Upstream[video_pb2_grpc.VideoServiceAsyncStub]",
        comment: "Upstream[comment_pb2_grpc.CommentServiceAsyncStub]",
        counter: "Upstream[counter_pb2_grpc.CounterServiceAsyncStub]",
    ) -> None:
        self._account = account
        self._video = video
        self._comment = comment
        self._counter = counter

    async def video(self, video_id: int) -> Cached[Video]:
        """Return one video."""
        request = video_pb2.GetVideoRequest(id=video_id)
        found = await self._video.call(lambda stub: stub.GetVideo, request)
        return _cached(_video(found.video), found.cache)

    async def videos(self, cursor: str, limit: int) -> VideoList:
        """Return one page of videos, newest first; limit 0 means the service's default."""
        request = video_pb2.ListVideosRequest(cursor=cursor, limit=limit)
        found = await self._video.call(lambda stub: stub.ListVideos, request)
        return VideoList([_video(each) for each in found.videos], found.next_cursor)

    async def feed(self, limit: int) -> Cached[list[Video]]:
        """Return the videos of the home page."""
        request = video_pb2.GetFeedRequest(limit=limit)
        found = await self._video.call(lambda stub: stub.GetFeed, request)
        return _cached([_video(each) for each in found.videos], found.cache)

    async def publish(
        self, author_id: int, asked: VideoRequest, key: str, fingerprint: str
    ) -> Written:
        """Publish a video; ``key`` is "" for none."""
        request = video_pb2.PublishVideoRequest(
            author_id=author_id,
            title=asked.title,
            duration_s=asked.duration_s,
            idempotency_key=key,
            fingerprint=fingerprint,
        )
        done = await self._video.call(lambda stub: stub.PublishVideo, request, idempotent=bool(key))
        return Written(_video(done.video), done.replayed)

    async def rename(
        self, video_id: int, account_id: int, title: str, key: str, fingerprint: str
    ) -> Written:
        """Give a video another title on behalf of an account; ``key`` is "" for none."""
        request = video_pb2.UpdateVideoRequest(
            id=video_id,
            account_id=account_id,
            title=title,
            idempotency_key=key,
            fingerprint=fingerprint,
        )
        done = await self._video.call(lambda stub: stub.UpdateVideo, request, idempotent=bool(key))
        return Written(_video(done.video), done.replayed)

    async def account(self, account_id: int) -> Account:
        """Return one account."""
        request = account_pb2.GetAccountRequest(id=account_id)
        return _account(await self._account.call(lambda stub: stub.GetAccount, request))

    async def accounts(self, account_ids: Sequence[int]) -> list[Account]:
        """Return the accounts found."""
        request = account_pb2.BatchGetAccountsRequest(ids=account_ids)
        found = await self._account.call(lambda stub: stub.BatchGetAccounts, request)
        return [_account(each) for each in found.accounts]

    async def open_session(self, name: str) -> Session:
        """Open a session by name."""
        request = account_pb2.OpenSessionRequest(name=name)
        opened = await self._account.call(lambda stub: stub.OpenSession, request, idempotent=False)
        return Session(opened.token, _account(opened.account), opened.expires_in_s)

    async def resolve(self, token: str) -> Account:
        """Return whose token it is."""
        request = account_pb2.ResolveSessionRequest(token=token)
        found = await self._account.call(lambda stub: stub.ResolveSession, request)
        return _account(found.account)

    async def comments(self, video_id: int, cursor: str, limit: int) -> CommentList:
        """Return one page of a video's comments; limit 0 means the service's default."""
        request = comment_pb2.ListCommentsRequest(video_id=video_id, cursor=cursor, limit=limit)
        found = await self._comment.call(lambda stub: stub.ListComments, request)
        return CommentList(
            [_comment(each) for each in found.comments], found.next_cursor, found.total
        )

    async def add_comment(self, video_id: int, author_id: int, text: str) -> Comment:
        """Keep a comment."""
        request = comment_pb2.AddCommentRequest(video_id=video_id, author_id=author_id, text=text)
        return _comment(
            await self._comment.call(lambda stub: stub.AddComment, request, idempotent=False)
        )

    async def stats(self, video_id: int) -> Stats:
        """Return a video's counts."""
        request = counter_pb2.GetStatsRequest(video_ids=[video_id])
        found = await self._counter.call(lambda stub: stub.GetStats, request)
        if len(found.stats) != 1:
            raise _bad_answer(f"counter gave {len(found.stats)} counts for one video")
        return Stats(found.stats[0].likes, found.stats[0].views)

    async def add_like(self, video_id: int, account_id: int, key: str, fingerprint: str) -> Like:
        """Like a video; ``key`` is "" for none."""
        request = counter_pb2.AddLikeRequest(
            video_id=video_id, account_id=account_id, idempotency_key=key, fingerprint=fingerprint
        )
        done = await self._counter.call(lambda stub: stub.AddLike, request, idempotent=not key)
        return Like(video_id, done.stats.likes, done.stats.views, done.liked_now, done.replayed)

    async def add_view(self, video_id: int) -> None:
        """Count one view."""
        request = counter_pb2.AddViewRequest(video_id=video_id)
        await self._counter.call(lambda stub: stub.AddView, request, idempotent=False)


def _bad_answer(message: str) -> ServiceError:
    return UpstreamStatus(Code.BAD_GATEWAY, "BAD_ANSWER", message)


def _cached(value: T, use: video_pb2.CacheUse) -> Cached[T]:
    return Cached(value, _LOOKUPS.get(use.lookup, Lookup.OFF), use.age_s)


def _video(video: video_pb2.Video) -> Video:
    return Video(video.id, video.title, video.author_id, video.duration_s, video.published_unix_s)


def _account(account: account_pb2.Account) -> Account:
    return Account(account.id, account.name)


def _comment(comment: comment_pb2.Comment) -> Comment:
    return Comment(
        comment.id, comment.video_id, comment.author_id, comment.text, comment.created_unix_s
    )


_LOOKUPS = {
    video_pb2.CacheUse.HIT: Lookup.HIT,
    video_pb2.CacheUse.MISS: Lookup.MISS,
    video_pb2.CacheUse.LOCAL: Lookup.LOCAL,
    video_pb2.CacheUse.STALE: Lookup.STALE,
}
