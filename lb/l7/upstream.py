"""One connection to a backend: writes a request, parses the answer, hands it to the exchange.

States: idle in its pool, or carrying one attempt. Whatever the parser reports is acted on after
the parser has returned, where the same connection might be used again at once.
"""

import asyncio
from collections.abc import Callable
from typing import cast

import httptools

from lb.l7.carrier import Carrier, Home
from lb.l7.framing import check_switch, framing
from lb.l7.headers import Headers
from lb.l7.settings import BUFFER_BYTES, MAX_HEAD_BYTES
from lb.policy.attempts import Failure

_NO_CONTENT_BEFORE = 200  # below it an answer is interim
_SWITCHING_PROTOCOLS = 101


OnSwitch = Callable[["UpstreamConnection", Headers, bytes], None]
"""Take a connection that is HTTP no more: its 101's headers, and what came behind them."""


class UpstreamConnection(asyncio.Protocol):
    """Carry one attempt at a time.

    ``is_reused`` says that the connection has been idle in its pool, so that its end may be an idle
    close that crossed our request; ``request_is_sent`` that nothing more will be written for this
    one.
    """

    transport: asyncio.Transport
    _headers: Headers
    _trailers: Headers
    _head_bytes: int  # of a head, or of trailers, that is not complete yet
    _head_is_complete: bool
    _answer_is_complete: bool
    _is_interim: bool
    _ends_at_eof: bool
    _keeps_alive: bool
    _is_spoiled: bool
    _needs_new_parser: bool

    def __init__(self, home: Home["UpstreamConnection"]) -> None:
        self._home = home
        self._carrier: Carrier[UpstreamConnection] | None = None
        self._on_switch: OnSwitch | None = None
        self._is_head_request = False
        self.is_reused = False
        self.request_is_sent = False
        self.idle_since_s = 0.0
        self.is_closed = False
        self._is_reading = True
        self._turn_bytes = 0
        self._reset_answer()
        self._parser = httptools.HttpResponseParser(self)

    # What the pool and the exchange call.

    def begin(
        self,
        carrier: Carrier["UpstreamConnection"],
        head: bytes,
        *,
        is_head_request: bool,
        on_switch: OnSwitch | None = None,
    ) -> None:
        """Send a request head; the answer goes to ``carrier``.

        ``on_switch`` takes this connection over when the answer is a 101 that agrees to WebSocket;
        without it a 101 is a bad answer.
        """
        assert self._carrier is None, "the connection carries an attempt already"
        self._carrier = carrier
        self._on_switch = on_switch
        self._is_head_request = is_head_request
        self.request_is_sent = False
        self._reset_answer()
        self.transport.write(head)

    def write(self, data: bytes) -> None:
        """Send a piece of the request's body."""
        self.transport.write(data)

    def set_reading(self, wanted: bool) -> None:
        """Let the backend send, or let it wait."""
        if wanted is not self._is_reading and not self.is_closed:
            self._is_reading = wanted
            if wanted:
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()

    def abandon(self) -> None:
        """Drop the attempt; closing tells the backend that nobody waits any more."""
        self._carrier = None
        self.close()

    def close(self) -> None:
        """Close now; what is still buffered is not worth waiting for."""
        if not self.is_closed:
            self.is_closed = True
            self._home.forget(self)
            self.transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(BUFFER_BYTES)

    def data_received(self, data: bytes) -> None:
        """Parse, then act on what the parser found."""
        carrier = self._carrier
        if carrier is None:
            self.close()  # an answer nobody asked for
            return
        self._turn_bytes = len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as stop:
            if not self._is_spoiled and self._head_is_complete and self._on_switch is not None:
                self._switch(self._on_switch, data[stop.args[0] :])
                return
            self._is_spoiled = True
        except httptools.HttpParserError:
            if not self._answer_is_complete:
                self._fail(Failure.BAD_ANSWER)
                return
            self._is_spoiled = True
        if self._carrier is not carrier:
            return  # abandoned by what it was told
        if self._answer_is_complete:
            self._end_answer(carrier)
            return
        if self._head_is_complete:
            carrier.on_turn_end()
        if not self._head_is_complete or self._trailers:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._fail(Failure.BAD_ANSWER)

    def eof_received(self) -> None:
        """Take the backend's close: quietly when idle, as an end or a loss otherwise."""
        if self._carrier is not None:
            self._on_end(Failure.STALE if self.is_reused else Failure.RESET)

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave the pool; an answer under way is lost."""
        if not self.is_closed:
            self.is_closed = True
            self._home.forget(self)
        if self._carrier is not None:
            self._on_end(Failure.RESET)

    def pause_writing(self) -> None:
        """The backend doesn't read: the client has to wait."""
        if self._carrier is not None:
            self._carrier.on_upstream_room(False)

    def resume_writing(self) -> None:
        """The backend reads again."""
        if self._carrier is not None:
            self._carrier.on_upstream_room(True)

    # httptools

    def on_message_begin(self) -> None:
        """Notice a second answer to one request."""
        if self._answer_is_complete:
            self._is_spoiled = True  # more than one answer to one request

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a header, or after the head a trailer."""
        if self._answer_is_complete:
            return
        (self._trailers if self._head_is_complete else self._headers).append((name, value))

    def on_headers_complete(self) -> None:
        """Hand the head on; what raises here is a bad answer."""
        if self._answer_is_complete or self._carrier is None:
            return
        status = self._parser.get_status_code()
        if status == _SWITCHING_PROTOCOLS and self._on_switch is not None:
            check_switch(self._headers)
            self._head_is_complete = True
            return
        if status == _SWITCHING_PROTOCOLS or status < 100:
            raise httptools.HttpParserError(f"unasked status {status}")
        if status < _NO_CONTENT_BEFORE:
            self._is_interim = True
            self._carrier.on_interim(self, status, self._headers)
            return
        if self._head_bytes + self._turn_bytes > MAX_HEAD_BYTES:  # maybe: body is in the turn too
            size = sum(len(name) + len(value) for name, value in self._headers)
            if size > MAX_HEAD_BYTES:
                raise httptools.HttpParserError(f"a head of {size} bytes")
        self._head_is_complete = True
        self._keeps_alive = self._parser.should_keep_alive()
        is_chunked, has_length = framing(self._headers)
        self._ends_at_eof = not (is_chunked or has_length)
        self._carrier.on_head(self, status, self._headers, is_chunked=is_chunked)
        # Why here: the parser isn't told that HEAD was asked, and would wait for a body.
        if self._is_head_request:
            self._answer_is_complete = True
            self._needs_new_parser = True

    def on_body(self, body: bytes) -> None:
        """Hand a piece of the body on."""
        if self._answer_is_complete:
            self._is_spoiled = True  # a body after an answer to HEAD
        elif self._carrier is not None:
            self._carrier.on_body(body)

    def on_message_complete(self) -> None:
        """Note the end; it is acted on when the parser has returned."""
        if self._is_interim:
            self._is_interim = False
            self._headers = []
        else:
            self._answer_is_complete = True

    # Private

    def _reset_answer(self) -> None:
        self._headers = []
        self._trailers = []
        self._head_bytes = 0
        self._head_is_complete = False
        self._answer_is_complete = False
        self._is_interim = False
        self._ends_at_eof = False
        self._keeps_alive = False
        self._is_spoiled = False
        self._needs_new_parser = False

    def _end_answer(self, carrier: Carrier["UpstreamConnection"]) -> None:
        trailers = self._trailers
        self._carrier = None
        reusable = self._keeps_alive and self.request_is_sent and not self._is_spoiled
        if reusable:
            if self._needs_new_parser:
                self._parser = httptools.HttpResponseParser(self)
            self._reset_answer()
            self.set_reading(True)
            self._home.take_back(self)
        else:
            self.close()
        carrier.on_answer_end(self, trailers)

    def _switch(self, on_switch: OnSwitch, rest: bytes) -> None:
        """Leave the pool for good: whoever takes over has the transport."""
        self.set_reading(True)
        self._carrier = None
        self.is_closed = True
        self._home.forget(self)
        on_switch(self, self._headers, rest)

    def _on_end(self, failure: Failure) -> None:
        """The backend closed: the answer's end if nothing else says where it is."""
        carrier = self._carrier
        assert carrier is not None
        if self._head_is_complete and self._ends_at_eof and failure is not Failure.BAD_ANSWER:
            self._keeps_alive = False
            self._end_answer(carrier)
        else:
            self._fail(failure)

    def _fail(self, failure: Failure) -> None:
        carrier = self._carrier
        self._carrier = None
        self.close()
        if carrier is not None:
            carrier.on_lost(self, failure)
