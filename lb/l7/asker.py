"""Who asked: a client's connection as an exchange sees it.

Why apart: an exchange carries a request of any protocol that clients speak; this is all it needs of
them. What becomes a tunnel has to be a connection of its own, so that is asked for separately.
"""

import asyncio
from typing import Protocol


class Client(Protocol):
    """The client's connection, as an exchange sees it."""

    has_room: bool

    def write(self, data: bytes) -> None:
        """Send to the client."""

    def set_body_reading(self, wanted: bool) -> None:
        """Let the client send its body, or let it wait."""

    def on_exchange_done(self, *, keep_alive: bool, broken: bool) -> None:
        """Serve the next request, or end the connection."""


class SwitchingClient(Client, Protocol):
    """A client's connection that may become a tunnel: one that speaks HTTP/1.1."""

    def switch(self, backend: asyncio.Transport, rest: bytes) -> None:
        """Pass everything on from here; ``rest`` is the first of it."""
