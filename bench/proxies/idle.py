"""Memory per idle connection: open many, ask once on each, look at what the proxy grew by.

A connection that has asked once is what a keep-alive client leaves behind; one that never asked
costs a proxy that makes its buffers late nothing at all. Each waits for its answer before the next
asks, so that the proxy needs one connection to the backend and not as many as there are clients.
Not handled: kernel memory (socket buffers), which no process's RSS shows.
"""

import asyncio
from contextlib import AsyncExitStack
from typing import NamedTuple

from bench.proxies.cores import rss_bytes
from kit.errors import LabEnvironmentError
from kit.open_files import SPARE_FILES

IDLE_CONNECTIONS = 2_000
FILES = 2 * IDLE_CONNECTIONS + SPARE_FILES  # of this process and the backend that it may be
ANSWER_LIMIT_S = 30.0  # of all together for each hundred; they take a few milliseconds
WARM_REQUESTS = 50  # a first request makes lists, pools and compiled patterns

_REQUEST = b"GET /small HTTP/1.1\r\nHost: bench\r\n\r\n"
Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Idle(NamedTuple):
    """What idle connections cost.

    Args:
        connections: How many were open.
        before_bytes: The proxy's resident memory without them.
        after_bytes: And with them.
    """

    connections: int
    before_bytes: int
    after_bytes: int

    @property
    def bytes_each(self) -> float:
        """What one costs; 0 when the proxy did not grow."""
        return max(0, self.after_bytes - self.before_bytes) / self.connections


async def measure_idle(pid: int, port: int, connections: int = IDLE_CONNECTIONS) -> Idle:
    """Open the connections to a proxy and return what they cost it.

    Raises:
        LabEnvironmentError: It refused one, or did not answer in time.
    """
    async with AsyncExitStack() as stack:
        try:
            for _ in range(WARM_REQUESTS):
                await _ask(await _open(stack, port))
            before = rss_bytes(pid)
            for done in range(0, connections, 100):
                async with asyncio.timeout(ANSWER_LIMIT_S):
                    for _ in range(min(100, connections - done)):
                        await _ask(await _open(stack, port))
            return Idle(connections, before, rss_bytes(pid))
        except (OSError, asyncio.IncompleteReadError) as error:
            raise LabEnvironmentError(
                f"could not hold {connections} idle connections: {error}; see ulimit -n"
            ) from error


async def _open(stack: AsyncExitStack, port: int) -> Pair:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    # holds the writer itself: one that is collected closes its connection
    stack.callback(lambda: writer.transport.abort())
    return reader, writer


async def _ask(pair: Pair) -> None:
    reader, writer = pair
    writer.write(_REQUEST)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    await reader.readexactly(length)
