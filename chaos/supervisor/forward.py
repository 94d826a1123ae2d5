"""Publish a port: bytes between a listener on 127.0.0.1 and the address of one process.

Why: in process mode each replica has an address of its own, and users expect 127.0.0.1:8080, as
Docker gives them. Back-pressure goes through (a slow reader pauses the writer on the other side),
half-close too (a client may finish sending and go on reading), and a side that breaks resets the
other.
Not handled: more than TCP; the client's own address (the process sees the forwarder's).
"""

import asyncio
import errno
import socket

from chaos.supervisor.plan import Forward
from kit.errors import LabEnvironmentError

BACKLOG_COUNT = 1024


class _Half(asyncio.Protocol):
    """One of the two connections of a pair; what it reads, the other writes."""

    def __init__(self) -> None:
        self.other: _Half | None = None
        self.transport: asyncio.Transport | None = None
        self.has_ended = False  # it has sent everything it will

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        own = transport.get_extra_info("socket")
        own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        self._to().write(data)

    def eof_received(self) -> bool:
        assert self.other is not None
        self.has_ended = True
        self._to().write_eof()
        if self.other.has_ended and self.transport is not None:
            self.transport.close()
        return True  # keep our writing side open: the answer may still come

    def pause_writing(self) -> None:
        self._to().pause_reading()

    def resume_writing(self) -> None:
        self._to().resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.other is None or self.other.transport is None:
            return
        if exc is None:
            self.other.transport.close()
        else:
            self.other.transport.abort()

    def _to(self) -> asyncio.Transport:
        assert self.other is not None
        assert self.other.transport is not None
        return self.other.transport


class _Front(_Half):
    """The client's side: connects onward before it reads anything."""

    def __init__(self, forwarder: "Forwarder") -> None:
        super().__init__()
        self.forwarder = forwarder

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert self.transport is not None
        self.transport.pause_reading()
        self.forwarder.on_client(self)

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
            _, back = await asyncio.get_running_loop().create_connection(
                _Half, self.forward.to_host, self.forward.to_port
            )
        except OSError:
            front.transport.abort()  # as Docker's proxy does when nobody listens behind it
            return
        back.other, front.other = front, back
        if front.transport.is_closing():
            assert back.transport is not None
            back.transport.abort()
        else:
            front.transport.resume_reading()
