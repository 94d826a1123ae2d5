"""A backend as a process of its own, to be killed and paused: ``python -m ... PORT NAME``."""

import asyncio
import sys

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b"


class Backend(asyncio.Protocol):
    """Answer every GET with the name after 5 ms, ``/readyz`` at once."""

    name = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        delay_s = 0.0 if data.startswith(b"GET /readyz") else 0.005
        loop.call_later(delay_s, self._answer)

    def _answer(self) -> None:
        self.transport.write(ANSWER % (len(self.name), self.name))  # type: ignore[attr-defined]


async def main(port: int, name: str) -> None:
    """Serve until killed."""
    Backend.name = name.encode()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Backend, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
