"""The four services over real gRPC: messages there and back, errors with their reasons."""

from collections.abc import Awaitable
from typing import Any

import pytest

from api.account.v1 import account_pb2, account_pb2_grpc
from api.comment.v1 import comment_pb2, comment_pb2_grpc
from api.counter.v1 import counter_pb2, counter_pb2_grpc
from api.video.v1 import video_pb2, video_pb2_grpc
from resilience.errors import ServiceError
from resilience.rpc.client import unary
from services.account.data import AccountRecord
from services.account.transport import AccountServicer
from services.account.usecases import (
    ACCOUNT_NAME_INVALID,
    ACCOUNT_NOT_FOUND,
    SESSION_INVALID,
    Accounts,
)
from services.comment.transport import CommentServicer
from services.comment.usecases import COMMENT_TEXT_INVALID, Comments
from services.counter.transport import CounterServicer
from services.counter.usecases import IDEMPOTENCY_KEY_IN_FLIGHT, Counters
from services.cursor import CURSOR_INVALID
from services.idempotency import IDEMPOTENCY_KEY_INVALID, IDEMPOTENCY_KEY_REUSED
from services.video.transport import VideoServicer
from services.video.usecases import (
    EDIT_CONFLICT,
    NOT_THE_AUTHOR,
    VIDEO_DURATION_INVALID,
    VIDEO_NOT_FOUND,
    VIDEO_TITLE_INVALID,
)
from tests.services.account.fakes import MemoryAccounts
from tests.services.comment.fakes import MemoryComments
from tests.services.counter.fakes import MemoryCounters
from tests.services.served import served
from tests.services.video.fakes import MemoryCache, MemoryVideos, make_videos

pytestmark = pytest.mark.integration


async def reason_of(call: Awaitable[Any]) -> tuple[int, str]:
    """Return the HTTP status and reason that a call fails with."""
    with pytest.raises(ServiceError) as caught:
        await call
    return caught.value.code.http_status, caught.value.reason


async def test_account_service() -> None:
    """Accounts and sessions go over the wire, and so do their refusals."""
    servicer = AccountServicer(Accounts(MemoryAccounts(AccountRecord(1, "ann", 5))))
    async with served(
        lambda server: account_pb2_grpc.add_AccountServiceServicer_to_server(servicer, server)
    ) as channel:
        stub = account_pb2_grpc.AccountServiceStub(channel)
        ann = account_pb2.Account(id=1, name="ann", created_unix_s=5)
        assert await unary(stub.GetAccount, account_pb2.GetAccountRequest(id=1)) == ann
        batch = account_pb2.BatchGetAccountsRequest(ids=[9, 1])
        assert list((await unary(stub.BatchGetAccounts, batch)).accounts) == [ann]
        opened = await unary(stub.OpenSession, account_pb2.OpenSessionRequest(name="ann"))
        asked = account_pb2.ResolveSessionRequest(token=opened.token)
        assert await unary(stub.ResolveSession, asked) == opened

        missing = unary(stub.GetAccount, account_pb2.GetAccountRequest(id=2))
        assert await reason_of(missing) == (404, "ACCOUNT_NOT_FOUND")
        misnamed = unary(stub.OpenSession, account_pb2.OpenSessionRequest(name="A"))
        assert await reason_of(misnamed) == (400, "ACCOUNT_NAME_INVALID")
        unknown = unary(stub.ResolveSession, account_pb2.ResolveSessionRequest(token="0" * 32))
        assert await reason_of(unknown) == (401, "SESSION_INVALID")


async def test_video_service() -> None:
    """A video, a page with its cursor and the feed go over the wire."""
    cache = MemoryCache()
    servicer = VideoServicer(make_videos(MemoryVideos(5), cache, now_s=77.0))
    async with served(
        lambda server: video_pb2_grpc.add_VideoServiceServicer_to_server(servicer, server)
    ) as channel:
        stub = video_pb2_grpc.VideoServiceStub(channel)
        asked = video_pb2.GetVideoRequest(id=5)
        read = await unary(stub.GetVideo, asked)
        assert (read.video.title, read.cache.lookup) == ("video 5", video_pb2.CacheUse.MISS)
        cache.age_s = 1.5
        again = await unary(stub.GetVideo, asked)
        assert again.video == read.video
        assert (again.cache.lookup, again.cache.age_s) == (video_pb2.CacheUse.HIT, 1.5)
        page = await unary(stub.ListVideos, video_pb2.ListVideosRequest(limit=3))
        rest = await unary(
            stub.ListVideos, video_pb2.ListVideosRequest(limit=3, cursor=page.next_cursor)
        )
        assert [each.id for each in [*page.videos, *rest.videos]] == [5, 4, 3, 2, 1]
        assert rest.next_cursor == ""
        feed = await unary(stub.GetFeed, video_pb2.GetFeedRequest(limit=2))
        assert [each.id for each in feed.videos] == [5, 4]
        assert feed.cache.lookup == video_pb2.CacheUse.MISS

        new = video_pb2.PublishVideoRequest(
            author_id=4, title="北京", duration_s=9, idempotency_key="k", fingerprint="f"
        )
        published = (await unary(stub.PublishVideo, new)).video
        assert published == video_pb2.Video(
            id=1_000_001, title="北京", author_id=4, duration_s=9, published_unix_s=77
        )
        assert await unary(stub.PublishVideo, new) == video_pb2.PublishVideoResponse(
            video=published, replayed=True
        )
        change = video_pb2.UpdateVideoRequest(id=published.id, account_id=4, title="上海")
        renamed = await unary(stub.UpdateVideo, change)
        assert (renamed.video.title, renamed.replayed) == ("上海", False)
        change.account_id = 5
        assert await reason_of(unary(stub.UpdateVideo, change)) == (403, "NOT_THE_AUTHOR")

        missing = unary(stub.GetVideo, video_pb2.GetVideoRequest(id=6))
        assert await reason_of(missing) == (404, "VIDEO_NOT_FOUND")
        forged = unary(stub.ListVideos, video_pb2.ListVideosRequest(cursor="forged"))
        assert await reason_of(forged) == (400, "CURSOR_INVALID")


