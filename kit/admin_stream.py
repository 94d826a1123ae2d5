"""A live stream of a process's events at its admin port: server-sent events, a few readers.

Why readers come and look (four times a second) instead of being woken: telling an event then costs
the same however many watch, and a reader who is slow misses what has left the ring and holds up
nobody. The ids go on over a restart, so a browser's ``Last-Event-ID`` works.
Source: WHATWG HTML, "Server-sent events".
"""

import asyncio
from typing import Protocol

from kit.events import Event, as_stream

EVENT_STREAM = "text/event-stream"
MAX_STREAMS = 4  # of the admin port's 32 connections: probes and scrapers must find room
LOOK_EVERY_S = 0.25
BEAT_EVERY_LOOKS = 40  # a comment every 10 s: a peer that vanished is noticed by writing to it
HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-store\r\n"
    b"connection: close\r\n\r\n"
)


class Source(Protocol):
    """Where events are kept."""

    def after(self, event_id: int = 0) -> list[Event]:
        """Return the kept events after one, oldest first."""


class EventStreams:
    """Send a node's events to whoever listens.

    Args:
        source: The node's events.
        look_every_s: How often to look for new ones, seconds > 0.
    """

    def __init__(self, source: Source, look_every_s: float = LOOK_EVERY_S) -> None:
        self._source = source
        self._look_every_s = look_every_s
        self._tasks: set[asyncio.Task[object]] = set()

    @property
    def has_room(self) -> bool:
        """Whether one more may listen."""
        return len(self._tasks) < MAX_STREAMS

    async def send(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, after: int
    ) -> None:
        """Send what is newer than an id, until the client leaves or ``close`` ends it."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        left = asyncio.ensure_future(reader.read(1))
        try:
            writer.write(HEAD)
            looks = 0
            while not left.done():
                for event in self._source.after(after):
                    after = event.id
                    writer.write(b"".join(as_stream([event])))
                looks += 1
                if looks % BEAT_EVERY_LOOKS == 0:
                    writer.write(b":\n\n")
                await writer.drain()
                await asyncio.wait([left], timeout=self._look_every_s)
        finally:
            left.cancel()
            await asyncio.gather(left, return_exceptions=True)
            self._tasks.discard(task)

    async def close(self) -> None:
        """End every stream."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
