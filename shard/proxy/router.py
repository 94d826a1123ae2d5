"""What the proxy's front asks of what is behind it, and the texts of failures.

Two routers: ``shard.proxy.store`` (a cluster says who owns a key) and ``shard.proxy.cache`` (the
ring does). A session knows neither.
"""

from typing import Protocol

from shard.policy.attempt import Stop, Work
from shard.policy.durability import WriteStatus
from shard.proxy.request import Request

SAFE = "not executed, trying again is safe"
UNSAFE = "it may have been executed"


class Router(Protocol):
    """Brings requests to nodes."""

    has_blocks: bool  # whether MULTI … EXEC can be had

    def place_of(self, key: bytes) -> int:
        """Return what keys of one command must share: a slot, or a node's number."""

    def places(self) -> list[int]:
        """Return a place for each node that serves keys: a command for all goes to each."""

    def send(self, request: Request) -> None:
        """Bring it to its node, or settle it with an error; never later than its deadline."""

    def sweep(self, now_s: float) -> None:
        """See to what waits: called every few hundredths of a second."""

    def start(self) -> None:
        """Begin to look at the nodes."""

    async def close(self) -> None:
        """End every connection."""

    @property
    def is_ready(self) -> bool:
        """Whether there is a node to send to."""

    def figures(self) -> dict[str, float]:
        """Return what metrics tell, by name."""


def failed(stop: Stop, work: Work, where: object) -> bytes:
    """Say as an error reply why there is no answer, and what that means."""
    is_safe = work is Work.READ or stop.status is WriteStatus.REFUSED
    text = f"ERR {stop.reason}: {where}: {stop.message}; {SAFE if is_safe else UNSAFE}"
    return error(text)


def error(text: str) -> bytes:
    """Make an error reply of one line."""
    line = text.replace("\r", " ").replace("\n", " ")
    return b"-" + line.encode("utf-8", "backslashreplace") + b"\r\n"
