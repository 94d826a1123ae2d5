"""A connection that only listens: what the node says, in order, at the pace of who takes it.

Subscribed, a node answers commands and sends messages on one stream, so replies can't be counted as
``shard.connection`` does. When ``MAX_WAITING`` frames wait to be taken it stops reading; the
kernel's buffers fill, then the node's, which ends the connection at its own limit
(client-output-buffer-limit pubsub) rather than losing a message in silence.
"""

import asyncio
from collections import deque
from typing import cast

import hiredis

from shard.guard import Guard, TooMuchError
from shard.resp import ReplyError

MAX_WAITING = 1024  # frames; as many as a connection has commands in flight

_NOT_ENOUGH = object()


class Feed(asyncio.Protocol):
    """Frames from one node; made by ``loop.create_connection``.

    Args:
        max_frame_bytes: A longer one, give or take one read, ends the connection.
    """

    def __init__(self, max_frame_bytes: int) -> None:
        self.is_lost = False
        self._max_frame_bytes = max_frame_bytes
        self._partial_bytes = 0
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(replyError=ReplyError, notEnoughData=_NOT_ENOUGH)
        self._guard = Guard(self._reader, max_frame_bytes)
        self._frames: deque[object] = deque()
        self._transport: asyncio.Transport | None = None
        self._is_paused = False
        self._waiter: asyncio.Future[None] | None = None

    def send(self, data: bytes) -> None:
        """Write; nothing when the connection is gone."""
        if self._transport is not None:
            self._transport.write(data)

    async def next(self, timeout_s: float) -> object:
        """Return the next frame.

        Raises:
            TimeoutError: None came in time.
            ConnectionError: The connection is gone, and every frame taken.
        """
        if not self._frames and not self.is_lost:
            self._waiter = self._loop.create_future()
            await asyncio.wait([self._waiter], timeout=timeout_s)
            self._waiter = None
        if self._frames:
            return self._take()
        if self.is_lost:
            raise ConnectionError("connection lost")
        raise TimeoutError

    def close(self) -> None:
        """End the connection."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
        self.is_lost = True
        self._wake()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let who waits know."""
        self.close()

    def data_received(self, data: bytes) -> None:
        """Queue whole frames."""
        before = len(self._frames)
        try:
            for piece in self._guard.pieces(data):
                self._reader.feed(piece)
                while (frame := self._reader.gets()) is not _NOT_ENOUGH:
                    self._frames.append(frame)
        except (hiredis.ProtocolError, TypeError, TooMuchError):
            self.close()
        if len(self._frames) > before:
            self._partial_bytes = 0
            self._guard.on_reply()
        else:
            self._partial_bytes += len(data)
        if self._partial_bytes > self._max_frame_bytes:
            self.close()
        if len(self._frames) > MAX_WAITING and self._transport is not None:
            self._transport.pause_reading()
            self._is_paused = True
        self._wake()

    def _take(self) -> object:
        frame = self._frames.popleft()
        if self._is_paused and not self._frames and self._transport is not None:
            self._is_paused = False
            self._transport.resume_reading()
        return frame

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
