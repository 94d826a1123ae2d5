"""A tiny HTTP server for load tests: keep-alive, a fixed delay, answers by path."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tests.ports import free_port

Answer = tuple[int, bytes]
Answers = Callable[[str, str], Answer]
"""From path and request id to status and body."""


def always_fine(path: str, request_id: str) -> Answer:
    """200 and an empty object."""
    return 200, b"{}"


class TinyServer:
    """Serve on a thread of its own.

    Args:
        answers: What to say.
        delay_s: Before each answer.
    """

    def __init__(self, answers: Answers = always_fine, delay_s: float = 0.0) -> None:
        self.port = free_port()
        self.seen: list[str] = []
        self.heads: list[str] = []
        self.connections = 0
        self._answers = answers
        self._delay_s = delay_s
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start and wait until it listens."""
        self._thread.start()
        assert self._ready.wait(20), "the test server didn't start"

    def stop(self) -> None:
        """End it with all its connections."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        tasks: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = self._loop.create_task(self._converse(reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        server = await asyncio.start_server(accept, "127.0.0.1", self.port, backlog=512)
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                await self._answer(head, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            with suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _answer(self, head: str, writer: asyncio.StreamWriter) -> None:
        path = head.split(" ", 2)[1]
        request_id = head.partition("x-request-id: ")[2].partition("\r\n")[0]
        self.seen.append(request_id)
        self.heads.append(head)
        if self._delay_s:
            await asyncio.sleep(self._delay_s)
        status, body = self._answers(path, request_id)
        if status == 0:
            writer.transport.abort()
            raise ConnectionResetError
        writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)


@contextmanager
def tiny_server(answers: Answers = always_fine, delay_s: float = 0.0) -> Iterator[TinyServer]:
    """Run a server for the length of a with block."""
    server = TinyServer(answers, delay_s)
    server.start()
    try:
        yield server
    finally:
        server.stop()
