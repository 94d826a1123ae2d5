"""One turn of the event loop: everything for a client or a node leaves in one write at its end.

Why: a system call costs more than the work on a command. All that one turn's reads brought is cut,
routed and answered first; then each node and each client that has something gets one write.
"""

import asyncio
from typing import Protocol


class Flushed(Protocol):
    """A connection with something to write."""

    def flush(self) -> None:
        """Write it."""


class Turn:
    """Who has something to write at the end of this turn."""

    __slots__ = ("_loop", "_waiting")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: list[Flushed] = []

    def add(self, one: Flushed) -> None:
        """Note one; it must not be noted twice before it was flushed."""
        if not self._waiting:
            self._loop.call_soon(self._flush_all)
        self._waiting.append(one)

    def _flush_all(self) -> None:
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.flush()
