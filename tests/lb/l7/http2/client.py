"""An HTTP/2 client made of the library's other side: requests, answers, and frames by hand."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    DataReceived,
    Event,
    InformationalResponseReceived,
    PingAckReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)

from tests.lb.l7.rig import WAIT_S, Rig

GET = ((":method", "GET"), (":scheme", "http"), (":authority", "lab"), (":path", "/"))
Fields = Sequence[tuple[str, str]]
ACCEPTED_CODINGS = "te"  # codespell:ignore te
_GOAWAY = 7


class Goaway(NamedTuple):
    """What the proxy said before it went."""

    last: int
    code: int
    reason: str


def request(method: str = "GET", path: str = "/", *more: tuple[str, str]) -> Fields:
    """Return a request's fields."""
    first = ((":method", method), (":scheme", "http"), (":authority", "lab"), (":path", path))
    return (*first, *more)


@dataclass
class Seen:
    """What came on one stream."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    interim: list[int] = field(default_factory=list)
    received: bytearray = field(default_factory=bytearray)
    trailers: dict[str, str] = field(default_factory=dict)
    is_ended: bool = False
    reset: int | None = None

    @property
    def body(self) -> bytes:
        """What came of the answer's body."""
        return bytes(self.received)

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes."""
        return self.is_ended or self.reset is not None


class H2Client:
    """One connection; ``h2`` may be told to send whatever there is, ``send`` writes bytes.

    Args:
        reader: What the proxy says.
        writer: To the proxy.
        refunds: Whether what comes is given back to the proxy's windows.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, refunds: bool = True
    ) -> None:
        self.writer = writer
        self.h2 = H2Connection(
            H2Configuration(
                client_side=True,
                header_encoding=None,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self.streams: dict[int, Seen] = {}
        self.goaways: list[Goaway] = []
        self.pongs: list[bytes] = []
        self.is_closed = False
        self._reader = reader
        self._held = b""
        self._refunds = refunds
        self._news = asyncio.Event()
        self.h2.initiate_connection()
        self.flush()
        self._task = asyncio.create_task(self._read())

    def flush(self) -> None:
        """Write what the library has to say."""
        self.writer.write(self.h2.data_to_send())

    def send(self, data: bytes) -> None:
        """Write bytes as they are, behind what the library had to say."""
        self.flush()
        self.writer.write(data)

    def open(self, fields: Fields = GET, *, ends: bool = True) -> int:
        """Open a stream; returns its number."""
        number = self.h2.get_next_available_stream_id()
        self.streams[number] = Seen()
        self.h2.send_headers(number, fields, end_stream=ends)
        self.flush()
        return number

    async def send_body(self, number: int, body: bytes, *, ends: bool = True) -> None:
        """Send a body as the windows let it."""
        at = 0
        while at < len(body):
            await self.until(lambda: self.room(number) > 0)
            piece = body[at : at + self.room(number)]
            at += len(piece)
            self.h2.send_data(number, piece, end_stream=ends and at == len(body))
            self.flush()

    def room(self, number: int) -> int:
        """Bytes that may be sent in one frame now."""
        return min(self.h2.local_flow_control_window(number), self.h2.max_outbound_frame_size)

    async def ask(self, fields: Fields = GET, body: bytes | None = None) -> Seen:
        """Send a request and return its whole answer."""
        number = self.open(fields, ends=body is None)
        if body is not None:
            await self.send_body(number, body)
        return await self.answer(number)

    async def answer(self, number: int) -> Seen:
        """Wait until nothing more comes on a stream."""
        seen = self.streams[number]
        await self.until(lambda: seen.is_over or self.is_closed)
        return seen

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until what has come fulfils a condition; TimeoutError after the bound."""
        async with asyncio.timeout(WAIT_S):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def until_closed(self) -> None:
        """Wait until the proxy has closed the connection."""
        await self.until(lambda: self.is_closed)

    async def close(self) -> None:
        """Go away."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self.writer.transport.abort()

    async def _read(self) -> None:
        try:
            while data := await self._reader.read(64 * 1024):
                self._take(data)
                self.flush()
                self._news.set()
        except ConnectionError:
            pass
        finally:
            self.is_closed = True
            self._news.set()

    def _take(self, data: bytes) -> None:
        """Take frame by frame; what is under way outlives a GOAWAY, which the library forbids."""
        self._held += data
        while len(held := self._held) >= 9:
            end = 9 + int.from_bytes(held[:3], "big")
            if len(held) < end:
                return
            frame, self._held = held[:end], held[end:]
            if frame[3] == _GOAWAY:
                last, code = (int.from_bytes(frame[at : at + 4], "big") for at in (9, 13))
                self.goaways.append(Goaway(last, code, frame[17:].decode()))
                continue
            for event in self.h2.receive_data(frame):
                self._on_event(event)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, PingAckReceived):
            self.pongs.append(bytes(event.ping_data))
        elif (seen := self.streams.get(getattr(event, "stream_id", 0) or 0)) is not None:
            self._on_stream(seen, event)

    def _on_stream(self, seen: Seen, event: Event) -> None:
        if isinstance(event, InformationalResponseReceived):
            seen.interim.append(int(_text(event.headers)[":status"]))
        elif isinstance(event, ResponseReceived):
            seen.headers = _text(event.headers)
            seen.status = int(seen.headers[":status"])
        elif isinstance(event, DataReceived):
            seen.received += event.data
            if self._refunds and event.flow_controlled_length:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, TrailersReceived):
            seen.trailers = _text(event.headers)
        elif isinstance(event, StreamEnded):
            seen.is_ended = True
        elif isinstance(event, StreamReset):
            seen.reset = int(event.error_code)


def _text(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in headers}


def is_settled(lab: Rig) -> bool:
    """Whether nothing is in flight towards any backend."""
    return not any(
        value for name, value in lab.proxy.snapshot().items() if name.endswith(".active")
    )


@asynccontextmanager
async def connected(
    lab: Rig, *, refunds: bool = True, port: int | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[H2Client]:
    """Connect to a proxy, speaking HTTP/2 from the first byte."""
    name = None if tls is None else "localhost"
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port or lab.port, ssl=tls, server_hostname=name
    )
    client = H2Client(reader, writer, refunds=refunds)
    try:
        yield client
    finally:
        await client.close()
