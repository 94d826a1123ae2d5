"""Accept connections that don't begin with HTTP: a PROXY protocol header, a TLS handshake, or both.

Why: what comes first decides who the client is, and belongs to no request. The header is read from
the bare socket before a transport exists, so TLS finds its first byte where it expects it. A plain
listener doesn't come here; one that does costs a task per connection, none per request.
Source: haproxy:doc/proxy-protocol.txt, section 2 (whom to believe, how long to wait).
Not handled: the addresses of TLS peers that a header's TLVs tell; a header behind the handshake.
"""

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Literal, Protocol, cast

from kit.source import DataPath
from kit.source_types import Part
from lb.l7.clients import ClientLimits, client_key
from lb.l7.forwarded import Networks, network_mistakes
from lb.l7.settings import LINGER_S
from lb.proxy_protocol import V2_MAX_BYTES, Address, HeaderError, parse

HEADER_S = 3.0  # section 2: wait 3 s at least, which covers a retransmission
HANDSHAKE_S = 10.0  # as long as a head may take; nginx gives 60 s, Go and HAProxy commonly 10 s
MAX_ARRIVING = 1024  # between accepted and ready; beyond it a new connection is closed at once
BACKLOG = 2048  # the kernel cuts it to net.core.somaxconn
_OUT_OF_FILES_S = 0.1  # after which accept is asked again; a descriptor may be free by then


class ProxyProtocolOptions(Part, frozen=True):
    """Section ``proxy_protocol``.

    Args:
        mode: ``off``: a header is a bad request. ``accept``: whoever is trusted may send one.
            ``require``: only who is trusted may connect, and has to send one.
        trusted: Networks of the proxies in front; nobody else's header is read.
    """

    mode: Literal["off", "accept", "require"] = "off"
    trusted: tuple[str, ...] = ()


def proxy_protocol_mistakes(
    options: ProxyProtocolOptions, at: DataPath
) -> Iterator[tuple[DataPath, str]]:
    """Name each network that is none, and a mode that could believe nobody."""
    yield from network_mistakes(options.trusted, (*at, "trusted"))
    if options.mode != "off" and not options.trusted:
        yield (*at, "mode"), f"mode is {options.mode} and trusted is empty; name who may send it"


NO_HEADERS = ProxyProtocolOptions()
"""A header is a bad request."""


class HandshakeContext(Protocol):
    """Who has the certificates (``lb.l7.tls``)."""

    @property
    def context(self) -> ssl.SSLContext:
        """What a handshake that begins now uses."""


