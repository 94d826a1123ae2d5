"""A small HTTP/1.1 server on a real socket, whose answers a test scripts by the path."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

from tests.ports import free_port


class Seen(NamedTuple):
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Exchange(NamedTuple):
    """What a script answers with: bytes as they are, or it closes or keeps the connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Write a whole answer; underscores in header names become dashes."""
        lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.writer.write("\r\n".join([*lines, "", ""]).encode() + body)

    async def wait_left(self) -> None:
        """Wait until the client has closed the connection."""
        while await self.reader.read(1024):
            pass


Script = Callable[[Exchange, int], Awaitable[None] | None]
"""Answer a request; the number says how many the server has seen before it."""


class Server:
    """What it saw, where it listens, and how many connections were ever made."""

    def __init__(self, script: Script, port: int) -> None:
        self._script = script
        self.endpoint = f"127.0.0.1:{port}"
        self.seen: list[Seen] = []
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.connections += 1
        try:
            while True:
                await self._serve_one(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, path, _ = head[0].split(" ")
        pairs = [line.partition(":") for line in head[1:] if line]
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        if headers.get("transfer-encoding") == "chunked":
            body = await reader.readuntil(b"0\r\n\r\n")
        self.seen.append(Seen(method, path, headers, body))
        done = self._script(Exchange(reader, writer), len(self.seen) - 1)
        if done is not None:
            await done
        if writer.is_closing():
            raise ConnectionResetError


@asynccontextmanager
async def running(script: Script) -> AsyncIterator[Server]:
    """Run a server for the length of a test."""
    port = free_port()
    server = Server(script, port)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", port)
    try:
        yield server
    finally:
        listening.close()
