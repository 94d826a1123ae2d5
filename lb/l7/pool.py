"""Connections to one backend: the idle ones, and making new ones.

Last in, first out: the connection used last is the least likely to be closed by the other side.
"""

import asyncio
import time
from collections.abc import Callable

from lb.l7.settings import CONNECT_TIMEOUT_S, MAX_IDLE_PER_BACKEND, UPSTREAM_IDLE_S
from lb.l7.upstream import UpstreamConnection


class Pool:
    """Lend connections to one address.

    Args:
        host: Address.
        port: Port.
    """

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self._idle: list[UpstreamConnection] = []
        self._connections: set[UpstreamConnection] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        self._is_retired = False

    def take_idle(self) -> UpstreamConnection | None:
        """Lend an idle connection, None when there is none."""
        while self._idle:
            conn = self._idle.pop()
            if not (conn.is_closed or conn.transport.is_closing()):
                return conn
        return None

    def connect(self, on_done: Callable[[UpstreamConnection | None], None]) -> None:
        """Make a connection; ``on_done`` gets it, or None when it could not be made in time."""
        task = asyncio.get_running_loop().create_task(self._connect(on_done))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    def take_back(self, conn: UpstreamConnection) -> None:
        """Keep a connection that may be used again."""
        if self._is_retired or len(self._idle) >= MAX_IDLE_PER_BACKEND:
            conn.close()
            return
        conn.is_reused = True
        conn.idle_since_s = time.monotonic()
        self._idle.append(conn)

    def forget(self, conn: UpstreamConnection) -> None:
        """Let go of a connection that is closed."""
        self._connections.discard(conn)
        if conn in self._idle:
            self._idle.remove(conn)

    def close_idle(self, now_s: float) -> None:
        """Close what has been idle too long; the oldest are at the front."""
        while self._idle and now_s - self._idle[0].idle_since_s >= UPSTREAM_IDLE_S:
            self._idle[0].close()

    def retire(self) -> None:
        """The backend left: close what is idle, let what is under way finish."""
        self._is_retired = True
        for conn in tuple(self._idle):
            conn.close()

    def close(self) -> None:
        """Close everything now."""
        self._is_retired = True
        for task in tuple(self._connecting):
            task.cancel()
        for conn in tuple(self._connections):
            conn.abandon()

    @property
    def counts(self) -> tuple[int, int]:
        """Idle connections, and all."""
        return len(self._idle), len(self._connections)

    async def _connect(self, on_done: Callable[[UpstreamConnection | None], None]) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, conn = await loop.create_connection(
                    lambda: UpstreamConnection(self), self.host, self.port
                )
        except OSError:  # TimeoutError is one
            on_done(None)
            return
        if conn.is_closed or conn.transport.is_closing():  # accepted and hung up in one turn
            on_done(None)
            return
        self._connections.add(conn)
        on_done(conn)
