"""A client's connection as the server sees it, whichever protocol it speaks, and the other way."""

from typing import Protocol


class Served(Protocol):
    """A connection that is counted, swept and drained."""

    def close_if_idle(self) -> None:
        """Close when nothing is under way, else when that has ended."""

    def sweep(self, now_s: float) -> None:
        """Close what has been idle or closing too long, and send away who is too slow."""

    def abort(self) -> None:
        """Close now."""


class Listener(Protocol):
    """The server, as its connections see it."""

    def admit(self, client: Served, peer: bytes) -> bool:
        """Count a connection in; False when there are too many, of all or of this address."""

    def forget(self, client: Served) -> None:
        """Count it out."""