async def test_comment_service() -> None:
    """A comment is added and listed over the wire; a bad text isn't."""
    servicer = CommentServicer(Comments(MemoryComments(), lambda: 77.0))
    async with served(
        lambda server: comment_pb2_grpc.add_CommentServiceServicer_to_server(servicer, server)
    ) as channel:
        stub = comment_pb2_grpc.CommentServiceStub(channel)
        said = comment_pb2.AddCommentRequest(video_id=3, author_id=4, text="hello 北京")
        added = await unary(stub.AddComment, said)
        assert added == comment_pb2.Comment(
            id=1, video_id=3, author_id=4, text="hello 北京", created_unix_s=77
        )
        listed = await unary(stub.ListComments, comment_pb2.ListCommentsRequest(video_id=3))
        assert (list(listed.comments), listed.total, listed.next_cursor) == ([added], 1, "")

        empty = comment_pb2.AddCommentRequest(video_id=3, author_id=4, text=" ")
        assert await reason_of(unary(stub.AddComment, empty)) == (400, "COMMENT_TEXT_INVALID")


async def test_counter_service() -> None:
    """Likes, views and counts go over the wire; a reused key is 422 on the other side, too."""
    servicer = CounterServicer(Counters(MemoryCounters()))
    async with served(
        lambda server: counter_pb2_grpc.add_CounterServiceServicer_to_server(servicer, server)
    ) as channel:
        stub = counter_pb2_grpc.CounterServiceStub(channel)
        like = counter_pb2.AddLikeRequest(
            video_id=1, account_id=2, idempotency_key="k", fingerprint="f"
        )
        first = await unary(stub.AddLike, like)
        again = await unary(stub.AddLike, like)
        assert (first.stats.likes, first.liked_now, first.replayed) == (1, True, False)
        assert (again.stats.likes, again.liked_now, again.replayed) == (1, True, True)
        viewed = await unary(stub.AddView, counter_pb2.AddViewRequest(video_id=1))
        assert (viewed.likes, viewed.views) == (1, 1)
        counts = await unary(stub.GetStats, counter_pb2.GetStatsRequest(video_ids=[1, 2]))
        assert [(each.likes, each.views) for each in counts.stats] == [(1, 1), (0, 0)]

        like.fingerprint = "another"
        assert await reason_of(unary(stub.AddLike, like)) == (422, "IDEMPOTENCY_KEY_REUSED")


@pytest.mark.parametrize(
    ("enum", "reasons"),
    [
        (
            account_pb2.ErrorReason,
            [ACCOUNT_NOT_FOUND, ACCOUNT_NAME_INVALID, SESSION_INVALID],
        ),
        (
            video_pb2.ErrorReason,
            [
                *(VIDEO_NOT_FOUND, CURSOR_INVALID, VIDEO_TITLE_INVALID, VIDEO_DURATION_INVALID),
                *(NOT_THE_AUTHOR, EDIT_CONFLICT, IDEMPOTENCY_KEY_INVALID, IDEMPOTENCY_KEY_REUSED),
            ],
        ),
        (comment_pb2.ErrorReason, [COMMENT_TEXT_INVALID, CURSOR_INVALID]),
        (
            counter_pb2.ErrorReason,
            [IDEMPOTENCY_KEY_REUSED, IDEMPOTENCY_KEY_IN_FLIGHT, IDEMPOTENCY_KEY_INVALID],
        ),
    ],
)
def test_reasons_are_declared_in_the_contract(
    enum: type[account_pb2.ErrorReason], reasons: list[str]
) -> None:
    """Every reason that a service makes is one its contract names."""
    assert set(reasons) <= set(enum.keys())
