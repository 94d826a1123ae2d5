"""The L4 proxy: accept, choose a backend, tie the two together, drain.

Per connection one task, which ends when the two are tied; what flows after that costs callbacks
only. When no backend can be reached the client's connection is closed at once: TCP has no other way
to say "come back later".
"""

import asyncio
import random
import socket
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from lb.endpoints import Endpoint
from lb.l4.pipe import Side
from lb.l4.settings import (
    BACKEND_SERVICE,
    BACKLOG,
    CONNECT_TIMEOUT_S,
    IDLE_TIMEOUT_S,
    MAX_ATTEMPTS,
    MAX_CONNECTIONS,
    RECHECK_S,
    SWEEP_S,
)
from lb.policy.balancer import Balancer
from lb.policy.health import CheckedHealth
from lb.tallies import NOT_CONNECTED, Tallies
from resilience.policy.contract import Outcome, Request, Snapshot
from resilience.switches import Switches

_ANY_REQUEST = Request()


class Tied(NamedTuple):
    """Where a client's bytes go."""

    backend: Side
    endpoint: str
    address: tuple[str, int]


class L4Server:
    """Serve one address; backends get connections by P2C, the fewer the likelier.

    Args:
        switches: Positions of ``checks`` (believe refused connections) and ``panic``.
        on_begin: Called with each connection.
        on_end: Called with the end of each.
        max_connections: Beyond it a new connection is closed at once.
        idle_timeout_s: Silence in both directions that ends a connection.
        rng: Source of chance.
    """

    def __init__(
        self,
        switches: Switches,
        *,
        on_begin: Callable[[], None] = lambda: None,
        on_end: Callable[[], None] = lambda: None,
        max_connections: int = MAX_CONNECTIONS,
        idle_timeout_s: float = IDLE_TIMEOUT_S,
        rng: random.Random | None = None,
    ) -> None:
        self.balancer = Balancer(
            rng or random.Random(), switches.mode, health=CheckedHealth(recheck_s=RECHECK_S)
        )
        self._on_begin = on_begin
        self._on_end = on_end
        self._max_connections = max_connections
        self._idle_timeout_s = idle_timeout_s
        self.service = BACKEND_SERVICE
        self.tallies = Tallies()
        self._is_held_out: Callable[[str], bool] = lambda name: False
        self._addresses: dict[str, tuple[str, int]] = {}
        self._clients: dict[Side, Tied | None] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._is_empty = asyncio.Event()
        self._is_empty.set()
        self.refused_connections = 0
        self.unserved_connections = 0

    def set_endpoints(self, endpoints: Sequence[Endpoint]) -> None:
        """Follow the registry.

        Connections that are tied stay; those to a backend that is reached another way now move
        there with their next request.
        """
        self._addresses = {one.instance: (one.host, one.port) for one in endpoints}
        self.tallies.keep(self._addresses)
        self.balancer.set_endpoints(list(self._addresses), time.monotonic())
        self.hold_out(self._is_held_out)
        for client, tied in self._clients.items():
            if tied is not None:
                self._move_if_led_elsewhere(client, tied)

    def hold_out(self, is_held_out: Callable[[str], bool]) -> None:
        """Give those that an operator ejected no new connection until told otherwise."""
        self._is_held_out = is_held_out
        names = [name for name in self._addresses if is_held_out(name)]
        self.balancer.hold_out(names, time.monotonic())

    def connections_to(self, name: str) -> int:
        """Connections open to one backend."""
        return self.balancer.loads().get(name, 0)

    async def start(self, listener: socket.socket) -> None:
        """Accept on a bound socket."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Side(self._on_client, self._on_client_lost), sock=listener, backlog=BACKLOG
        )
        self._sweep()

    async def drain(self, timeout_s: float) -> bool:
        """Stop accepting and wait for connections to end; False when some did not."""
        if self._server is not None:
            self._server.close()
        try:
            async with asyncio.timeout(timeout_s):
                await self._is_empty.wait()
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """Close everything now."""
        if self._server is not None:
            self._server.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
        for task in tuple(self._tasks):
            task.cancel()
        for client in tuple(self._clients):
            client.transport.abort()

    @property
    def connections(self) -> int:
        """Clients connected now."""
        return len(self._clients)

    def reset(self, now_s: float) -> None:
        """Forget which backends refused, and count anew."""
        self.balancer.reset(now_s)
        self.tallies.reset()

    def snapshot(self) -> Snapshot:
        """Counts, and the balancer's view."""
        return {
            "connections": len(self._clients),
            "refused_connections": self.refused_connections,
            "unserved_connections": self.unserved_connections,
            **self.balancer.snapshot(),
        }

    def _on_client(self, client: Side) -> None:
        if len(self._clients) >= self._max_connections:
            self.refused_connections += 1
            client.transport.abort()
            return
        self._is_empty.clear()
        self._on_begin()
        self._begin_to_connect(client)

    def _begin_to_connect(self, client: Side) -> None:
        self._clients[client] = None
        task = asyncio.get_running_loop().create_task(self._connect(client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _on_client_lost(self, client: Side) -> None:
        if client not in self._clients:
            return
        del self._clients[client]
        self._on_end()
        if not self._clients:
            self._is_empty.set()

    async def _connect(self, client: Side) -> None:
        """Find a backend that accepts, and tie the two; otherwise let the client go."""
        tried: list[str] = []
        while len(tried) < MAX_ATTEMPTS and not client.is_lost:
            endpoint = self.balancer.pick(_ANY_REQUEST, tried, time.monotonic())
            if endpoint is None:
                break
            tried.append(endpoint)
            if await self._connect_to(endpoint, client):
                return
        self.unserved_connections += not client.is_lost
        client.transport.abort()

    async def _connect_to(self, endpoint: str, client: Side) -> bool:
        host, port = self._addresses[endpoint]
        self.balancer.on_start(endpoint, time.monotonic())
        self.tallies.on_pick(endpoint)
        side = Side(on_lost=lambda _: self._release(endpoint))
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await loop.create_connection(lambda: side, host, port)
        except OSError:  # TimeoutError is one
            self._give_up(side, endpoint)
            self.tallies.on_end(endpoint, NOT_CONNECTED, 0.0)
            self.balancer.on_unreachable(endpoint, time.monotonic())
            return False
        except asyncio.CancelledError:
            self._give_up(side, endpoint)
            raise
        self._tie(client, Tied(side, endpoint, (host, port)))
        return True

    def _tie(self, client: Side, tied: "Tied") -> None:
        if client.is_lost:
            tied.backend.transport.abort()
            return
        if tied.backend.is_lost:
            client.transport.abort()
            return
        self._clients[client] = tied
        client.tie(tied.backend)
        self._move_if_led_elsewhere(client, tied)

    def _move_if_led_elsewhere(self, client: Side, tied: "Tied") -> None:
        if self._addresses.get(tied.endpoint, tied.address) != tied.address:
            client.leave_at_request(self._begin_to_connect)

    def _give_up(self, side: Side, endpoint: str) -> None:
        """Count a connection out that came too late; the loop may or may not tell of its loss."""
        if not side.is_lost:  # its loss has released it
            side.drop()
            self._release(endpoint)

    def _release(self, endpoint: str) -> None:
        self.balancer.on_finish(endpoint, Outcome.OK, time.monotonic())

    def _sweep(self) -> None:
        limit_s = time.monotonic() - self._idle_timeout_s
        for client, tied in tuple(self._clients.items()):
            if tied is not None and max(client.active_s, tied.backend.active_s) < limit_s:
                client.transport.close()
                tied.backend.transport.close()
        self._sweeper = asyncio.get_running_loop().call_later(
            min(SWEEP_S, self._idle_timeout_s), self._sweep
        )
