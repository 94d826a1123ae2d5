"""Active checks: ask each backend whether it is ready, on a connection kept for that.

A check is missed when the answer is not 2xx, or doesn't come in time. One that can't be answered
at all (refused, reset) counts as missed too: only requests mark a backend at once.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

import httptools

from lb.endpoints import Endpoint
from lb.l7.settings import CHECK_INTERVAL_S, CHECK_PATH, CHECK_TIMEOUT_S
from lb.policy.balancer import Balancer
from resilience.policy.contract import Mode

# What a check may end with; TimeoutError is an OSError, and a 101 is an exception of its own.
_NO_ANSWER = (OSError, httptools.HttpParserError, httptools.HttpParserUpgrade)


class _Answer:
    """Parse one answer to a check."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self.is_complete = False
        self._is_ok = False
        self._keeps_alive = False

    def on_headers_complete(self) -> None:
        self._is_ok = 200 <= self._parser.get_status_code() < 300
        self._keeps_alive = self._parser.should_keep_alive()

    def on_message_complete(self) -> None:
        self.is_complete = True

    async def read(self, reader: asyncio.StreamReader) -> tuple[bool, bool]:
        """Return whether the answer was 2xx, and whether the connection may be kept."""
        while not self.is_complete:
            data = await reader.read(16 * 1024)
            if not data:
                raise ConnectionResetError("closed before the answer was complete")
            self._parser.feed_data(data)
        return self._is_ok, self._keeps_alive


class Checker:
    """Check one endpoint again and again.

    Args:
        endpoint: Whom.
        path: What to ask for.
        timeout_s: A check without an answer by then is missed.
    """

    def __init__(
        self, endpoint: Endpoint, *, path: str = CHECK_PATH, timeout_s: float = CHECK_TIMEOUT_S
    ) -> None:
        self.endpoint = endpoint
        self._timeout_s = timeout_s
        self._request = (
            f"GET {path} HTTP/1.1\r\nhost: {endpoint.host}:{endpoint.port}\r\n"
            "user-agent: squall-l7-check\r\n\r\n"
        ).encode()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def check(self) -> bool:
        """Ask once."""
        was_kept = self._streams is not None
        try:
            async with asyncio.timeout(self._timeout_s):
                try:
                    return await self._ask()
                except _NO_ANSWER:
                    self.close()
                    if not was_kept:
                        return False
                    return await self._ask()  # a kept connection may have been closed as idle
        except _NO_ANSWER:
            self.close()
            return False

    def close(self) -> None:
        """Drop the connection."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None

    async def _ask(self) -> bool:
        if self._streams is not None and self._streams[1].is_closing():
            self.close()  # reset while it was idle; uvloop would raise a RuntimeError at writing
        if self._streams is None:
            self._streams = await asyncio.open_connection(self.endpoint.host, self.endpoint.port)
        reader, writer = self._streams
        writer.write(self._request)
        ok, keeps_alive = await _Answer().read(reader)
        if not keeps_alive:
            self.close()
        return ok


class Checks:
    """Check every endpoint of the registry, and tell the balancer.

    Args:
        balancer: Who is told.
        mode: Position of the switch ``checks``; off sends none.
        interval_s: From one check of an endpoint to the next.
        path: What to ask for.
    """

    def __init__(
        self,
        balancer: Balancer,
        mode: Callable[[str], Mode],
        *,
        interval_s: float = CHECK_INTERVAL_S,
        path: str = CHECK_PATH,
    ) -> None:
        self._path = path
        self._balancer = balancer
        self._mode = mode
        self._interval_s = interval_s
        self._tasks: dict[tuple[str, str, int], asyncio.Task[None]] = {}

    def set_endpoints(self, endpoints: Sequence[Endpoint]) -> None:
        """Begin with new ones, end with those that left."""
        wanted = {(one.instance, one.host, one.port): one for one in endpoints}
        for key in tuple(self._tasks):
            if key not in wanted:
                self._tasks.pop(key).cancel()
        loop = asyncio.get_running_loop()
        for key, endpoint in wanted.items():
            if key not in self._tasks:
                self._tasks[key] = loop.create_task(self._watch(endpoint))

    async def close(self) -> None:
        """End all checks."""
        tasks = tuple(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self, endpoint: Endpoint) -> None:
        checker = Checker(endpoint, path=self._path)
        try:
            while True:
                began_s = time.monotonic()
                if self._mode("checks") is not Mode.OFF:
                    ok = await checker.check()
                    self._balancer.on_check(endpoint.instance, ok, time.monotonic())
                spent_s = time.monotonic() - began_s
                await asyncio.sleep(max(0.0, self._interval_s - spent_s))
        finally:
            checker.close()
