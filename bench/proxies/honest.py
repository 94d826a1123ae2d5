"""Honest clients: requests on a schedule, whatever became of those before, on kept connections.

Latency counts from when a request was due, so that a proxy that stands still for a second shows it
in every request of that second. One that finds no free connection is unsent, and never delayed.
Source: wrk2's constant rate (giltene/wrk2: README, "coordinated omission").
"""

import asyncio
import math
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import NamedTuple

from bench.limiters.processes import HOST

CONNECTIONS = 64
ANSWER_LIMIT_S = 5.0
_REQUEST = b"GET /small HTTP/1.1\r\nHost: bench\r\n\r\n"

Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Window(NamedTuple):
    """What some seconds of requests saw.

    Args:
        latencies_s: Of those answered, from when they were due.
        failed: Without an answer 200.
        unsent: That found no free connection.
    """

    latencies_s: Sequence[float]
    failed: int
    unsent: int

    @property
    def p50_s(self) -> float:
        """The median."""
        return quantile(self.latencies_s, 0.50)

    @property
    def p99_s(self) -> float:
        """The 99th percentile."""
        return quantile(self.latencies_s, 0.99)


def quantile(values: Sequence[float], q: float) -> float:
    """Return a value that at least a share ``q`` of them is not above; inf without any."""
    if not values:
        return math.inf
    return sorted(values)[max(0, math.ceil(q * len(values)) - 1)]


class Honest:
    """Clients with kept connections to one port; an async context manager.

    Args:
        port: Where to.
        rate: Requests a second, > 0.
    """

    def __init__(self, port: int, rate: float) -> None:
        self._port = port
        self._rate = rate
        self._free: list[Pair] = []
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "Honest":
        for _ in range(CONNECTIONS):
            self._free.append(await self._connect())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def window(self, seconds: float) -> Window:
        """Send for so long, and wait for the last answers."""
        loop = asyncio.get_running_loop()
        begin_s = loop.time()
        asked: list[asyncio.Task[float | None]] = []
        unsent = 0
        for number in range(int(seconds * self._rate)):
            due_s = begin_s + number / self._rate
            if (left_s := due_s - loop.time()) > 0:
                await asyncio.sleep(left_s)
            if self._free:
                asked.append(loop.create_task(self._ask(self._free.pop(), due_s)))
            else:
                unsent += 1
        took = [one for one in await asyncio.gather(*asked) if one is not None]
        return Window(took, len(asked) - len(took), unsent)

    async def _ask(self, pair: Pair, due_s: float) -> float | None:
        reader, writer = pair
        try:
            async with asyncio.timeout(ANSWER_LIMIT_S):
                writer.write(_REQUEST)
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                await reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError):
            writer.transport.abort()
            self._free.append(await self._connect())
            return None
        took_s = asyncio.get_running_loop().time() - due_s
        self._free.append(pair)
        return took_s if b" 200 " in head[:15] else None

    async def _connect(self) -> Pair:
        reader, writer = await asyncio.open_connection(HOST, self._port)
        self._stack.callback(lambda: writer.transport.abort())
        return reader, writer
