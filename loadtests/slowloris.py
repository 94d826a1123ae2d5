"""Slow clients: connections that begin a request and never finish it, one header byte at a time.

    python -m loadtests.slowloris --host http://127.0.0.1:8080 --connections 1200 --for 20s

Why: a server that waits for a request as long as bytes come gives a connection to whoever sends one
byte a second. Some of them take every connection there is, at the cost of a modem.
Source: Slowloris (RSnake, 2009); Apache's mod_reqtimeout and nginx's client_header_timeout answer
it. Sent are a request line, a Host and the beginning of one header that grows byte by byte; whoever
is answered or cut off comes back, at most ``rate`` of them a second.
Not handled: slow bodies and slow readers; TLS; more than one address.
"""

import argparse
import asyncio
import contextlib
import json
import os
import resource
import signal
import socket
import sys
import time
from collections import deque
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

from loadtests.plan import parse_seconds

DEFAULT_CONNECTIONS = 1200
DEFAULT_RATE = 200.0  # as many as one page's worth of browsers; far below a flood
DEFAULT_BYTE_MS = 1000.0
MAX_CONNECTIONS = 10_000
TICK_S = 0.05
SPARE_FILES = 64  # what a process needs beside its connections
EXIT_USAGE, EXIT_ENVIRONMENT = 2, 3


class SlowClient(asyncio.Protocol):
    """One connection: its head's beginning at once, then a byte each time it is asked."""

    def __init__(self, crowd: "Crowd") -> None:
        self._crowd = crowd
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the head."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._crowd.beginning)
        self._crowd.on_open(self)

    def data_received(self, data: bytes) -> None:
        """Somebody answered, so no more is wanted of this one."""
        self._crowd.answered += 1
        self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave the crowd."""
        self._transport = None
        self._crowd.on_close(self)

    def drip(self) -> bool:
        """Send one byte; False when the connection is gone."""
        if self._transport is None or self._transport.is_closing():
            return False
        self._transport.write(b"b")
        return True

    def close(self) -> None:
        """End it."""
        if self._transport is not None:
            self._transport.abort()


class Crowd:
    """Keep so many slow clients, and count what becomes of them.

    Args:
        host: Where to.
        port: Where to.
        connections: How many at most, 1 to 10,000.
        rate: New ones a second at most, > 0.
        byte_ms: Between two bytes of one connection, > 0.
    """

    def __init__(
        self, host: str, port: int, *, connections: int, rate: float, byte_ms: float
    ) -> None:
        self.beginning = f"GET / HTTP/1.1\r\nHost: {host}:{port}\r\nX-Slow: ".encode()
        self.opened = self.answered = self.closed = self.refused = self.peak = 0
        self._address = (host, port)
        self._most = connections
        self._rate = rate
        self._byte_s = byte_ms / 1000
        self._open: set[SlowClient] = set()
        self._dripping: deque[tuple[float, SlowClient]] = deque()  # by when the next byte is due
        self._opening: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Open, drip and reopen until cancelled."""
        due, before_s = 0.0, time.monotonic()
        try:
            while True:
                now_s = time.monotonic()
                due = min(due + (now_s - before_s) * self._rate, max(1.0, self._rate * TICK_S * 4))
                before_s = now_s
                while due >= 1.0 and len(self._open) + len(self._opening) < self._most:
                    due -= 1.0
                    task = asyncio.create_task(self._connect(), name="slow client")
                    self._opening.add(task)
                    task.add_done_callback(self._opening.discard)
                self._drip(now_s)
                await asyncio.sleep(TICK_S)
        finally:
            for task in tuple(self._opening):
                task.cancel()
            await asyncio.gather(*self._opening, return_exceptions=True)
            for client in tuple(self._open):
                client.close()

    def on_open(self, client: SlowClient) -> None:
        """Count one in."""
        self.opened += 1
        self._open.add(client)
        self.peak = max(self.peak, len(self._open))
        self._dripping.append((time.monotonic() + self._byte_s, client))

    def on_close(self, client: SlowClient) -> None:
        """Count one out."""
        self.closed += 1
        self._open.discard(client)

    def facts(self) -> dict[str, int]:
        """Return what has happened so far: ``open`` now, ``peak``, and how many were ``opened``,
        ``answered`` (with a 408, say), ``closed`` and ``refused``."""
        return {
            "open": len(self._open),
            "peak": self.peak,
            "opened": self.opened,
            "answered": self.answered,
            "closed": self.closed,
            "refused": self.refused,
        }

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: SlowClient(self), *self._address)
        except OSError:
            self.refused += 1

    def _drip(self, now_s: float) -> None:
        while self._dripping and self._dripping[0][0] <= now_s:
            _, client = self._dripping.popleft()
            if client.drip():
                self._dripping.append((now_s + self._byte_s, client))


