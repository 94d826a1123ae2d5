"""One connection through a link proxy: two sockets, and between them the toxics.

Why: toxics are pure (``faults.wire.exchange``); this file reads the clock and has the sockets.
Without a toxic bytes go straight from one socket to the other. Back-pressure acts both ways: while
the receiver is slow nothing more is handed to it, and while too much is on its way the sender is
not read. A half-close goes through as one, a reset as a reset.
Source: lb/l4/pipe.py for the plain case.
Not handled: TLS; the lab's links are plain.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import cast

from faults.wire.exchange import Exchange, Told
from faults.wire.piece import Piece, Signal, Way
from kit.listen import reset_on_close

HELD_BYTES = 1_048_576  # on its way in one direction before the sender waits; Linux: tcp_wmem 4 MiB
WRITE_BUFFER_BYTES = 65_536  # asyncio's own high-water mark
CONNECT_TIMEOUT_S = 5.0  # Envoy: cluster connect_timeout 5 s
CLOSE_LIMIT_S = 5.0  # for what was written before an end; then a peer that doesn't read is cut off


class Side(asyncio.Protocol):
    """One of the two connections.

    Args:
        pipe: What it belongs to.
        way: The direction of the bytes that it receives.
    """

    def __init__(self, pipe: "Pipe", way: Way) -> None:
        self._pipe = pipe
        self.way = way
        self.transport: asyncio.Transport | None = None
        self.is_lost = False
        self.may_write = True
        self.has_ended = False  # it was told that no more comes
        self._is_reading = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(WRITE_BUFFER_BYTES)
        self._pipe.on_made(self)

    def data_received(self, data: bytes) -> None:
        """Pass on."""
        self._pipe.on_piece(self.way, data)

    def eof_received(self) -> bool:
        """Pass the half-close on; True keeps our half open."""
        self._pipe.on_piece(self.way, Signal.END)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the other side, by way of the toxics."""
        self.is_lost = True
        self._pipe.on_lost(self, exc)

    def pause_writing(self) -> None:
        """The receiver is slow."""
        self.may_write = False

    def resume_writing(self) -> None:
        """The receiver takes more."""
        self.may_write = True
        self._pipe.pump()

    @property
    def can_take(self) -> bool:
        """Whether what leaves can be written; what goes to a lost side is dropped."""
        return self.is_lost or (self.transport is not None and self.may_write)

    def read(self, wanted: bool) -> None:
        """Read from the socket, or leave the sender waiting."""
        if self.transport is None or self.is_lost or wanted == self._is_reading:
            return
        self._is_reading = wanted
        if wanted:
            self.transport.resume_reading()
        else:
            self.transport.pause_reading()

    def cut(self) -> None:
        """End with a reset; one that is closing already just ends."""
        if self.transport is None or self.is_lost:
            return
        if not self.transport.is_closing():  # its socket may be closed before it says so
            reset_on_close(self.transport.get_extra_info("socket").fileno())
        self.transport.abort()

    def close(self) -> None:
        """End in order, after what was written."""
        if self.transport is not None and not self.is_lost:
            self.transport.close()


