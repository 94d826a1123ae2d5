"""The pages: a video with what belongs to it, and the home page (back end for front ends).

A page has one essential part, without which there is no page, and optional ones, which are left
out when they are late or fail; ``degraded`` names them. With the policy ``fallback`` on they are
shown as they were last time; ``stale`` names those. All parts that can start at once do.
Source: design.md, "Context crosses every hop" (essential: the video; optional: author, comments,
stats).
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import TypeVar

from gateway.cached import Cached
from gateway.clients import Clients
from gateway.fanout import Missing, attempt
from gateway.models import Account, CommentList, Home, HomeVideo, Page, Stats, Video
from gateway.parts import Parts, Shown
from resilience.errors import ServiceError
from resilience.fallback_sources import Answer

PAGE_COMMENTS = 20  # comments on a video's page; the rest is on their own route
HOME_VIDEOS = 10

T = TypeVar("T")


class Pages:
    """Put pages together from several services.

    Args:
        clients: The services.
        parts: Asks for what a page can do without.
    """

    def __init__(self, clients: Clients, parts: Parts) -> None:
        self._clients = clients
        self._parts = parts

    async def video(self, video_id: int) -> Cached[Page]:
        """Build a video's page; the video is the part of it that a cache may give.

        Raises:
            ServiceError: Whatever the essential part raises; never for an optional one.
        """
        author: asyncio.Task[Answer[Account] | Missing] | None = None
        async with asyncio.TaskGroup() as group:
            comments = group.create_task(
                self._parts.get(
                    "comments",
                    partial(self._clients.comments, video_id, "", PAGE_COMMENTS),
                    video_id,
                )
            )
            stats = group.create_task(
                self._parts.get("stats", partial(self._clients.stats, video_id), video_id)
            )
            video = await attempt(self._clients.video(video_id))
            if isinstance(video, ServiceError):
                comments.cancel()
                stats.cancel()
            else:
                author_id = video.value.author_id
                author_call = partial(self._clients.account, author_id)
                author = group.create_task(self._parts.get("author", author_call, author_id))
        if isinstance(video, ServiceError):
            raise video
        assert author is not None
        shown = self._parts.show(
            {"author": author.result(), "comments": comments.result(), "stats": stats.result()}
        )
        page = _page(video.value, author.result(), comments.result(), stats.result(), shown)
        return Cached(page, video.lookup, video.age_s, shown.decisions)

    async def home(self) -> Cached[Home]:
        """Build the home page: the feed, and its authors' names as the optional part.

        Raises:
            ServiceError: Whatever the feed raises.
        """
        feed = await self._clients.feed(HOME_VIDEOS)
        home, decisions = await self._home_of(feed.value)
        return Cached(home, feed.lookup, feed.age_s, decisions)

    async def _home_of(self, videos: Sequence[Video]) -> tuple[Home, tuple[str, ...]]:
        author_ids = sorted({each.author_id for each in videos})
        if not author_ids:
            return Home(videos=[], degraded=[]), ()
        # A task, since a part sets a Context of its own.
        async with asyncio.TaskGroup() as group:
            task = group.create_task(
                self._parts.get(
                    "authors", partial(self._clients.accounts, author_ids), tuple(author_ids)
                )
            )
        authors = task.result()
        shown = self._parts.show({"authors": authors})
        listed = _home_videos(videos, () if isinstance(authors, Missing) else authors.value)
        home = Home(listed, shown.degraded, shown.stale, shown.stale_age_s)
        return home, shown.decisions


def _page(
    video: Video,
    author: Answer[Account] | Missing,
    comments: Answer[CommentList] | Missing,
    stats: Answer[Stats] | Missing,
    shown: Shown,
) -> Page:
    return Page(
        video=video,
        author=_value(author),
        comments=_value(comments),
        stats=_value(stats),
        degraded=shown.degraded,
        stale=shown.stale,
        stale_age_s=shown.stale_age_s,
    )


def _value(found: Answer[T] | Missing) -> T | None:
    return None if isinstance(found, Missing) else found.value


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