def allow_files(connections: int) -> None:
    """Let this process have so many connections.

    Raises:
        OSError: The hard limit of open files is lower; says which it is.
    """
    needed = connections + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise OSError(
            f"{connections} connections need {needed} open files and {hard} are allowed: "
            f"ulimit -Hn {needed}"
        )
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtests.slowloris", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("--host", default=f"http://127.0.0.1:{os.environ.get('SQUALL_PORT', '8080')}")
    add("--connections", type=int, default=DEFAULT_CONNECTIONS, help="at most so many at once")
    add("--rate", type=float, default=DEFAULT_RATE, help="new ones a second")
    add("--byte-ms", type=float, default=DEFAULT_BYTE_MS, help="between two bytes of one")
    add("--for", dest="seconds", default="20s", help="how long: 20s, 2m")
    add("--out", type=Path, help="a file that tells each second what has happened (JSON)")
    add("--parent", type=int, default=0, help="end when this process is no longer the parent")
    given = parser.parse_args(words)
    try:
        given.seconds = parse_seconds(given.seconds)
        parts = urlsplit(given.host)
        given.address = (parts.hostname, parts.port or 80)
    except ValueError as error:
        parser.error(str(error))
    if parts.scheme != "http" or not parts.hostname:
        parser.error(f"--host is {given.host!r}; it must look like http://127.0.0.1:8080")
    if not 1 <= given.connections <= MAX_CONNECTIONS:
        parser.error(f"--connections is {given.connections}; give 1 to {MAX_CONNECTIONS}")
    for name in ("rate", "byte_ms"):
        if not 0 < getattr(given, name) < float("inf"):
            parser.error(f"--{name.replace('_', '-')} must be more than 0")
    return given


async def _run(given: argparse.Namespace) -> dict[str, int]:
    host, port = given.address
    crowd = Crowd(host, port, connections=given.connections, rate=given.rate, byte_ms=given.byte_ms)
    loop = asyncio.get_running_loop()
    end = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end.set)
    running = asyncio.create_task(crowd.run(), name="crowd")
    ends_s = time.monotonic() + given.seconds
    while not end.is_set() and (left_s := ends_s - time.monotonic()) > 0:
        if given.parent and os.getppid() != given.parent:
            break
        _tell(given.out, crowd.facts())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(end.wait(), min(0.5, left_s))
    facts = crowd.facts()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    _tell(given.out, facts)
    return facts


def _tell(out: Path | None, facts: dict[str, int]) -> None:
    if out is not None:
        beside = out.with_suffix(".new")
        beside.write_text(json.dumps(facts))
        beside.replace(out)


def main(words: list[str] | None = None) -> int:
    """Run from the command line; returns the exit code, 3 when the machine doesn't allow it."""
    given = _arguments(words)
    try:
        allow_files(given.connections)
        socket.getaddrinfo(*given.address)
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_ENVIRONMENT
    import uvloop  # here: whoever only checks a drill's numbers needn't pay for it

    print(json.dumps(uvloop.run(_run(given))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
