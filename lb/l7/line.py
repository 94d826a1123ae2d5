"""The line in front of the backends: ``Rooms`` on the event loop.

Whoever waits is called at the end of the turn in which a request ended, not within it: what ends a
request is in the middle of its own business.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from lb.policy.rooms import Rooms


class Waiter(Protocol):
    """Who stands in line for a backend."""

    def on_room(self, now_s: float) -> None:
        """Try: there may be room, or nobody left to wait for."""


class Line(Rooms[Waiter]):
    """Limits of backends, and who waits for one that has room.

    Args:
        candidates: Tells who may be picked now, were they not full.
    """

    def __init__(self, candidates: Callable[[], Sequence[str]]) -> None:
        super().__init__()
        self._candidates = candidates
        self._is_calling_soon = False

    def stand(self, waiter: Waiter) -> bool:
        """Stand in line; False when it is full. There may be room already, for a newcomer."""
        is_in_line = self.wait(waiter)
        self.call()
        return is_in_line

    def would_help(self, tried: Sequence[str]) -> bool:
        """Whether a backend would be picked, other than these, if only it had room."""
        if not self.full:
            return False
        return not self.full.intersection(self._candidates()).issubset(tried)

    def call(self) -> None:
        """Look at the end of this turn whether there is room for those in line."""
        if self.waiting and not self._is_calling_soon:
            self._is_calling_soon = True
            asyncio.get_running_loop().call_soon(self._call)

    def _call(self) -> None:
        self._is_calling_soon = False
        now_s = time.monotonic()
        for _ in range(self.waiting):  # once each: who can't be served stands in line again
            if not self.waiting or not self.is_any_free(self._candidates()):
                break
            self.take_first().on_room(now_s)