class Arrivals:
    """One listener whose connections begin with more than HTTP.

    Args:
        serve: Makes what serves a connection, given who the client is when a header told it.
        options: Whose header is read.
        tls: Certificates; None: no TLS.
        limits: How many of one address may be arriving; who is trusted to send a header speaks for
            many, and isn't counted. None: no limit.
    """

    def __init__(
        self,
        serve: Callable[[Address | None], asyncio.Protocol],
        options: ProxyProtocolOptions,
        tls: HandshakeContext | None = None,
        limits: ClientLimits | None = None,
    ) -> None:
        self._serve = serve
        self._mode = options.mode
        self._trusted = Networks(options.trusted)
        self._tls = tls
        self._accepting: asyncio.Task[None] | None = None
        self._limits = limits
        self._arriving: dict[asyncio.Task[None], str] = {}  # and what its address is counted under
        self._per_client: Counter[str] = Counter()
        self.headers = 0
        self.refused_headers = 0
        self.failed_handshakes = 0
        self.refused_arrivals = 0

    def start(self, listener: socket.socket) -> None:
        """Accept on a bound socket, which is ours from now on."""
        listener.setblocking(False)
        listener.listen(BACKLOG)
        loop = asyncio.get_running_loop()
        self._accepting = loop.create_task(self._accept(listener), name="arrivals")
        self._accepting.add_done_callback(lambda _: listener.close())

    def close(self) -> None:
        """Stop accepting, and drop who hasn't finished arriving."""
        for task in (self._accepting, *self._arriving):
            if task is not None:
                task.cancel()

    def snapshot(self) -> dict[str, int]:
        """Counts since the start, and who is arriving now."""
        return {
            "arriving": len(self._arriving),
            "proxy_headers": self.headers,
            "refused_proxy_headers": self.refused_headers,
            "failed_handshakes": self.failed_handshakes,
            "refused_arrivals": self.refused_arrivals,
        }

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                conn, address = await loop.sock_accept(listener)
            except OSError:
                await asyncio.sleep(_OUT_OF_FILES_S)
                continue
            host = str(address[0])
            key = client_key(host)
            if len(self._arriving) >= MAX_ARRIVING or not self._has_room(host, key):
                self.refused_arrivals += 1
                conn.close()
                continue
            task = loop.create_task(self._welcome(conn, host))
            self._arriving[task] = key
            self._per_client[key] += 1
            task.add_done_callback(self._forget)

    def _has_room(self, host: str, key: str) -> bool:
        if self._limits is None or (self._mode != "off" and self._trusted.has(host)):
            return True
        return self._limits.has_room(self._per_client[key])

    def _forget(self, task: asyncio.Task[None]) -> None:
        key = self._arriving.pop(task)
        self._per_client[key] -= 1
        if not self._per_client[key]:
            del self._per_client[key]

    async def _welcome(self, conn: socket.socket, host: str) -> None:
        try:
            peer, first = await self._who(conn, host)
        except (HeaderError, OSError):  # TimeoutError is one
            self.refused_headers += 1
            conn.close()
            return
        except BaseException:
            conn.close()
            raise
        await self._hand_over(conn, peer, first)

    async def _hand_over(self, conn: socket.socket, peer: Address | None, first: bytes) -> None:
        def protocol() -> asyncio.Protocol:
            served = self._serve(peer)
            return _Begun(served, first) if first else served

        loop = asyncio.get_running_loop()
        try:
            if self._tls is None:
                await loop.connect_accepted_socket(protocol, conn)
                return
            await loop.connect_accepted_socket(
                protocol,
                conn,
                ssl=self._tls.context,
                ssl_handshake_timeout=HANDSHAKE_S,
                ssl_shutdown_timeout=LINGER_S,
            )
        except OSError:  # ssl.SSLError and the handshake's timeout are
            self.failed_handshakes += 1

    async def _who(self, conn: socket.socket, host: str) -> tuple[Address | None, bytes]:
        """Return the address that a header told, and bytes that were read and are none of it."""
        if self._mode == "off":
            return None, b""
        if not self._trusted.has(host):
            if self._mode == "require":
                raise HeaderError(f"{host} is not trusted to send a header")
            return None, b""
        async with asyncio.timeout(HEADER_S):
            return await self._read_header(conn)

    async def _read_header(self, conn: socket.socket) -> tuple[Address | None, bytes]:
        """Take the header's bytes from the socket and leave what comes behind it."""
        held = b""
        while True:
            await _wait_readable(conn)
            try:
                seen = conn.recv(V2_MAX_BYTES, socket.MSG_PEEK)
            except BlockingIOError:
                continue
            if not seen:
                raise HeaderError("the connection ended before its first request")
            found = parse(held + seen)
            if found is None:
                held += conn.recv(len(seen))
                continue
            header, size = found
            if header is None:
                if self._mode == "require":
                    raise HeaderError("no header came")
                return None, held
            conn.recv(size - len(held))
            self.headers += 1
            return header.source, b""


class _Begun(asyncio.Protocol):
    """Hand a connection to its protocol, with bytes that were read from it before."""

    def __init__(self, served: asyncio.Protocol, first: bytes) -> None:
        self._served = served
        self._first = first

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Be replaced."""
        cast(asyncio.Transport, transport).set_protocol(self._served)
        self._served.connection_made(transport)
        self._served.data_received(self._first)


async def _wait_readable(conn: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    is_readable = asyncio.Event()
    loop.add_reader(conn, is_readable.set)
    try:
        await is_readable.wait()
    finally:
        loop.remove_reader(conn)