class Pipe:
    """Carry one client's connection; ``client`` is the protocol of its socket.

    Args:
        exchange: The toxics of this connection.
        upstream: The server's host and port.
        on_end: Called once when both sockets are gone.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        exchange: Exchange,
        upstream: tuple[str, int],
        on_end: Callable[["Pipe"], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.client = Side(self, Way.UPSTREAM)
        self.server = Side(self, Way.DOWNSTREAM)
        self._exchange = exchange
        self._upstream = upstream
        self._on_end = on_end
        self._clock = clock
        self._dialling: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | asyncio.Handle | None = None
        self._is_over = False  # it was told to end
        self._is_gone = False  # it has ended
        self.bytes = dict.fromkeys(Way, 0)

    def __repr__(self) -> str:
        return f"<Pipe to {self._upstream[0]}:{self._upstream[1]}, {self._exchange!r}>"

    def set_toxics(self, toxics: Sequence[Told]) -> None:
        """Act by these from now on."""
        self._exchange.set_toxics(toxics, self._clock())
        self.pump()

    def cut(self) -> None:
        """Reset both connections, also while they are closing."""
        self._finish(Side.cut)

    def close(self) -> None:
        """Close both connections after what was written."""
        if not self._is_over:
            self._finish(Side.close)
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(CLOSE_LIMIT_S, self.cut)

    def on_made(self, side: Side) -> None:
        """A socket is connected: the client's asks for the server's."""
        if self._is_over:  # told to end between being accepted, or dialled, and now
            side.cut()
            return
        self.pump()  # what is down is reset before anybody is dialled
        if side is self.client and not self._is_over:
            self._dialling = asyncio.get_running_loop().create_task(self._dial())

    def on_piece(self, way: Way, piece: Piece) -> None:
        """Something came; without a toxic it goes straight on."""
        target = self._target(way)
        if isinstance(piece, bytes):
            self.bytes[way] += len(piece)
            if target.can_take and self._exchange.is_plain(way):
                self._act(target, piece)
                self._balance(way)
                return
        self._exchange.take(way, piece, self._clock())
        self.pump()

    def on_lost(self, side: Side, exc: Exception | None) -> None:
        """A socket is gone: what it sent still arrives, and then how it went."""
        if self._is_gone:
            return
        if all(each.is_lost or each.transport is None for each in (self.client, self.server)):
            self._is_gone = True
            self._finish(Side.cut)  # nobody is left; it stops the timer, and a dial under way
            self._on_end(self)
        elif not self._is_over:
            self.on_piece(side.way, Signal.CLOSE if exc is None else Signal.RESET)

    def pump(self) -> None:
        """Write what may leave now, one piece each way, and come back for the rest.

        One piece a turn, since several written in one turn leave as one.
        """
        if self._is_over:
            return  # the timer is now the one that limits closing
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now_s = self._clock()
        for way in Way:
            target = self._target(way)
            if self._is_over:
                return
            if target.can_take and (piece := self._exchange.leave(way, now_s)) is not None:
                self._act(target, piece)
            self._balance(way)
        self._arm(now_s)

    async def _dial(self) -> None:
        host, port = self._upstream
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await asyncio.get_running_loop().create_connection(lambda: self.server, host, port)
        except (OSError, UnicodeError):  # TimeoutError is the one, a name that can't be the other
            self.cut()

    def _act(self, target: Side, piece: Piece) -> None:
        if piece is Signal.RESET:
            self.cut()
        elif piece is Signal.CLOSE:
            self.close()
        elif target.transport is None or target.is_lost or target.has_ended:
            return  # nobody is there to have it, or it was told that no more comes
        elif isinstance(piece, bytes):
            target.transport.write(piece)
        else:
            self._end_half(target)

    def _end_half(self, target: Side) -> None:
        """Pass a half-close on; the second of the two ends the connection."""
        target.has_ended = True
        if self.client.has_ended and self.server.has_ended:
            self.close()
        elif target.transport is not None:
            target.transport.write_eof()

    def _balance(self, way: Way) -> None:
        """Read from the sender only while what it sends finds room."""
        target = self._target(way)
        has_room = self._exchange.held_bytes(way) < HELD_BYTES
        self._source(way).read(has_room and (target.may_write or target.is_lost))

    def _arm(self, now_s: float) -> None:
        """Come back when the next piece may leave, unless its receiver has to call first."""
        times = [self._exchange.next_s(way) for way in Way if self._target(way).can_take]
        due_s = min((time_s for time_s in times if time_s is not None), default=None)
        if due_s is None or self._is_over:
            return
        loop = asyncio.get_running_loop()
        if due_s <= now_s:
            self._timer = loop.call_soon(self.pump)
        else:
            self._timer = loop.call_later(due_s - now_s, self.pump)

    def _target(self, way: Way) -> Side:
        return self.server if way is Way.UPSTREAM else self.client

    def _source(self, way: Way) -> Side:
        return self.client if way is Way.UPSTREAM else self.server

    def _finish(self, how: Callable[[Side], None]) -> None:
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
        if self._dialling is not None and self.server.transport is None:
            self._dialling.cancel()  # later uvloop would drop the transport without a word
        for side in (self.client, self.server):
            how(side)
