"""What a backend's connection needs of others: who takes its answer, and who keeps it when idle.

``ConnT`` is the connection itself, so that whoever carries several attempts can tell them apart.
"""

from typing import Protocol, TypeVar

from lb.l7.headers import Headers
from lb.policy.attempts import Failure

ConnT = TypeVar("ConnT", contravariant=True)


class Carrier(Protocol[ConnT]):
    """The exchange, as a connection sees it; ``conn`` tells which of its attempts it is about."""

    def on_interim(self, conn: ConnT, status: int, headers: Headers) -> None:
        """Take a 1xx answer."""

    def on_head(self, conn: ConnT, status: int, headers: Headers, *, is_chunked: bool) -> None:
        """Take the head of the answer."""

    def on_body(self, data: bytes) -> None:
        """Take a piece of the answer's body."""

    def on_turn_end(self) -> None:
        """Nothing more has come for now."""

    def on_answer_end(self, conn: ConnT, trailers: Headers) -> None:
        """The answer is complete; the connection is no longer its."""

    def on_lost(self, conn: ConnT, failure: Failure) -> None:
        """The connection broke before the end of the answer."""

    def on_upstream_room(self, has_room: bool) -> None:
        """The backend takes more of the body, or has to be waited for."""


class Home(Protocol[ConnT]):
    """The pool, as its connections see it."""

    def take_back(self, conn: ConnT) -> None:
        """Keep a connection that may be used again."""

    def forget(self, conn: ConnT) -> None:
        """Let go of one that is closed."""
