"""Two TCP connections tied together: what one receives, the other sends.

Nothing is read of the bytes. A half-close goes through as a half-close, a reset as a reset; when
one side is slow, reading from the other stops.

One exception: a client whose backend is to be reached another way is moved there when its next
HTTP request begins (``leave_at_request``), since between two requests nothing is lost with the old
connection. What isn't HTTP/1 stays where it is until it ends.
Not handled: a client that pipelines, whose next request begins before the last answer has ended.
"""

import asyncio
import time
from collections.abc import Callable
from typing import cast

from lb.l4.settings import BUFFER_BYTES

# How an HTTP/1 request begins; RFC 9110, section 9, and PATCH. No WebSocket frame begins so.
METHODS = (
    *(b"GET ", b"HEAD ", b"POST ", b"PUT ", b"PATCH ", b"DELETE ", b"OPTIONS ", b"CONNECT "),
    b"TRACE ",
)


class Side(asyncio.Protocol):
    """One of the two connections.

    Args:
        on_made: Called when it is connected.
        on_lost: Called once when it is gone.

    Until it is tied to the other side, what it receives is held, and reading stops.
    """

    transport: asyncio.Transport

    def __init__(
        self,
        on_made: Callable[["Side"], None] | None = None,
        on_lost: Callable[["Side"], None] | None = None,
    ) -> None:
        self._on_made = on_made
        self._on_lost = on_lost
        self._other: Side | None = None
        self._held: list[bytes] = []
        self._on_request: Callable[[Side], None] | None = None
        self.spoke_last = False  # of the two, as far as anybody has
        self.has_ended = False  # sent its end of stream
        self.is_lost = False
        self.received = 0  # bytes
        self.active_s = time.monotonic()

    def tie(self, other: "Side") -> None:
        """From now on what comes to one goes to the other, and what each holds goes first."""
        self._other, other._other = other, self  # both first: a write may ask for a pause at once
        for side in (self, other):
            side._pass_on_held()
        if self.has_ended and other.has_ended:
            self.transport.close()  # after what is still buffered for them
            other.transport.close()
        elif self.has_ended:
            other.transport.write_eof()
        elif other.has_ended:
            self.transport.write_eof()

    def leave_at_request(self, on_request: Callable[["Side"], None]) -> None:
        """Part from the other side when the next request begins here.

        Args:
            on_request: Called then; it is to tie this side to another one. What came is held.
        """
        self._on_request = on_request

    def drop(self) -> None:
        """Close now, and tell nobody."""
        self._on_lost = None
        if hasattr(self, "transport"):
            self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport and tell who waits for it."""
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(BUFFER_BYTES)
        if self._on_made is not None:
            self._on_made(self)

    def data_received(self, data: bytes) -> None:
        """Pass on, or hold until the other side is there."""
        self.active_s = time.monotonic()
        self.received += len(data)
        if self._on_request is not None and not self.spoke_last and data.startswith(METHODS):
            self._part(self._on_request)
        self.spoke_last = True
        other = self._other
        if other is None:
            if not self._held:
                self.transport.pause_reading()
            self._held.append(data)
        elif not other.is_lost:
            other.spoke_last = False
            other.transport.write(data)

    def eof_received(self) -> bool:
        """Pass the half-close on; True keeps our half open."""
        self.has_ended = True
        self.active_s = time.monotonic()
        other = self._other
        if other is None:
            return True
        if other.has_ended:
            other.transport.close()  # after what is still buffered for it
            return False
        if not other.is_lost:
            other.transport.write_eof()
        return True  # keep our half open: the answer is still to come

    def connection_lost(self, exc: Exception | None) -> None:
        """Close the other side in the same way."""
        self.is_lost = True
        other = self._other
        if other is not None and not other.is_lost:
            if exc is None:
                other.transport.close()
            else:
                other.transport.abort()
        if self._on_lost is not None:
            self._on_lost(self)

    def pause_writing(self) -> None:
        """This side doesn't read: the other has to wait."""
        if self._other is not None and not self._other.is_lost:
            self._other.transport.pause_reading()

    def resume_writing(self) -> None:
        """This side reads again."""
        if self._other is not None and not self._other.is_lost:
            self._other.transport.resume_reading()

    def _part(self, on_request: Callable[["Side"], None]) -> None:
        """Let the other side end alone, unless it is ending anyway and takes this one along."""
        other = self._other
        if other is None or other.has_ended or other.is_lost:
            return
        self._on_request = self._other = other._other = None
        other.transport.close()
        on_request(self)

    def _pass_on_held(self) -> None:
        held = b"".join(self._held)
        if held and self._other is not None:
            self._held.clear()
            self.transport.resume_reading()
            self._other.transport.write(held)  # last: it may pause our reading again
