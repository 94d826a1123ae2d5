"""One command on its way through the proxy: whose it is, what is sent, and until when.

The hot path makes one of these per command and nothing else: no future, no task. Whoever has its
answer, a node's or the proxy's own, calls ``settle`` with the bytes that the client is to get.
"""

from collections.abc import Sequence
from typing import Protocol

from shard.policy.attempt import Work
from shard.policy.commands import Join
from shard.policy.frames import ProtocolError, elements
from shard.policy.split import Part


class Asker(Protocol):
    """Whoever waits for answers in the order of its commands."""

    def answered(self, request: "Request") -> None:
        """Take note that a request of its own has its reply."""


class Request:
    """A command and, in the end, its reply.

    Args:
        asker: Told when it is settled.
        payload: RESP bytes for the node.
        place: The slot of its keys in front of a store; 0 in front of a cache.
        key: The first of its keys.
        work: What a lost reply means.
        deadline_s: Absolute monotonic seconds.
        protocol: RESP 2 or 3, which its reply has to be in.
    """

    __slots__ = (
        "asker",
        "attempt",
        "deadline_s",
        "key",
        "payload",
        "place",
        "protocol",
        "reply",
        "trouble",
        "work",
    )

    def __init__(
        self,
        asker: Asker,
        payload: bytes,
        place: int,
        key: bytes,
        work: Work,
        deadline_s: float,
        protocol: int,
    ) -> None:
        self.asker = asker
        self.payload = payload
        self.place = place
        self.key = key
        self.work = work
        self.deadline_s = deadline_s
        self.protocol = protocol
        self.reply: bytes | None = None
        self.attempt = 0
        self.trouble = ""

    def settle(self, reply: bytes) -> None:
        """Take the reply; a second one is dropped, which came too late."""
        if self.reply is None:
            self.reply = reply
            self.payload = b""
            self.asker.answered(self)

    def leaders(self) -> "Sequence[Request]":
        """Return what has a reply of its own and leaves before it, in the same bytes."""
        return ()


class Block(Request):
    """A transaction: MULTI, what was queued, EXEC; the client gets EXEC's reply.

    Args:
        count: Replies before that of EXEC.
    """

    __slots__ = ("_first_error", "count")

    def __init__(
        self,
        asker: Asker,
        payload: bytes,
        place: int,
        key: bytes,
        deadline_s: float,
        protocol: int,
        count: int,
    ) -> None:
        super().__init__(asker, payload, place, key, Work.WRITE, deadline_s, protocol)
        self.count = count
        self._first_error: bytes | None = None

    def leaders(self) -> Sequence[Request]:
        """Return what hears the replies before EXEC's."""
        self._first_error = None
        return [Inner(self) for _ in range(self.count)]

    def answered(self, request: Request) -> None:
        """Keep the first error among them: it says why EXEC was aborted."""
        reply = request.reply
        if reply is not None and reply[:1] == b"-" and self._first_error is None:
            self._first_error = reply

    @property
    def why_aborted(self) -> bytes | None:
        """The error that kept the node from executing anything."""
        return self._first_error


class Inner(Request):
    """Takes a reply that no client waits for; the proxy itself may."""

    __slots__ = ()

    def __init__(self, asker: Asker) -> None:
        super().__init__(asker, b"", 0, b"", Work.READ, float("inf"), 2)


class _Nobody:
    """Waits for nothing."""

    def answered(self, request: Request) -> None:
        """Do nothing."""


NOBODY = _Nobody()


class Gather:
    """Puts the replies of a split command together and settles the command with the whole.

    Args:
        whole: The client's command.
        parts: As ``split`` cut it.
        join: How replies become one; None: all are alike, the first will do.
    """

    __slots__ = ("_join", "_left", "_parts", "_whole", "requests")

    def __init__(self, whole: Request, parts: Sequence[Part], join: Join | None) -> None:
        self._whole = whole
        self._parts = parts
        self._join = join
        self._left = len(parts)
        self.requests: list[Request] = []

    def answered(self, request: Request) -> None:
        """Count; the last one settles the whole."""
        self._left -= 1
        if self._left == 0:
            self._whole.settle(self._joined([each.reply or b"" for each in self.requests]))

    def _joined(self, replies: Sequence[bytes]) -> bytes:
        errors = [each for each in replies if each[:1] == b"-"]
        if errors:
            return self._failed(errors)
        if self._join is None:
            return replies[0]
        try:
            if self._join is Join.SUM:
                return b":%d\r\n" % sum(int(each[1:-2]) for each in replies)
            return self._listed(replies) if self._join is Join.LIST else b"+OK\r\n"
        except (ProtocolError, ValueError, IndexError):
            return b"-ERR a node's reply to a part of the command has an unknown shape\r\n"

    def _listed(self, replies: Sequence[bytes]) -> bytes:
        found = [b""] * sum(len(part.order) for part in self._parts)
        for part, reply in zip(self._parts, replies, strict=True):
            for number, value in zip(part.order, elements(reply), strict=True):
                found[number] = value
        return b"*%d\r\n%b" % (len(found), b"".join(found))

    def _failed(self, errors: Sequence[bytes]) -> bytes:
        """Hand the first error on; of a write say how many parts were done."""
        done = len(self._parts) - len(errors)
        if self._whole.work is Work.READ or not done:
            return errors[0]
        told = b" (split over %d slots: %d of them are done)\r\n"
        return errors[0][:-2] + told % (len(self._parts), done)
