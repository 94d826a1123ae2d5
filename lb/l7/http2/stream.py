"""One HTTP/2 stream: the client's part of an exchange, as ``ClientConnection`` is over HTTP/1.1.

Both ways a slow side makes the other wait. What the client's window doesn't take is held here, and
from ``BUFFER_BYTES`` on the backend isn't read; what the backend doesn't take isn't given back to
the client's window, so that it can't send more.
Source: RFC 9113 5.2 (flow control), 8.1 (an answer that is complete before its request).
Not handled: priorities; streams that have something to say take turns, one frame each.
"""

import time
from collections import deque
from typing import Protocol

import httptools
from h2.connection import H2Connection
from h2.errors import ErrorCodes

from lb.l7.errors import Problem
from lb.l7.exchange import Exchange
from lb.l7.headers import TRAILER_DROPS, Headers
from lb.l7.http2.answer import AnswerReader
from lb.l7.http2.request import Malformed
from lb.l7.proxy import Proxy
from lb.l7.settings import BUFFER_BYTES, LINGER_S
from lb.l7.timeouts import BodyPace, Kind, TimeoutOptions

_REFUND_SHARE = 2  # a window is given back in halves: one frame for many


class Link(Protocol):
    """The connection, as its streams see it."""

    h2: H2Connection

    def wake(self, stream: "Http2Stream") -> None:
        """Let it say what it has to, soon."""

    def count_data_frame(self) -> None:
        """One has been sent."""

    def forget(self, stream: "Http2Stream") -> None:
        """It is over."""

    def reset(self, stream: "Http2Stream", code: ErrorCodes) -> None:
        """Break it off."""


