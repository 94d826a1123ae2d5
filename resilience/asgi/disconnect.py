"""Disconnect watch: hear a client leave while the application is busy, and lose no body.

ASGI tells of a client's leaving only to who asks by ``receive``, which an application at work does
not. So this adapter owns ``receive``: it reads one message ahead, keeps it for the application, and
goes on reading only when that was taken or was the last of the body; then nothing can come but
the disconnect. A body is thus read no faster than it is used, whatever its size.
Not handled: a client who leaves in the middle of a body that nobody reads.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from resilience.asgi.types import Message, Receive


class DisconnectWatch:
    """Stand between a server's ``receive`` and an application.

    Args:
        receive: The server's.
        on_disconnect: Called once, from the event loop, when the client has left.
    """

    __slots__ = ("_ahead", "_error", "_is_stopped", "_moved", "_on_disconnect", "_receive", "_task")

    def __init__(self, receive: Receive, on_disconnect: Callable[[], None]) -> None:
        self._receive = receive
        self._on_disconnect = on_disconnect
        self._ahead: deque[Message] = deque()  # at most the last of the body and the disconnect
        self._moved = asyncio.Event()
        self._error: Exception | None = None
        self._is_stopped = False
        self._task = asyncio.get_running_loop().create_task(self._listen())

    async def receive(self) -> Message:
        """Give the application its next message."""
        while not self._ahead:
            if self._error is not None:
                raise self._error
            if self._is_stopped:
                return await self._receive()
            self._moved.clear()
            await self._moved.wait()
        message = self._ahead.popleft()
        if _is_disconnect(message):
            self._ahead.append(message)  # asked again, say it again
        self._moved.set()
        return message

    def stop(self) -> None:
        """Listen no more; ``receive`` goes on, first with what was read ahead."""
        self._is_stopped = True
        self._task.cancel()
        self._moved.set()

    async def _listen(self) -> None:
        try:
            while True:
                message = await self._receive()
                self._ahead.append(message)
                self._moved.set()
                if _is_disconnect(message):
                    break
                while self._ahead and message.get("more_body", False):
                    self._moved.clear()
                    await self._moved.wait()
        except Exception as error:
            self._error = error  # raised where the application reads
            self._moved.set()
        else:
            if not self._is_stopped:
                self._on_disconnect()


def _is_disconnect(message: Message) -> bool:
    return bool(message["type"] == "http.disconnect")
