"""The streams of one HTTP/2 connection: who gets what the client sent, who has something to say.

The connection's window is given back as bytes come, each stream's as its backend takes them: a body
that waits stops itself only, and what is held is bounded by ``max_streams`` windows.
Source: RFC 9113 5.1.2 (concurrency), 5.2 (windows), 8.1.1 (malformed requests).
Not handled: a content-length that the library itself finds wrong ends the connection, not only its
stream, as RFC 9113 5.4.1 lets it.
"""

import time
from collections.abc import Callable

from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    RemoteSettingsChanged,
    RequestReceived,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)

from lb.l7.body_limit import limit_body
from lb.l7.errors import Problem, bad_request
from lb.l7.exchange import Exchange
from lb.l7.http2.frames import FloodGuard
from lb.l7.http2.options import CONNECTION_WINDOW_BYTES
from lb.l7.http2.request import Malformed, read_trailers
from lb.l7.http2.session import RequestReader
from lb.l7.http2.stream import Http2Stream
from lb.l7.proxy import Proxy
from lb.l7.timeouts import request_timeout

_REFUND_SHARE = 2  # the connection's window is given back in halves


class Streams:
    """Serve the streams of one connection.

    Args:
        proxy: What all share.
        h2: The protocol's state.
        guard: Counts what only costs.
        reader: Reads requests.
        write_soon: Called when one has something to say.

    ``is_last`` says that the client was told that no later stream is served.
    """

    def __init__(
        self,
        proxy: Proxy,
        h2: H2Connection,
        guard: FloodGuard,
        reader: RequestReader,
        write_soon: Callable[[], None],
    ) -> None:
        self.h2 = h2
        self.is_last = False
        self.idle_since_s = time.monotonic()
        self._proxy = proxy
        self._shared = proxy.http2
        self._options = proxy.http2.options
        self._guard = guard
        self._reader = reader
        self._write_soon = write_soon
        self._streams: dict[int, Http2Stream] = {}
        self._ready: dict[int, Http2Stream] = {}  # which have something to say
        self._owed_bytes = 0  # to the client's window for the connection

    def __len__(self) -> int:
        """Streams under way."""
        return len(self._streams)

    # The connection

    def on_event(self, event: Event, now_s: float) -> None:
        """Take what the library made of a frame.

        Raises:
            Breach: It is one too many.
        """
        if isinstance(event, RequestReceived):
            self._on_request(event, now_s)
        elif isinstance(event, DataReceived):
            self._on_data(event, now_s)
        elif isinstance(event, TrailersReceived):
            self._on_trailers(event, now_s)
        elif isinstance(event, WindowUpdated | RemoteSettingsChanged):
            self._on_window(getattr(event, "stream_id", 0))
        elif isinstance(event, StreamReset):
            self._on_reset(event, now_s)

    def say(self) -> bool:
        """Let each say the next of what it has to; whether one has more."""
        for number, stream in tuple(self._ready.items()):
            if not stream.say():
                self._ready.pop(number, None)
        return bool(self._ready)

    def sweep(self, now_s: float, *, may_send: bool) -> None:
        """Send away who is too slow; ``may_send`` says that the connection is being read."""
        timeouts, slow = self._proxy.timeouts, self._proxy.slow_clients
        for stream in tuple(self._streams.values()):
            if stream.has_lingered(now_s):
                self.reset(stream, ErrorCodes.NO_ERROR)
                continue
            kind = stream.find_slow(timeouts, now_s, may_send=may_send)
            if kind is None or not slow.sends_away(kind):
                continue
            if kind == "write":
                self.reset(stream, ErrorCodes.CANCEL)
                stream.on_client_gone()
            elif stream.exchange is not None:
                stream.exchange.refuse(request_timeout(kind, timeouts))

    def cancel(self) -> None:
        """Nobody waits for any of them."""
        streams = tuple(self._streams.values())
        self._streams.clear()
        self._ready.clear()
        for stream in streams:
            stream.on_client_gone()

    # Link

    def wake(self, stream: Http2Stream) -> None:
        """Let it say what it has to, at the end of this turn."""
        self._ready[stream.number] = stream
        self._write_soon()

    def count_data_frame(self) -> None:
        """One has been sent."""
        self._guard.sent_data_frames += 1

    def forget(self, stream: Http2Stream) -> None:
        """It is over."""
        self._ready.pop(stream.number, None)
        if self._streams.pop(stream.number, None) is not None and not self._streams:
            self.idle_since_s = time.monotonic()

    def reset(self, stream: Http2Stream, code: ErrorCodes) -> None:
        """Break it off."""
        if not stream.is_over:
            stream.is_over = True
            self.h2.reset_stream(stream.number, code)
            self.forget(stream)
            self._write_soon()

    # Private

    def _on_request(self, event: RequestReceived, now_s: float) -> None:
        ends = event.stream_ended is not None
        self._shared.streams += 1
        self._guard.opened_streams += 1
        if self.is_last or len(self._streams) >= self._options.max_streams:
            self._shared.refused_streams += not self.is_last
            self.h2.reset_stream(event.stream_id, ErrorCodes.REFUSED_STREAM)
            self._guard.on_reset(now_s)
            return
        try:
            asked = self._reader.read(event.headers, ends=ends, now_s=now_s)
        except Malformed as error:
            self.h2.reset_stream(event.stream_id, ErrorCodes.PROTOCOL_ERROR)
            self._on_malformed(error, now_s)
            return
        stream = Http2Stream(
            self,
            event.stream_id,
            length=asked.length,
            window_bytes=self._options.window_bytes,
            is_head=asked.is_head,
        )
        self._streams[stream.number] = stream
        if isinstance(asked.head, Problem):
            stream.refuse(self._proxy, asked.head, self._reader.peer, ends=ends)
            return
        proxy = self._proxy.proxy_for(asked.head.target)
        stream.exchange = Exchange(proxy, stream, asked.head)
        limits = self._proxy.heads.limits
        if asked.length is None and limits.options.max_body_bytes:
            limit_body(stream.exchange, limits)
        if ends:
            stream.on_end([])
        stream.exchange.start()

    def _on_data(self, event: DataReceived, now_s: float) -> None:
        size = event.flow_controlled_length
        self._owed_bytes += size
        if self._owed_bytes * _REFUND_SHARE >= CONNECTION_WINDOW_BYTES:
            self.h2.increment_flow_control_window(self._owed_bytes)
            self._owed_bytes = 0
        ends = event.stream_ended is not None
        if not event.data and not ends:
            self._guard.on_control(now_s)
        stream = self._streams.get(event.stream_id)
        if stream is None:
            return
        try:
            stream.on_data(event.data, size, ends=ends)
            if ends:
                stream.on_end([])
        except Malformed as error:
            self._break(stream, error, now_s)

    def _on_trailers(self, event: TrailersReceived, now_s: float) -> None:
        stream = self._streams.get(event.stream_id)
        if stream is None:
            return
        try:
            stream.on_end(read_trailers(event.headers))
        except Malformed as error:
            self._break(stream, error, now_s)

    def _on_window(self, number: int) -> None:
        """Let those go on that the client's window was in the way of; 0 means all."""
        for stream in self._streams.values() if not number else (self._streams.get(number),):
            if stream is not None and stream.has_more:
                self._ready[stream.number] = stream

    def _on_reset(self, event: StreamReset, now_s: float) -> None:
        if not event.remote_reset:  # the library's; what the client took back is counted as a frame
            self._guard.on_reset(now_s)
        stream = self._streams.get(event.stream_id)
        if stream is not None:
            stream.on_client_gone()
            self.forget(stream)

    def _break(self, stream: Http2Stream, error: Malformed, now_s: float) -> None:
        self.reset(stream, ErrorCodes.PROTOCOL_ERROR)
        stream.on_client_gone()
        self._on_malformed(error, now_s)

    def _on_malformed(self, error: Malformed, now_s: float) -> None:
        self._shared.malformed += 1
        request_id = self._proxy.heads.ids.fresh().request_id
        problem = bad_request("MALFORMED_REQUEST", str(error))
        self._proxy.record_refusal(request_id, problem, self._reader.peer)
        self._guard.on_reset(now_s)
