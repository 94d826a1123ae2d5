"""A backend as a process of its own, to be killed and paused: ``python -m ... PORT NAME``.

SIGUSR1 makes it 300 ms slower, or as it was; SIGUSR2 makes every other answer a 500, or none.
"""

import asyncio
import signal
import sys

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b"
FAILURE = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: %d\r\n\r\n%b"
USUAL_S = 0.005
SLOW_S = 0.3


class Backend(asyncio.Protocol):
    """Answer every GET with the name after 5 ms, ``/readyz`` at once."""

    name = b""
    delay_s = USUAL_S
    fails = False
    answered = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        if data.startswith(b"GET /readyz"):
            self._write(ANSWER)
        else:
            loop.call_later(Backend.delay_s, self._answer)

    @classmethod
    def toggle_slow(cls) -> None:
        cls.delay_s = USUAL_S if cls.delay_s != USUAL_S else USUAL_S + SLOW_S

    @classmethod
    def toggle_failing(cls) -> None:
        cls.fails = not cls.fails

    def _answer(self) -> None:
        Backend.answered += 1
        self._write(FAILURE if Backend.fails and Backend.answered % 2 else ANSWER)

    def _write(self, answer: bytes) -> None:
        self.transport.write(answer % (len(self.name), self.name))  # type: ignore[attr-defined]


async def main(port: int, name: str) -> None:
    """Serve until killed."""
    Backend.name = name.encode()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, Backend.toggle_slow)
    loop.add_signal_handler(signal.SIGUSR2, Backend.toggle_failing)
    server = await loop.create_server(Backend, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
