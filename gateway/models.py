"""What the gateway takes and gives as JSON; ``/docs`` is generated from these.

Bodies taken forbid unknown fields: a misspelt field is an error that is seen, not one that is lost.
Every list names its continuation ``next_cursor``, empty on the last page. An answer made of several
parts always carries ``degraded``, the names of the parts that didn't come in time; their fields are
null.
"""

from typing import Annotated

import msgspec
from msgspec import Meta


class SessionRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who opens a session."""

    name: Annotated[str, Meta(description="3 to 32 of a-z, 0-9 and _; made when it is new")]


class VideoRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A video to publish."""

    title: Annotated[str, Meta(description="1 to 100 characters, one line")]
    duration_s: Annotated[int, Meta(ge=1, le=43_200, description="Length; at most 12 hours")]


class VideoEdit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to change about a video; only its author may."""

    title: Annotated[str, Meta(description="1 to 100 characters, one line")]


class CommentRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What somebody says under a video."""

    text: Annotated[str, Meta(description="1 to 1,000 characters")]


class LikeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A like; the body may be left out."""

    source: Annotated[
        str, Meta(max_length=32, description="Where it was clicked, e.g. player; may be empty")
    ] = ""


class Account(msgspec.Struct, frozen=True):
    """Somebody."""

    id: int
    name: str


class Session(msgspec.Struct, frozen=True):
    """An open session; send the token as ``Authorization: Bearer``."""

    token: str
    account: Account
    expires_in_s: int


class Video(msgspec.Struct, frozen=True):
    """One video."""

    id: int
    title: str
    author_id: int
    duration_s: int
    published_unix_s: int


class VideoList(msgspec.Struct, frozen=True):
    """One page of videos, newest first."""

    videos: list[Video]
    next_cursor: str


class HomeVideo(msgspec.Struct, frozen=True):
    """One video of the home page; ``author`` is null when the names didn't come in time."""

    id: int
    title: str
    author_id: int
    author: str | None
    duration_s: int
    published_unix_s: int


class Home(msgspec.Struct, frozen=True, omit_defaults=True):
    """The home page; ``stale`` and ``stale_age_s`` as in a video's page."""

    videos: list[HomeVideo]
    degraded: list[str]
    stale: list[str] = []
    stale_age_s: dict[str, float] = {}


class Comment(msgspec.Struct, frozen=True):
    """One comment; ids are unique within a video."""

    id: int
    video_id: int
    author_id: int
    text: str
    created_unix_s: int


class CommentList(msgspec.Struct, frozen=True):
    """One page of comments, newest first, and how many there are in all."""

    comments: list[Comment]
    next_cursor: str
    total: int


class Stats(msgspec.Struct, frozen=True):
    """How often a video was liked and viewed."""

    likes: int
    views: int


class Page(msgspec.Struct, frozen=True, omit_defaults=True):
    """A video's page: the video, and what else came in time.

    ``stale`` names parts that are shown as they were ``stale_age_s`` seconds ago, since their call
    failed; both are left out when there are none.
    """

    video: Video
    author: Account | None
    comments: CommentList | None
    stats: Stats | None
    degraded: list[str]
    stale: list[str] = []
    stale_age_s: dict[str, float] = {}


class Like(msgspec.Struct, frozen=True):
    """A like's answer.

    Args:
        liked_now: False when the account had liked the video before.
        replayed: Whether this is the kept answer of an earlier request with the same key.
    """

    video_id: int
    likes: int
    views: int
    liked_now: bool
    replayed: bool


class FrontDoor(msgspec.Struct, frozen=True):
    """Where to go from here."""

    name: str
    links: dict[str, str]


class Problem(msgspec.Struct, frozen=True):
    """What went wrong (RFC 9457); ``reason`` is for programs, ``detail`` for people."""

    type: str
    title: str
    status: int
    detail: str
    reason: str
