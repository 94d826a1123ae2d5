"""One HTTP/2 connection from a client: what is read and written when, and how it ends.

The library ``h2`` keeps the protocol's state; each stream is an exchange (``lb.l7.http2.streams``).
Backends get HTTP/1.1, so retries, deadlines, balancing and notes are the code that HTTP/1.1 clients
have.
Source: RFC 9113 3.3 and 3.4 (how it begins), 6.8 (GOAWAY), 9.1.
Not handled: the upgrade from HTTP/1.1 (``h2c``, taken out by RFC 9113), push, priorities.
"""

import asyncio
import time
from typing import cast

from h2.errors import ErrorCodes
from h2.events import PingAckReceived
from h2.exceptions import H2Error

from lb.l7.forwarded import Hop
from lb.l7.http2.frames import Breach, FloodGuard, FrameCutter, FrameType, RawFrame
from lb.l7.http2.session import (
    ALL_STREAMS,
    PREFACE,
    RequestReader,
    begin_session,
    goaway,
    settings_frame,
)
from lb.l7.http2.streams import Streams
from lb.l7.proxy import Proxy
from lb.l7.served import Listener
from lb.l7.settings import BUFFER_BYTES, LINGER_S

_DRAIN_PING = b"draining"
_DRAIN_PING_S = 1.0  # a client that doesn't answer the ping is not waited for


