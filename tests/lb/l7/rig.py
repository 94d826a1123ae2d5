"""What the proxy's tests stand on: backends with real sockets, a proxy in front, a raw client."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from kit.listen import bind
from kit.recorder import RequestSummary
from lb.l7.client import ClientConnection
from lb.l7.proxy import Proxy
from lb.l7.server import L7Server
from lb.l7.settings import ProxySettings
from resilience.switches import FixedSwitches
from tests.ports import free_port

WAIT_S = 10.0  # the bound of every wait

Handler = Callable[["Backend", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Where(NamedTuple):
    """An endpoint of the registry."""

    instance: str
    host: str
    port: int


class Backend:
    """A backend that records what it receives and answers as its handler says."""

    def __init__(self, name: str, handler: Handler) -> None:
        self.name = name
        self.handler = handler
        self.received = bytearray()
        self.connections = 0
        self.open_connections = 0
        self.requests = 0
        self.port = free_port()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def where(self) -> Where:
        """Return its place in the registry."""
        return Where(self.name, "127.0.0.1", self.port)

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def stop(self) -> None:
        """Close the listening socket and every connection."""
        if self._server is not None:
            self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self.open_connections += 1
        try:
            await self.handler(self, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.open_connections -= 1
            self._tasks.discard(task)
            writer.transport.abort()

    async def read_head(self, reader: asyncio.StreamReader) -> bytes:
        """Read one request head, and record it."""
        head = await reader.readuntil(b"\r\n\r\n")
        self.received += head
        self.requests += 1
        return head


def answering(answer: bytes) -> Handler:
    """Make a handler that answers every bodiless request with these bytes."""

    async def handle(
        backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while True:
            await backend.read_head(reader)
            writer.write(answer)

    return handle


async def swallowing(
    backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Read and record everything, answer nothing."""
    while data := await reader.read(64 * 1024):
        backend.received += data


def ok(body: bytes = b"hello", *lines: bytes) -> bytes:
    """Return a 200 with this body and these header lines."""
    extra = b"".join(line + b"\r\n" for line in lines)
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n%b\r\n%b" % (len(body), extra, body)


class Answer(NamedTuple):
    """One parsed answer."""

    status: int
    headers: dict[str, str]
    body: bytes
    head: bytes


class RawClient:
    """Bytes in, bytes out, and just enough HTTP to read an answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        """Write bytes as they are."""
        self.writer.write(data)

    def get(self, path: str = "/", *lines: str, method: str = "GET") -> None:
        """Write one request without a body."""
        extra = "".join(line + "\r\n" for line in lines)
        self.send(f"{method} {path} HTTP/1.1\r\nHost: lab\r\n{extra}\r\n".encode())

    async def answer(self, *, is_head: bool = False) -> Answer:
        """Read one answer."""
        async with asyncio.timeout(WAIT_S):
            head = await self.reader.readuntil(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            status = int(lines[0].split()[1])
            headers: dict[str, str] = {}
            for line in lines[1:-2]:
                name, _, value = line.partition(":")
                key = name.lower()
                headers[key] = (
                    f"{headers[key]}, {value.strip()}" if key in headers else value.strip()
                )
            if is_head or status in (204, 304) or status < 200:
                return Answer(status, headers, b"", head)
            return Answer(status, headers, await self._body(headers), head)

    async def rest(self) -> bytes:
        """Read until the proxy closes; a reset counts as closing."""
        async with asyncio.timeout(WAIT_S):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""

    async def _body(self, headers: dict[str, str]) -> bytes:
        if "content-length" in headers:
            return await self.reader.readexactly(int(headers["content-length"]))
        if headers.get("transfer-encoding") == "chunked":
            return await self._chunks()
        return await self.reader.read()

    async def _chunks(self) -> bytes:
        body = b""
        while True:
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            if size == 0:
                self.trailers = b""
                while (line := await self.reader.readuntil(b"\r\n")) != b"\r\n":
                    self.trailers += line
                return body
            body += await self.reader.readexactly(size)
            await self.reader.readexactly(2)


class Rig:
    """A proxy before some backends."""

    def __init__(self, backends: Sequence[Backend], switches: FixedSwitches) -> None:
        self.backends = backends
        self.switches = switches
        self.summaries: list[RequestSummary] = []
        self.proxy = Proxy(switches, self.summaries.append, rng=random.Random(1))
        self.server = L7Server(self.proxy)
        self.port = free_port()
        self._clients: list[RawClient] = []

    async def client(self) -> RawClient:
        """Connect."""
        client = RawClient(*await asyncio.open_connection("127.0.0.1", self.port))
        self._clients.append(client)
        return client

    async def ask(self, path: str = "/", *lines: str, method: str = "GET") -> Answer:
        """Send one request on a connection of its own and return the answer."""
        client = await self.client()
        client.get(path, *lines, method=method)
        return await client.answer(is_head=method == "HEAD")

    def close_clients(self) -> None:
        """Close what the test has opened."""
        for client in self._clients:
            client.writer.transport.abort()


@asynccontextmanager
async def rig(
    *handlers: Handler,
    switches: FixedSwitches | None = None,
    route_budget_s: float | None = None,
) -> AsyncIterator[Rig]:
    """Run a proxy before one backend per handler."""
    backends = [Backend(f"gateway.{i}", handler) for i, handler in enumerate(handlers, 1)]
    for backend in backends:
        await backend.start()
    made = Rig(backends, switches or FixedSwitches())
    if route_budget_s is not None:
        made.proxy.settings = ProxySettings(route_budget_s=route_budget_s)
    made.proxy.set_endpoints([backend.where for backend in backends])
    await made.server.start(bind("127.0.0.1", made.port))
    try:
        yield made
    finally:
        made.close_clients()
        made.server.close()
        for backend in backends:
            await backend.stop()


def http1_clients(lab: Rig) -> list[ClientConnection]:
    """Return the connections that speak HTTP/1.1."""
    return [one for one in lab.server._clients if isinstance(one, ClientConnection)]


async def until(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds; TimeoutError after the bound."""
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110  what is watched knows nothing of tests
            await asyncio.sleep(0.005)
