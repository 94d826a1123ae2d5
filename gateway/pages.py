"""The pages: a video with what belongs to it, and the home page (back end for front ends).

A page has one essential part, without which there is no page, and optional ones, which are left
out when they are late or fail; ``degraded`` names them. All parts that can start at once do.
Source: design.md, "Context crosses every hop" (essential: the video; optional: author, comments,
stats).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from gateway.cached import Cached
from gateway.clients import Clients
from gateway.fanout import Missing, attempt, optional_part
from gateway.models import Account, CommentList, Home, HomeVideo, Page, Stats, Video
from resilience.errors import ServiceError
from resilience.switches import Switches

PAGE_COMMENTS = 20  # comments on a video's page; the rest is on their own route
HOME_VIDEOS = 10

T = TypeVar("T")


class Pages:
    """Put pages together from several services.

    Args:
        clients: The services.
        switches: Says how the policy ``deadline`` stands.
    """

    def __init__(self, clients: Clients, switches: Switches) -> None:
        self._clients = clients
        self._switches = switches

    async def video(self, video_id: int) -> Cached[Page]:
        """Build a video's page; the video is the part of it that a cache may give.

        Raises:
            ServiceError: Whatever the essential part raises; never for an optional one.
        """
        author: asyncio.Task[Account | Missing] | None = None
        async with asyncio.TaskGroup() as group:
            comments = group.create_task(
                self._part("comments", partial(self._clients.comments, video_id, "", PAGE_COMMENTS))
            )
            stats = group.create_task(self._part("stats", partial(self._clients.stats, video_id)))
            video = await attempt(self._clients.video(video_id))
            if isinstance(video, ServiceError):
                comments.cancel()
                stats.cancel()
            else:
                author_call = partial(self._clients.account, video.value.author_id)
                author = group.create_task(self._part("author", author_call))
        if isinstance(video, ServiceError):
            raise video
        assert author is not None
        page = _page(video.value, author.result(), comments.result(), stats.result())
        return Cached(page, video.lookup, video.age_s)

    async def home(self) -> Cached[Home]:
        """Build the home page: the feed, and its authors' names as the optional part.

        Raises:
            ServiceError: Whatever the feed raises.
        """
        feed = await self._clients.feed(HOME_VIDEOS)
        return Cached(await self._home_of(feed.value), feed.lookup, feed.age_s)

    async def _home_of(self, videos: Sequence[Video]) -> Home:
        author_ids = sorted({each.author_id for each in videos})
        if not author_ids:
            return Home(videos=[], degraded=[])
        # A task, since a part sets a Context of its own.
        async with asyncio.TaskGroup() as group:
            task = group.create_task(
                self._part("authors", partial(self._clients.accounts, author_ids))
            )
        authors = task.result()
        if isinstance(authors, Missing):
            return Home(_home_videos(videos, ()), [authors.part])
        return Home(_home_videos(videos, authors), [])

    async def _part(self, part: str, call: Callable[[], Awaitable[T]]) -> T | Missing:
        return await optional_part(part, call, self._switches)


def _page(
    video: Video,
    author: Account | Missing,
    comments: CommentList | Missing,
    stats: Stats | Missing,
) -> Page:
    return Page(
        video=video,
        author=None if isinstance(author, Missing) else author,
        comments=None if isinstance(comments, Missing) else comments,
        stats=None if isinstance(stats, Missing) else stats,
        degraded=[each.part for each in (author, comments, stats) if isinstance(each, Missing)],
    )


def _home_videos(videos: Sequence[Video], authors: Sequence[Account]) -> list[HomeVideo]:
    names = {each.id: each.name for each in authors}
    return [
        HomeVideo(
            id=each.id,
            title=each.title,
            author_id=each.author_id,
            author=names.get(each.author_id),
            duration_s=each.duration_s,
            published_unix_s=each.published_unix_s,
        )
        for each in videos
    ]
