"""Hold idle connections: ``python -m bench.proxies.holder PORT COUNT``, a process of its own.

Each asks once, as a browser that keeps its connection does, and then says nothing. When all are
open it prints ``ready``; to each line of standard input it answers how many still are. It ends with
its standard input.
"""

import asyncio
import sys
from typing import cast

import uvloop

from bench.limiters.processes import HOST
from kit.open_files import allow_open_files

AT_ONCE = 64  # connecting at a time: a backlog is no longer than that of a calm server
_REQUEST = b"GET /small HTTP/1.1\r\nHost: bench\r\n\r\n"


class Held(asyncio.Protocol):
    """One connection; ``answered`` is done when its only request has its answer."""

    def __init__(self, answered: asyncio.Future[None], still: set["Held"]) -> None:
        self._answered = answered
        self._still = still
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask once."""
        self.transport = cast(asyncio.Transport, transport)
        self._still.add(self)
        self.transport.write(_REQUEST)

    def data_received(self, data: bytes) -> None:
        """The answer is here; it comes in one piece or is no matter."""
        if not self._answered.done():
            self._answered.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Not held any more."""
        self._still.discard(self)
        if not self._answered.done():
            self._answered.set_exception(exc or ConnectionResetError("closed unanswered"))


async def hold(port: int, count: int) -> None:
    """Open them, say so, and tell how many there are until standard input ends."""
    loop = asyncio.get_running_loop()
    still: set[Held] = set()
    gate = asyncio.Semaphore(AT_ONCE)

    async def open_one() -> None:
        async with gate:
            answered: asyncio.Future[None] = loop.create_future()
            await loop.create_connection(lambda: Held(answered, still), HOST, port)
            await answered

    await asyncio.gather(*(open_one() for _ in range(count)))
    print("ready", flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        print(len(still), flush=True)


if __name__ == "__main__":
    allow_open_files(int(sys.argv[2]) + 64)
    uvloop.run(hold(int(sys.argv[1]), int(sys.argv[2])))
