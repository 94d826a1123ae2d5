"""Gets an acknowledgement moving that a replica holds back: has its primary send it something.

Why: a replica of valkey 8.1 talks to its primary without TCP_NODELAY. When two ask for its
acknowledgement at once (WAIT or SETSLOT on two connections), it sends the first, and its kernel
keeps the second until the first is confirmed (Nagle); the primary's kernel puts that off by 40 ms,
unless the primary has something to send. So one write in a hundred took 42 ms while slots moved.
Anything that is replicated sets it free. Another WAIT would, too, but has the replica acknowledge
once more, and that one is held back next (measured: p99 tripled without any move). What is
replicated, changes nothing and asks for nothing is FUNCTION RESTORE of no functions.
Source: valkey-io/valkey, pull request 1706 (outgoing connections lose the option, 8.1) and 1763
(they get it again, 9.0); RFC 1122, 4.2.3.2 and 4.2.3.4; valkey: FUNCTION RESTORE, DUMP (a payload
ends with the RDB version, 10 here, which Redis 7 and later read, and a CRC64).
Not handled: a node that is only slow is nudged, too: 83 bytes to its replica and its log; a user
without the right to FUNCTION waits the 40 ms.
"""

import asyncio
from collections.abc import Awaitable, Callable

from shard.connection import Connection
from shard.resp import pack

NUDGE_AFTER_S = 0.001  # a replica confirms within that, unless something is in the way
LONGEST_PAUSE_S = 0.008  # between two of them; the first pause doubles up to it

_NO_FUNCTIONS = bytes.fromhex("0a00 5d9b5c400f7fa2da")
_PAYLOAD = pack(("FUNCTION", "RESTORE", _NO_FUNCTIONS, "APPEND"))


class Nudge:
    """Of one primary; begins when something has waited for its replica for a millisecond.

    Args:
        connect: Opens a connection that nothing else uses, or returns the open one; None when the
            node can't be reached now.
    """

    def __init__(self, connect: Callable[[], Awaitable[Connection | None]]) -> None:
        self.count = 0
        self._connect = connect
        self._waiting = 0
        self._pause_s = NUDGE_AFTER_S
        self._timer: asyncio.TimerHandle | None = None
        self._sending: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Something waits for the replica from now on."""
        self._waiting += 1
        if self._timer is None:
            self._pause_s = NUDGE_AFTER_S
            self._arm()

    def end(self) -> None:
        """It has its answer, or none will come."""
        self._waiting -= 1
        if not self._waiting and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def close(self) -> None:
        """Nudge no more; the connection is closed by whoever opens it."""
        if self._timer is not None:
            self._timer.cancel()
        if self._sending is not None:
            self._sending.cancel()

    def _arm(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._pause_s, self._fire)

    def _fire(self) -> None:
        self._pause_s = min(LONGEST_PAUSE_S, 2 * self._pause_s)
        self._arm()
        if self._sending is None or self._sending.done():
            self._sending = asyncio.get_running_loop().create_task(self._send())

    async def _send(self) -> None:
        connection = await self._connect()
        if connection is not None:
            self.count += 1
            await connection.send(_PAYLOAD, None)  # its answer says nothing new
