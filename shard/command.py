"""A command on its way over a connection, and what a connection may take of them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from shard.policy.attempt import Failure
from shard.resp import Answer

DEFAULT_CONNECT_TIMEOUT_S = 0.3  # the lab's checks: a backend gets 300 ms
DEFAULT_REPLY_TIMEOUT_S = 1.0  # the node timeout: a node silent so long is failed over anyway
DEFAULT_MAX_IN_FLIGHT = 1024  # Envoy: 1,024 requests per upstream cluster
# A value may have 512 MiB (valkey: proto-max-bulk-len); a client that lets one node's word take as
# much has no bound of its own. In memory a reply of tiny elements takes some 20 times its bytes.
DEFAULT_MAX_REPLY_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """What one connection may take.

    Args:
        connect_timeout_s: For the TCP handshake and the first reply, seconds, > 0.
        reply_timeout_s: Oldest reply outstanding before the connection is closed, seconds, > 0.
        max_in_flight: Commands queued or unanswered, > 0.
        max_reply_bytes: One reply on the wire, give or take one read; a longer one closes the
            connection. > 0.
    """

    connect_timeout_s: float = DEFAULT_CONNECT_TIMEOUT_S
    reply_timeout_s: float = DEFAULT_REPLY_TIMEOUT_S
    max_in_flight: int = DEFAULT_MAX_IN_FLIGHT
    max_reply_bytes: int = DEFAULT_MAX_REPLY_BYTES


class Command:
    """A packed command on its way; ``future`` gets its answer.

    Args:
        payload: RESP bytes, as ``shard.resp.pack`` makes them.
        future: Resolved with the answer; a done future means nobody waits any more.
        deadline_s: Absolute monotonic seconds, or None.
        leaders: Commands that leave directly before it, in one write with it, or not at all:
            ASKING, or MULTI and what is queued behind it. Each has its own answer.
    """

    __slots__ = ("deadline_s", "followers", "future", "leaders", "payload", "sent_s")

    def __init__(
        self,
        payload: bytes,
        future: asyncio.Future[Answer],
        deadline_s: float | None,
        leaders: "Sequence[Command]" = (),
    ) -> None:
        self.payload = payload
        self.future = future
        self.deadline_s = deadline_s
        self.leaders = leaders
        self.sent_s: float | None = None
        self.followers: list[Command] | None = None

    def follow(self, future: asyncio.Future[Answer], deadline_s: float | None) -> None:
        """Let another future have this command's answer too, with a deadline of its own."""
        if self.followers is None:
            self.followers = []
        self.followers.append(Command(b"", future, deadline_s))

    def answer(self, answer: Answer) -> bool:
        """Hand the answer to whoever still waits; False when the command's own future was done."""
        if self.followers is not None:
            for follower in self.followers:
                follower.answer(answer)
        if self.future.done():
            return False
        self.future.set_result(answer)
        return True

    def expire(self, now_s: float) -> None:
        """Fail what is past its deadline; the command stays where it is in the queue."""
        if self.deadline_s is not None and now_s >= self.deadline_s and not self.future.done():
            sent = self.sent_s is not None
            self.future.set_result(Failure.OVERDUE if sent else Failure.EXPIRED)
        if self.followers is not None:
            for follower in self.followers:
                follower.sent_s = self.sent_s
                follower.expire(now_s)
