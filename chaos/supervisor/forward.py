"""Publish a port: bytes between a listener on 127.0.0.1 and the address of one process.

Why: in process mode each replica has an address of its own, and users expect 127.0.0.1:8080, as
Docker gives them. Back-pressure goes through (a slow reader pauses the writer on the other side),
half-close too (a client may finish sending and go on reading), and a side that breaks resets the
other.
Not handled: more than TCP; the client's own address (the process sees the forwarder's).
"""

import asyncio
import errno
from typing import cast

from chaos.supervisor.plan import Forward
from kit.errors import LabEnvironmentError

BACKLOG_COUNT = 1024


class _Half(asyncio.Protocol):
    """One of the two connections of a pair; what it reads, the other writes."""

    def __init__(self, other: "_Half | None" = None) -> None:
        self.other = other
        self.transport: asyncio.Transport | None = None
        self.has_ended = False  # it has sent everything it will

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not asserted: uvloop's transports are no subclass. Both loops set TCP_NODELAY themselves.
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if not self._to().is_closing():  # uvloop raises where asyncio drops
            self._to().write(data)

    def eof_received(self) -> bool:
        assert self.other is not None
        self.has_ended = True
        if not self._to().is_closing():
            self._to().write_eof()
        if self.other.has_ended:
            self._own().close()
        return True  # keep our writing side open: the answer may still come

    def pause_writing(self) -> None:
        if not self._to().is_closing():
            self._to().pause_reading()

    def resume_writing(self) -> None:
        if not self._to().is_closing():
            self._to().resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.other is None or self.other.transport is None:
            return
        if exc is None:
            self.other.transport.close()
        else:
            self.other.transport.abort()

    def _own(self) -> asyncio.Transport:
        assert self.transport is not None
        return self.transport

    def _to(self) -> asyncio.Transport:
        assert self.other is not None
        return self.other._own()


class _Back(_Half):
    """The process's side: a pair from its first moment, since its first bytes may come with it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert isinstance(self.other, _Front)
        if self._to().is_closing():
            self._own().abort()
        else:
            self.other.on_connected(self)


class _Front(_Half):
    """The client's side: connects onward, and keeps what comes before that is done."""

    def __init__(self, forwarder: "Forwarder") -> None:
        super().__init__()
        self.forwarder = forwarder
        self._early = b""  # what came before the way onward was there

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.forwarder.on_client(self)

    def on_connected(self, back: _Back) -> None:
        """Pass on what came early, and go on reading."""
        self.other = back
        if self._early:
            self._to().write(self._early)
            self._own().resume_reading()
        if self.has_ended:
            self._to().write_eof()

    def data_received(self, data: bytes) -> None:
        if self.other is not None:
            super().data_received(data)
            return
        # Why not pause in connection_made: uvloop begins to read after it all the same.
        self._early += data
        if self._own().is_reading():
            self._own().pause_reading()

    def eof_received(self) -> bool:
        if self.other is not None:
            return super().eof_received()
        self.has_ended = True
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.forwarder.on_client_lost(self)
        super().connection_lost(exc)


class Forwarder:
    """One published port, open from `start` to `close`."""

    def __init__(self, forward: Forward) -> None:
        self.forward = forward
        self._server: asyncio.Server | None = None
        self._connecting: set[asyncio.Task[None]] = set()
        self._fronts: set[_Front] = set()

    async def start(self) -> None:
        """Listen.

        Raises:
            LabEnvironmentError: The port is taken.
        """
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: _Front(self), self.forward.host, self.forward.port, backlog=BACKLOG_COUNT
            )
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise LabEnvironmentError(
                f"port {self.forward.port} on {self.forward.host} is taken: end what "
                "listens there, or move the lab with SQUALL_PORT"
            ) from error

    def on_client(self, front: _Front) -> None:
        """Connect a new client onward."""
        self._fronts.add(front)
        task = asyncio.get_running_loop().create_task(self._connect(front))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    def on_client_lost(self, front: _Front) -> None:
        """Forget a client that is gone."""
        self._fronts.discard(front)

    def close(self) -> None:
        """Stop listening and reset what is open."""
        if self._server is not None:
            self._server.close()
        for task in self._connecting:
            task.cancel()
        for front in list(self._fronts):
            if front.transport is not None:
                front.transport.abort()

    async def _connect(self, front: _Front) -> None:
        assert front.transport is not None
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: _Back(front), self.forward.to_host, self.forward.to_port
            )
        except OSError:
            front.transport.abort()  # as Docker's proxy does when nobody listens behind it