class Http2Connection(asyncio.Protocol):
    """Serve one client.

    Args:
        proxy: What all share.
        listener: Counts connections.
        peer: The client's address.
        hop: How its requests are forwarded.
    """

    transport: asyncio.Transport

    def __init__(self, proxy: Proxy, listener: Listener, peer: bytes, hop: Hop) -> None:
        self._proxy = proxy
        self._listener = listener
        self._peer = peer
        self._shared = proxy.http2
        self._options = proxy.http2.options
        self._h2 = begin_session(self._options)
        self._frames = FrameCutter()
        self._guard = FloodGuard(self._options)
        reader = RequestReader(proxy, peer, hop)
        self._streams = Streams(proxy, self._h2, self._guard, reader, self._write_soon)
        self._has_room = True
        self._is_writing_soon = False
        self._is_deaf = False  # what still comes is thrown away
        self._is_closed = False
        self._is_left = False  # the client opens no more streams
        self._warned_s: float | None = None  # when it was told that this is about to end
        self._head_since_s = self._closed_s = time.monotonic()

    def take_over(self, transport: asyncio.Transport, rest: bytes) -> None:
        """Go on with a connection whose preface has come, and ``rest`` behind it."""
        self.transport = transport
        transport.set_protocol(self)
        if not self._listener.admit(self, self._peer):
            self._is_deaf = True
            transport.abort()
            return
        self._shared.connections += 1
        transport.set_write_buffer_limits(BUFFER_BYTES)
        transport.write(settings_frame(self._options))
        self._h2.receive_data(PREFACE)
        self.data_received(rest)

    # The server

    def close_if_idle(self) -> None:
        """Begin to end; what is under way may finish."""
        if len(self._streams):
            self._warn()
        else:
            self._end()

    def sweep(self, now_s: float) -> None:
        """Close what has been idle or closing too long, and send away who is too slow."""
        timeouts = self._proxy.timeouts
        if self._is_deaf:
            waited_s = now_s - self._closed_s
            if waited_s >= (timeouts.idle_s if self._unsent_bytes else LINGER_S):
                self.transport.abort()
            return
        if self._is_in_head and now_s - self._head_since_s >= timeouts.header_s:
            if self._proxy.slow_clients.sends_away("header"):
                self._fail(Breach(ErrorCodes.ENHANCE_YOUR_CALM, "a head that doesn't end"))
                return
            self._head_since_s = now_s
        self._streams.sweep(now_s, may_send=self._has_room)
        if self._warned_s is not None and now_s - self._warned_s >= _DRAIN_PING_S:
            self._say_last()
        elif self._has_to_end:
            self._warn()
        if not self._streams and (
            self._streams.is_last or now_s - self._streams.idle_since_s >= timeouts.idle_s
        ):
            self._end()

    def abort(self) -> None:
        """Close now."""
        self.transport.abort()

    # asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        """Take frame by frame, then write what that gave."""
        if self._is_deaf:
            return
        self._is_writing_soon = True
        now_s = time.monotonic()
        is_same_head = self._is_in_head
        try:
            for frame in self._frames.cut(data):
                self._take(frame, now_s)
                is_same_head = is_same_head and self._guard.is_in_head
        except Breach as breach:
            self._fail(breach)
        except H2Error as error:
            code = getattr(error, "error_code", ErrorCodes.PROTOCOL_ERROR)
            self._fail(Breach(code, str(error)))
        if not is_same_head:
            self._head_since_s = now_s
        self._write_ready()

    def eof_received(self) -> None:
        """Take the end of the stream for the client's leaving."""
        self._lose_client()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count the connection out and cancel what is under way."""
        self._is_closed = True
        self._listener.forget(self)
        self._lose_client()

    def pause_writing(self) -> None:
        """The client doesn't read: its streams wait, and so does it."""
        self._has_room = False
        if not self._is_deaf:
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._has_room = True
        if not self._is_closed:
            self.transport.resume_reading()
            self._write_soon()

    # What comes

    @property
    def _has_to_end(self) -> bool:
        """Whether its client shall come anew; before its first request it would only return."""
        requests = (self._h2.highest_inbound_stream_id + 1) // 2  # its streams have odd numbers
        is_draining = self._proxy.is_draining
        return requests > 0 and (is_draining or self._proxy.heads.limits.is_last(requests))

    @property
    def _unsent_bytes(self) -> int:
        """Bytes that the client hasn't made room for."""
        return self.transport.get_write_buffer_size()

    @property
    def _is_in_head(self) -> bool:
        """Whether a head, or another frame that is no body, has begun and not ended."""
        return self._guard.is_in_head or self._frames.is_within

    def _take(self, frame: RawFrame, now_s: float) -> None:
        is_in_head = self._guard.is_in_head
        self._guard.on_frame(frame, now_s)
        if frame.kind == FrameType.GOAWAY and not is_in_head:
            self._is_left = True  # the library would end the streams that are under way
            return
        for event in self._h2.receive_data(frame.data):
            if isinstance(event, PingAckReceived) and event.ping_data == _DRAIN_PING:
                self._say_last()
            else:
                self._streams.on_event(event, now_s)

    # What is said

    def _write_soon(self) -> None:
        if not self._is_writing_soon:
            self._is_writing_soon = True
            asyncio.get_running_loop().call_soon(self._write_ready)

    def _write_ready(self) -> None:
        """Let the streams take turns, as long as the client reads."""
        self._is_writing_soon = False
        if self._is_deaf:
            return
        if self._has_to_end:
            self._warn()
        self._write()
        while self._has_room and not self._is_closed and self._streams.say():
            self._write()
        self._write()
        if not self._streams and (self._is_left or self._streams.is_last):
            self._end()

    def _write(self) -> None:
        data = self._h2.data_to_send()
        if data and not self._is_closed:
            self.transport.write(data)

    def _say_goaway(self, last: int, code: ErrorCodes, why: str = "") -> None:
        """Say it behind what was said; the library itself would say nothing after it."""
        self._write()
        if not self._is_closed:
            self.transport.write(goaway(last, code, why))

    # The end

    def _warn(self) -> None:
        """Say that this is about to end; what the client has sent meanwhile is served."""
        if self._warned_s is None and not self._is_deaf:
            self._warned_s = time.monotonic()
            self._say_goaway(ALL_STREAMS, ErrorCodes.NO_ERROR)
            self._h2.ping(_DRAIN_PING)
            self._write()

    def _say_last(self) -> None:
        """Say which stream was the last; a later one is refused, and may be sent elsewhere."""
        if not self._streams.is_last and not self._is_deaf:
            self._streams.is_last = True
            self._say_goaway(self._h2.highest_inbound_stream_id, ErrorCodes.NO_ERROR)
            self._write_soon()

    def _fail(self, breach: Breach) -> None:
        """End at once: what the client sends can't be told from nonsense, or is too much."""
        self._shared.floods += breach.is_flood
        self._shared.errors += not breach.is_flood
        self._streams.cancel()
        self._h2.clear_outbound_data_buffer()  # a GOAWAY of its own is among it
        self._close(breach.code, str(breach))

    def _end(self) -> None:
        """Close behind the last answer."""
        self._close(ErrorCodes.NO_ERROR)

    def _close(self, code: ErrorCodes, why: str = "") -> None:
        """Say GOAWAY and close.

        Closing with unread bytes in the kernel sends a reset, which may overtake what was said; so
        read on for a while, and throw it away, until the sweep ends it.
        """
        if self._is_deaf or self._is_closed:
            return
        self._say_goaway(self._h2.highest_inbound_stream_id, code, why)
        self._is_deaf = True
        self._closed_s = time.monotonic()
        if not self.transport.can_write_eof():
            self.transport.close()
            return
        self.transport.resume_reading()
        self.transport.write_eof()

    def _lose_client(self) -> None:
        self._is_deaf = True
        self._streams.cancel()


def is_spoken(transport: asyncio.BaseTransport) -> bool:
    """Whether a connection that begins with the preface may go on with it.

    Over TLS it has to be agreed on by ALPN (RFC 9113 3.3); in the clear the preface says it.
    """
    tls = transport.get_extra_info("ssl_object")
    return tls is None or cast(str | None, tls.selected_alpn_protocol()) == "h2"