class Http2Stream:
    """Carry one request's body in and its answer out.

    Args:
        link: The connection.
        number: The stream's identifier.
        length: Bytes that the body has to have; None where nobody said.
        window_bytes: What of the body may be on its way.
        is_head: Whether HEAD was asked.
    """

    exchange: Exchange | None

    def __init__(
        self, link: Link, number: int, *, length: int | None, window_bytes: int, is_head: bool
    ) -> None:
        self.number = number
        self.exchange = None
        self.has_room = True
        self.is_over = False  # nothing may be sent on it
        self.progress_s = 0.0  # since when what is held has waited
        self._link = link
        self._length = length
        self._window_bytes = window_bytes
        self._is_head = is_head
        self._answer = AnswerReader(self, is_head=is_head)
        self._heads: deque[tuple[int, Headers]] = deque()
        self._held: deque[bytes | memoryview] = deque()
        self._held_bytes = 0
        self._trailers: Headers | None = None  # the answer is complete
        self._is_done = False  # the exchange is
        self._has_ended = False  # the client's part has
        self._said_s: float | None = None  # when the answer was, before the request had ended
        self._received_bytes = 0
        self._owed_bytes = 0  # to the client's window
        self._takes_body = True
        self._piece_s = time.monotonic()  # since when nothing of the body has come
        self._pace = BodyPace()

    # From the connection

    def refuse(self, proxy: Proxy, problem: Problem, peer: bytes, *, ends: bool) -> None:
        """Answer a request that gets no further; ``ends`` says that all of it is here."""
        request_id = proxy.heads.ids.fresh().request_id
        timing = proxy.server_timing(0.0)
        self._has_ended = ends
        self.write(problem.render(request_id, timing=timing, keep_alive=True, head=self._is_head))
        proxy.record_refusal(request_id, problem, peer)
        self.on_exchange_done(keep_alive=True, broken=False)

    def on_data(self, data: bytes, size: int, *, ends: bool) -> None:
        """Pass a piece of the request's body on; ``size`` is what it took of the window.

        Raises:
            Malformed: It is longer than its content-length.
        """
        self._received_bytes += len(data)
        if self._length is not None and self._received_bytes > self._length:
            raise Malformed(f"a body of more than the {self._length} bytes that were said")
        self._owed_bytes += size
        self._piece_s = time.monotonic()
        self._pace.add(len(data))
        if data and self.exchange is not None and not self._is_done:
            self.exchange.body.add(data)
        if not ends:
            self._refund()

    def on_end(self, trailers: Headers) -> None:
        """The request is complete.

        Raises:
            Malformed: Its body is shorter than its content-length.
        """
        if self._length is not None and self._received_bytes != self._length:
            raise Malformed(f"a body of {self._received_bytes} bytes, and {self._length} were said")
        self._has_ended = True
        if self.exchange is not None and not self._is_done:
            self.exchange.body.end(trailers)
        elif self._said_s is not None:
            self._end()

    def on_client_gone(self) -> None:
        """Nobody waits for the answer."""
        self.is_over = True
        if self.exchange is not None and not self._is_done:
            self.exchange.on_client_gone()

    def say(self) -> bool:
        """Send the next of what is held: a head, or one frame of the body; True: there is more."""
        if self.is_over or self._said_s is not None:
            return False
        if self._heads:
            self._say_head()
        elif self._held and not self._say_body():
            return False  # until the client opens its window
        if self.is_over or self._said_s is not None:
            return False
        if self._heads or self._held:
            return True
        if self._trailers is not None:
            self._say_trailers(self._trailers)
        elif self._is_done:
            self._link.reset(self, ErrorCodes.INTERNAL_ERROR)  # the answer has broken off
        elif not self.has_room:
            self._set_room(True)
        return False

    def find_slow(self, timeouts: TimeoutOptions, now_s: float, *, may_send: bool) -> Kind | None:
        """Return how the client is too slow, if it is; it is told once for each time.

        Args:
            timeouts: How long it may take.
            now_s: When.
            may_send: Whether the connection is being read.
        """
        if self.has_more:
            if now_s - self.progress_s < timeouts.write_s:
                return None
            self.progress_s = now_s
            return "write"
        if self._has_ended or self._is_done or not (self._takes_body and may_send):
            return None
        if now_s - self._piece_s >= timeouts.body_s:
            self._piece_s = now_s
            return "body"
        return "rate" if self._pace.is_too_slow(timeouts.min_rate, now_s) else None

    def has_lingered(self, now_s: float) -> bool:
        """Whether the client still sends, long after it has its answer."""
        return self._said_s is not None and now_s - self._said_s >= LINGER_S

    @property
    def has_more(self) -> bool:
        """Whether something is held that the client's window may be in the way of."""
        return bool(self._held) and not self.is_over

    # The exchange's client

    def write(self, data: bytes) -> None:
        """Take a piece of the answer as HTTP/1.1 has it."""
        if self.is_over:
            return
        try:
            self._answer.feed(data)
        except httptools.HttpParserError:
            self._link.reset(self, ErrorCodes.INTERNAL_ERROR)
            self.on_client_gone()
            return
        self._link.wake(self)
        if self._held_bytes > BUFFER_BYTES and self.has_room:
            self._set_room(False)

    def set_body_reading(self, wanted: bool) -> None:
        """Let the client send its body, or let it wait."""
        if wanted and not self._takes_body:  # until now it was we who made it wait
            self._piece_s = time.monotonic()
            self._pace.restart()
        self._takes_body = wanted
        self._refund()

    def on_exchange_done(self, *, keep_alive: bool, broken: bool) -> None:
        """Nothing more comes from a backend; what is held is still to be sent."""
        self._is_done = True
        self._takes_body = True  # and thrown away
        if self.is_over:
            return
        if broken:
            self._trailers = None
        self._refund()
        self._link.wake(self)

    # The answer's reader

    def on_answer_head(self, status: int, headers: Headers) -> None:
        """Hold a head."""
        self._heads.append((status, headers))

    def on_answer_body(self, data: bytes) -> None:
        """Hold a piece of the body."""
        if not self._held:
            self.progress_s = time.monotonic()
        self._held.append(data)
        self._held_bytes += len(data)

    def on_answer_end(self, trailers: Headers) -> None:
        """Hold that this is all."""
        self._trailers = [line for line in trailers if line[0] not in TRAILER_DROPS]

    # Private

    @property
    def _is_last(self) -> bool:
        """Whether what is sent now ends the stream."""
        return self._trailers == [] and not self._heads and not self._held

    def _say_head(self) -> None:
        status, headers = self._heads.popleft()
        fields = [(b":status", b"%d" % status), *headers]
        ends = self._is_last
        self._link.h2.send_headers(self.number, fields, end_stream=ends)
        if ends:
            self._end()

    def _say_body(self) -> bool:
        """Send one frame; False when the client's window is closed."""
        h2 = self._link.h2
        room = min(h2.local_flow_control_window(self.number), h2.max_outbound_frame_size)
        if room <= 0:
            return False
        first = self._held.popleft()
        piece = first[:room]
        if len(piece) < len(first):
            self._held.appendleft(memoryview(first)[room:])  # no copy for each frame
        self._held_bytes -= len(piece)
        self.progress_s = time.monotonic()
        ends = self._is_last
        h2.send_data(self.number, piece, end_stream=ends)
        self._link.count_data_frame()
        if ends:
            self._end()
        return True

    def _say_trailers(self, trailers: Headers) -> None:
        if trailers:
            self._link.h2.send_headers(self.number, trailers, end_stream=True)
        else:
            self._link.h2.end_stream(self.number)
        self._end()

    def _end(self) -> None:
        """The answer is said.

        A request that isn't complete yet is not wanted any more; but a reset at once makes some
        clients drop the answer they have (curl does), so first it may end by itself, unheard.
        """
        if self._has_ended:
            self.is_over = True
            self._link.forget(self)
        else:
            self._said_s = time.monotonic()
            self._takes_body = False

    def _set_room(self, has_room: bool) -> None:
        self.has_room = has_room
        if self.exchange is not None and not self._is_done:
            self.exchange.on_client_room(has_room)

    def _refund(self) -> None:
        """Give back to the client's window what was taken, once that is half of it."""
        owed = self._owed_bytes
        if not self._takes_body or self._has_ended or self.is_over:
            return
        if owed * _REFUND_SHARE >= self._window_bytes:
            self._owed_bytes = 0
            self._link.h2.increment_flow_control_window(owed, self.number)
            self._link.wake(self)
