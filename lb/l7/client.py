"""One connection from a client: keeps the order of requests, answers one at a time.

Pipelined requests wait in line; while one waits behind another, nothing more is read. The end of
the client's stream, half a close included, means that nobody waits for the answer: TCP can't tell
"I have said all" from "I am gone", and nginx reads it the same way.
"""

import asyncio
import time
from collections import deque

import httptools

from lb.l7.body_limit import limit_body
from lb.l7.client_transport import ClientTransport
from lb.l7.errors import Problem
from lb.l7.exchange import Exchange
from lb.l7.headers import Headers
from lb.l7.outline import Outline
from lb.l7.parser import RequestParser
from lb.l7.proxy import Proxy
from lb.l7.reading import BODY, EARLY, WAITING_LINE
from lb.l7.served import Listener
from lb.l7.timeouts import Kind, WriteStall, request_timeout
from lb.l7.tunnel import Early


class ClientConnection(ClientTransport):
    """Serve one client.

    Args:
        proxy: What all share.
        listener: Counts connections.
        peer: The client's address, when something else than the connection says it.
    """

    def __init__(self, proxy: Proxy, listener: Listener, peer: str | None = None) -> None:
        super().__init__(proxy, listener, peer)
        self._parser = RequestParser(self, proxy.heads.limits)
        self._line: deque[Exchange | Problem] = deque()
        self._receiving: Exchange | None = None  # whose body is being read
        self._stall = WriteStall()
        self._was_refused = False
        self._outline: Outline | None = None  # of the last request, which the next one often is
        self._requests = 0
        self._is_silent = True  # from the start

    # The server

    def close_if_idle(self) -> None:
        """Close when nothing is under way."""
        if not self._line:
            super().close_if_idle()

    def sweep(self, now_s: float) -> None:
        """Close what has been idle or closing too long, and send away who is too slow."""
        options = self._proxy.timeouts
        waited_s = now_s - self._idle_since_s
        if self._tunnel is not None or self._is_ending:
            super().sweep(now_s)
        elif self._line:
            if kind := self._find_slow(now_s):
                self._send_away(kind, now_s)
        elif self._parser.head_bytes:
            if waited_s >= options.header_s:
                self._send_away("header", now_s)
        elif waited_s >= options.idle_s:
            self._end(lingers=False)
        elif self._is_silent and waited_s >= options.header_s and not self._requests:
            self._is_silent = False  # told once
            if self._proxy.slow_clients.sends_away("header"):
                self._end(lingers=False)  # without a word: browsers keep a spare connection

    # asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        """Parse, then serve the first in line."""
        if self._is_deaf:
            if self._early is not None and self._early.add(data):
                self._set_reading(EARLY, False)
            return
        if not self._parser.head_bytes:
            self._idle_since_s = time.monotonic()
        try:
            problem = self._parser.feed(data)
        except httptools.HttpParserUpgrade as stop:  # no byte behind it is a request
            problem = self._take_early(data[stop.args[0] :])
        is_first = problem is not None and not (self._requests or self._is_deaf)
        if is_first and self._becomes_http2(data, self._parser.head_bytes):
            return
        if not self._is_deaf:  # after the last request: data that has no business here
            is_in_body = self._receiving is not None
            problem = problem or self._parser.find_too_large(is_in_body=is_in_body)
            if problem is not None:
                self._refuse(problem)
        self._serve_line()

    def eof_received(self) -> None:
        """Take the end of the stream for the client's leaving."""
        self._lose_client()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count the connection out and cancel what is under way."""
        self._is_closed = True
        self._listener.forget(self)
        self._lose_client()

    def pause_writing(self) -> None:
        """The client doesn't read: the backend has to wait."""
        self.has_room = False
        if self._line and isinstance(self._line[0], Exchange):
            self._line[0].on_client_room(False)

    def resume_writing(self) -> None:
        """The client reads again."""
        self.has_room = True
        self._stall.end()
        if self._line and isinstance(self._line[0], Exchange):
            self._line[0].on_client_room(True)
        self._serve_line()

    # The parser

    def on_head(
        self, method: bytes, target: bytes, version: str, headers: Headers, *, keep_alive: bool
    ) -> None:
        """Put the request in line; a Problem raised here refuses it."""
        if self._is_deaf:
            return
        heads = self._proxy.heads
        head = heads.read(
            method,
            target,
            version,
            headers,
            peer=self._peer,
            keep_alive=keep_alive,
            arrived_s=time.monotonic(),
            hop=self._hop,
            last=self._outline,
        )
        self._outline = head.outline
        self._requests += 1
        if heads.limits.options.requests_per_connection and heads.limits.is_last(self._requests):
            head.keep_alive = False
        if head.upgrades:
            self._early = Early()
        self._pace.restart()
        exchange = self._receiving = Exchange(self._proxy.proxy_for(head.target), self, head)
        if head.is_chunked and heads.limits.options.max_body_bytes:
            limit_body(exchange, heads.limits)
        self._line.append(exchange)

    def on_body(self, body: bytes) -> None:
        """Hand a piece of the body on."""
        self._pace.add(len(body))
        if self._receiving is not None:
            self._receiving.body.add(body)

    def on_end(self, trailers: Headers) -> None:
        """Note the end of the request; it is served when the parser has returned."""
        exchange, self._receiving = self._receiving, None
        if exchange is None:
            return
        exchange.body.end(trailers)
        if not exchange.head.keep_alive:
            self._is_deaf = True

    # The exchange

    def set_body_reading(self, wanted: bool) -> None:
        """Let the client send its body, or let it wait."""
        self._set_reading(BODY, wanted)

    def on_exchange_done(self, *, keep_alive: bool, broken: bool) -> None:
        """The first in line is done: serve the next, or end the connection."""
        if self._line:
            self._line.popleft()
        if self._is_closed:
            return
        if broken:
            self._is_deaf = True
            self.transport.abort()
        elif keep_alive:
            self._set_reading(BODY, True)
            self._idle_since_s = time.monotonic()
            if self._line:
                asyncio.get_running_loop().call_soon(self._serve_line)
        else:
            # Whoever has requests left in line may have sent more, which nobody has read.
            still_sends = self._receiving is not None or self._was_refused
            still_sends = still_sends or bool(self._line) or bool(self._early)
            self._line.clear()  # that answer said it is the last: they count as unserved
            self._end(lingers=still_sends)

    # Private

    def _refuse(self, problem: Problem) -> None:
        """Answer what can't be understood when its turn comes, and listen no more."""
        self._is_deaf = self._was_refused = True
        exchange, self._receiving = self._receiving, None
        if exchange is None:
            self._line.append(problem)
        elif exchange.is_started:
            exchange.refuse(problem)
        else:
            self._line[-1] = problem  # no backend has seen a byte of it

    def _serve_line(self) -> None:
        if not self._line or self._is_closed:
            return
        first = self._line[0]
        if isinstance(first, Problem):
            self._line.clear()
            self._answer(first)
        elif not first.is_started and self.has_room:
            first.start()
        self._set_reading(WAITING_LINE, len(self._line) <= 1)

    def _answer(self, problem: Problem) -> None:
        request_id = self._proxy.heads.ids.fresh().request_id
        timing = self._proxy.server_timing(0.0)
        self.write(problem.render(request_id, timing=timing, keep_alive=False, head=False))
        self._proxy.record_refusal(request_id, problem, self._peer)
        self._end(lingers=True)

    def _lose_client(self) -> None:
        self._is_deaf = True
        if self._line:
            first = self._line[0]
            self._line.clear()
            if isinstance(first, Exchange) and first.is_started:
                first.on_client_gone()

    def _find_slow(self, now_s: float) -> Kind | None:
        """Return how the client is too slow who sends a body, or has to take an answer."""
        options = self._proxy.timeouts
        if not self.has_room:
            held = self.transport.get_write_buffer_size()
            return "write" if self._stall.lasts_s(held, now_s) >= options.write_s else None
        if self._receiving is None or self._gate.reasons:
            return None
        if now_s - self._idle_since_s >= options.body_s:
            return "body"
        return "rate" if self._pace.is_too_slow(options.min_rate, now_s) else None

    def _send_away(self, kind: Kind, now_s: float) -> None:
        if not self._proxy.slow_clients.sends_away(kind):
            self._idle_since_s = now_s  # let be; to be told once for each time it takes that long
            self._stall.end()
        elif kind == "write":
            self.transport.abort()
        else:
            self._refuse(request_timeout(kind, self._proxy.timeouts))
            self._serve_line()
