"""A client's connection, whatever is asked on it: who it is, how it is read, how it ends.

Why apart from what is asked (``lb.l7.client``): admission, the pauses of reading, the change to a
tunnel or to HTTP/2, and a close that doesn't overtake the last answer are the same for any request.
Source: RFC 9112 9.6 (a close in steps), RFC 9113 3.4 (the preface).
Not handled: HTTP/2 from its beginning; that takes the connection over.
"""

import asyncio
import time
from typing import cast

from lb.l7.errors import Problem, bad_request
from lb.l7.forwarded import PLAIN_HOP
from lb.l7.http2.connection import Http2Connection, is_spoken
from lb.l7.http2.session import rest_of_preface
from lb.l7.proxy import Proxy
from lb.l7.reading import BODY, EARLY, WAITING_LINE, ReadGate
from lb.l7.served import Listener
from lb.l7.settings import BUFFER_BYTES, LINGER_S
from lb.l7.timeouts import BodyPace
from lb.l7.tunnel import Early, Tunnel


class ClientTransport(asyncio.Protocol):
    """The connection's beginning, its reading and its end.

    Args:
        proxy: What all share.
        listener: Counts connections.
        peer: The client's address, when something else than the connection says it.
    """

    transport: asyncio.Transport

    def __init__(self, proxy: Proxy, listener: Listener, peer: str | None = None) -> None:
        self._proxy = proxy
        self._listener = listener
        self._gate = ReadGate()
        self._pace = BodyPace()
        self._is_deaf = False  # what still comes is thrown away
        self._is_ending = False
        self._is_closed = False
        self.has_room = True
        self._early: Early | None = None  # what comes behind a request that upgrades
        self._tunnel: Tunnel | None = None
        self._given_peer = peer
        self._peer = b""
        self._hop = PLAIN_HOP
        self._idle_since_s = time.monotonic()

    # The server

    def close_if_idle(self) -> None:
        """Close unless that is under way."""
        if self._tunnel is not None:
            self._tunnel.close()
        elif not self._is_ending:
            self._end(lingers=False)

    def sweep(self, now_s: float) -> None:
        """Close a tunnel that is idle, and what has been closing too long."""
        if self._tunnel is not None:
            self._tunnel.close_if_idle(now_s)
        elif self._is_ending and now_s - self._idle_since_s >= self._proxy.timeouts.idle_s:
            self.transport.abort()  # its client doesn't read the rest

    def abort(self) -> None:
        """Close now."""
        self.transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection in, or close it when there are too many."""
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(BUFFER_BYTES)
        peer = self._given_peer or str((transport.get_extra_info("peername") or ("unknown",))[0])
        self._peer = peer.encode()
        is_tls = transport.get_extra_info("ssl_object") is not None
        self._hop = self._proxy.forwarding.hop(peer, is_tls=is_tls)
        if not self._listener.admit(self, self._peer):
            self._is_deaf = True
            self.transport.abort()

    # The exchange

    def write(self, data: bytes) -> None:
        """Send to the client."""
        if not self._is_closed:
            self.transport.write(data)

    def switch(self, backend: asyncio.Transport, rest: bytes) -> None:
        """Become a tunnel: this protocol has nothing more to do with the connection."""
        self._set_reading(WAITING_LINE | BODY | EARLY, True)
        self._is_closed = True
        early = self._early.take() if self._early is not None else b""
        self._tunnel = Tunnel(
            self.transport,
            backend,
            self._proxy.heads.tunnels,
            lambda: self._listener.forget(self),
        )
        self._tunnel.start(to_backend=early, to_client=rest, client_has_room=self.has_room)

    # For what is asked

    def _take_early(self, rest: bytes) -> Problem | None:
        if self._early is None:
            return bad_request("BAD_UPGRADE", "an upgrade that can't be understood")
        if rest:
            self._early.add(rest)
        return None

    def _becomes_http2(self, data: bytes, begun_bytes: int) -> bool:
        """Hand a connection over that begins with HTTP/2's preface; some of it came before."""
        rest = rest_of_preface(data, begun_bytes)
        if rest is None or not self._proxy.http2.options.enabled or not is_spoken(self.transport):
            return False
        self._is_closed = self._is_deaf = True
        self._listener.forget(self)
        http2 = Http2Connection(self._proxy, self._listener, self._peer, self._hop)
        http2.take_over(self.transport, rest)
        return True

    def _end(self, *, lingers: bool) -> None:
        """Close behind the last answer.

        Closing with unread bytes in the kernel sends a reset, which may overtake the answer; so
        when the client still sends, read on for a while and throw it away.
        """
        self._is_ending = self._is_deaf = True
        self._idle_since_s = time.monotonic()
        if not lingers or not self.transport.can_write_eof():
            self.transport.close()
            return
        self._early = None
        self._set_reading(BODY | WAITING_LINE | EARLY, True)
        self.transport.write_eof()
        asyncio.get_running_loop().call_later(LINGER_S, self.transport.abort)

    def _set_reading(self, reasons: int, wanted: bool) -> None:
        if not self._is_closed and self._gate.set(self.transport, reasons, wanted):
            self._idle_since_s = time.monotonic()  # until now it was we who made it wait
            self._pace.restart()
