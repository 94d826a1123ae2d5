"""WebSocket: after a 101, two connections become one, and nothing is read of their bytes.

Why: a WebSocket begins as a request and then belongs to no request: it has no deadline, no retry
and no end that HTTP could tell. So the exchange ends with the 101, and this takes both connections.
What a client sends before the 101 is held, never parsed; without a 101 it is dropped with the
connection, so bytes that one side takes for frames are never taken for a request by another.
An end of one side ends both, after what has come was delivered; a slow side makes the other wait.
Source: RFC 6455 (4.1: a client waits for the 101), RFC 9110 7.8 (Upgrade).
Not handled: other protocols than ``websocket``, half-open tunnels, frames (pings included).
"""

import asyncio
import time
from collections.abc import Callable, Iterator

from kit.source import DataPath
from kit.source_types import Part
from lb.l7.settings import BUFFER_BYTES, LINGER_S
from resilience.policy.contract import Snapshot

IDLE_S = 300.0  # Envoy's stream idle timeout; nginx 60 s, HAProxy "timeout tunnel" commonly 1 h
MAX_TUNNELS = 1000  # a tenth of the connections: each holds two, for hours


class WebSocketOptions(Part, frozen=True):
    """Section ``websocket``.

    Args:
        enabled: Pass them on; else they are answered 501.
        idle_s: A tunnel that is silent this long, both ways, is closed, > 0.
        limit: Tunnels at a time, >= 1; beyond it 503.
    """

    enabled: bool = False
    idle_s: float = IDLE_S
    limit: int = MAX_TUNNELS


def websocket_mistakes(options: WebSocketOptions, at: DataPath) -> Iterator[tuple[DataPath, str]]:
    """Name each number out of range."""
    if not options.idle_s > 0:
        yield (*at, "idle_s"), f"idle_s is {options.idle_s:g}; give more than 0"
    if options.limit < 1:
        yield (*at, "limit"), f"limit is {options.limit}; give 1 at least"


class Tunnels:
    """What all tunnels share: their limits and their counts.

    Args:
        options: The file's section.
    """

    def __init__(self, options: WebSocketOptions | None = None) -> None:
        self.options = options or WebSocketOptions()
        self.open = 0
        self.opened = 0
        self.ended_idle = 0
        self.bytes_from_clients = 0
        self.bytes_from_backends = 0

    @property
    def is_full(self) -> bool:
        """Whether one more would be too many."""
        return self.open >= self.options.limit

    def snapshot(self) -> Snapshot:
        """Tunnels open now; counts since the start, bytes of those that have ended."""
        return {
            "open": self.open,
            "opened": self.opened,
            "ended_idle": self.ended_idle,
            "bytes_from_clients": self.bytes_from_clients,
            "bytes_from_backends": self.bytes_from_backends,
        }


class Early:
    """What a client says before its upgrade is answered: held, in order."""

    __slots__ = ("_held", "_size")

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._size = 0

    def add(self, data: bytes) -> bool:
        """Hold more; True when the client has to wait now."""
        self._held.append(data)
        self._size += len(data)
        return self._size > BUFFER_BYTES

    def take(self) -> bytes:
        """Return it all."""
        held = b"".join(self._held)
        self._held.clear()
        return held

    def __bool__(self) -> bool:
        return bool(self._held)


class Tunnel:
    """Pass bytes both ways until one side ends.

    Args:
        client: Its transport; this takes over both.
        backend: Its transport.
        tunnels: Limits and counts.
        on_end: Called once, when both are gone.
    """

    def __init__(
        self,
        client: asyncio.Transport,
        backend: asyncio.Transport,
        tunnels: Tunnels,
        on_end: Callable[[], None],
    ) -> None:
        self._tunnels = tunnels
        self._on_end = on_end
        self._client = _End(self, client)
        self._backend = _End(self, backend)
        self._client.other, self._backend.other = self._backend, self._client
        self._closed_s: float | None = None
        self.active_s = time.monotonic()
        tunnels.open += 1
        tunnels.opened += 1

    def start(self, *, to_backend: bytes, to_client: bytes, client_has_room: bool) -> None:
        """Take over, and pass on first what has come already."""
        self._client.transport.set_protocol(self._client)
        self._backend.transport.set_protocol(self._backend)
        if not client_has_room:
            self._client.pause_writing()
        if to_backend:
            self._client.data_received(to_backend)
        if to_client:
            self._backend.data_received(to_client)

    def close(self) -> None:
        """Close both, after what is on its way to them."""
        if self._closed_s is None:
            self._closed_s = time.monotonic()
        for end in (self._client, self._backend):
            if not end.is_lost:
                end.transport.close()

    def abort(self) -> None:
        """Close both now."""
        for end in (self._client, self._backend):
            if not end.is_lost:
                end.transport.abort()

    def close_if_idle(self, now_s: float) -> None:
        """Close one that is silent; cut off one whose end isn't taken."""
        if self._closed_s is not None:
            if now_s - self._closed_s >= LINGER_S:
                self.abort()
        elif now_s - self.active_s >= self._tunnels.options.idle_s:
            self._tunnels.ended_idle += 1
            self.close()

    def on_lost(self, exc: Exception | None) -> None:
        """One side is gone: end the other in the same way."""
        if exc is None:
            self.close()
        else:
            self.abort()
        if self._client.is_lost and self._backend.is_lost:
            self._tunnels.open -= 1
            self._tunnels.bytes_from_clients += self._client.bytes
            self._tunnels.bytes_from_backends += self._backend.bytes
            self._on_end()


class _End(asyncio.Protocol):
    """One of a tunnel's two connections."""

    other: "_End"

    def __init__(self, tunnel: Tunnel, transport: asyncio.Transport) -> None:
        self._tunnel = tunnel
        self.transport = transport
        self.bytes = 0
        self.is_lost = False

    def data_received(self, data: bytes) -> None:
        """Pass on."""
        self._tunnel.active_s = time.monotonic()
        self.bytes += len(data)
        if not self.other.is_lost:
            self.other.transport.write(data)

    def eof_received(self) -> None:
        """End both."""
        self._tunnel.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the other too."""
        self.is_lost = True
        self._tunnel.on_lost(exc)

    def pause_writing(self) -> None:
        """This side doesn't read: the other has to wait."""
        if not self.other.is_lost:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        """This side reads again."""
        if not self.other.is_lost:
            self.other.transport.resume_reading()
