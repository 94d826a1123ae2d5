"""The L4 proxy: accept, choose a backend, tie the two together, drain.

Per connection one task, which ends when the two are tied; what flows after that costs callbacks
only. When no backend can be reached the client's connection is closed at once: TCP has no other way
to say "come back later".
"""

import asyncio
import random
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

from lb.endpoints import Endpoint
from lb.l4.pipe import Side
from lb.l4.settings import (
    BACKEND_SERVICE,
    BACKLOG,
    MAX_ATTEMPTS,
    RECHECK_S,
    SWEEP_S,
    L4Settings,
)
from lb.l7.arrivals import NO_HEADERS, Arrivals, ProxyProtocolOptions
from lb.policy.balancer import Balancer
from lb.policy.health import CheckedHealth
from lb.proxy_protocol import Address, Header, render_v1, render_v2
from lb.tallies import NOT_CONNECTED, Tallies
from resilience.policy.contract import Outcome, Request, Snapshot
from resilience.switches import Switches

_ANY_REQUEST = Request()
_RENDER = {"v1": render_v1, "v2": render_v2}


class Tied(NamedTuple):
    """Where a client's bytes go."""

    backend: Side
    endpoint: str
    address: tuple[str, int]


class L4Server:
    """Serve one address; backends get connections by P2C, the fewer the likelier, unless another
    algorithm is used.

    Args:
        switches: Positions of ``checks`` (believe refused connections) and ``panic``.
        on_begin: Called with each connection.
        on_end: Called with the end of each.
        settings: Limits and times; may be changed while it runs.
        health: Who is up; by default whoever refused is asked again after ``RECHECK_S``.
        rng: Source of chance.
    """

    def __init__(
        self,
        switches: Switches,
        *,
        on_begin: Callable[[], None] = lambda: None,
        on_end: Callable[[], None] = lambda: None,
        settings: L4Settings | None = None,
        health: CheckedHealth | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.balancer = Balancer(
            rng or random.Random(),
            switches.mode,
            health=health or CheckedHealth(recheck_s=RECHECK_S),
        )
        self._on_begin = on_begin
        self._on_end = on_end
        self.settings = settings or L4Settings()
        self.service = BACKEND_SERVICE
        self.tallies = Tallies()
        self._is_held_out: Callable[[str], bool] = lambda name: False
        self._addresses: dict[str, tuple[str, int]] = {}
        self._clients: dict[Side, Tied | None] = {}
        self._sources: dict[Side, Address] = {}
        self._by_host: Counter[str] = Counter()  # connections of each client's address
        self._moved: dict[str, list[int]] = {}  # bytes of connections that have ended: in, out
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._arrivals: Arrivals | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._is_empty = asyncio.Event()
        self._is_empty.set()
        self.refused_connections = 0
        self.refused_per_client = 0
        self.unserved_connections = 0

    def set_endpoints(
        self, endpoints: Sequence[Endpoint], weights: Mapping[str, float] | None = None
    ) -> None:
        """Follow the registry; all weigh the same unless told otherwise.

        Connections that are tied stay; those to a backend that is reached another way now move
        there with their next request.
        """
        self._addresses = {one.instance: (one.host, one.port) for one in endpoints}
        self.tallies.keep(self._addresses)
        self._moved = {name: self._moved.get(name, [0, 0]) for name in self._addresses}
        self.balancer.set_endpoints(weights or list(self._addresses), time.monotonic())
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

    async def start(
        self, listener: socket.socket, headers: ProxyProtocolOptions = NO_HEADERS
    ) -> None:
        """Accept on a bound socket; ``headers`` says whose PROXY protocol header is read."""
        loop = asyncio.get_running_loop()
        if headers.mode == "off":
            self._server = await loop.create_server(
                lambda: self._side(None), sock=listener, backlog=BACKLOG
            )
        else:
            self._arrivals = Arrivals(self._side, headers)
            self._arrivals.start(listener)
        self._sweep()

    async def drain(self, timeout_s: float) -> bool:
        """Stop accepting and wait for connections to end; False when some did not."""
        self._stop_accepting()
        try:
            async with asyncio.timeout(timeout_s):
                await self._is_empty.wait()
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """Close everything now."""
        self._stop_accepting()
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
        """Counts, bytes by backend in both directions, and the balancer's view."""
        moved = self._bytes_moved()
        return {
            "connections": len(self._clients),
            "refused_connections": self.refused_connections,
            "refused_per_client": self.refused_per_client,
            "unserved_connections": self.unserved_connections,
            **(self._arrivals.snapshot() if self._arrivals is not None else {}),
            **{f"{name}.bytes_in": sizes[0] for name, sizes in moved.items()},
            **{f"{name}.bytes_out": sizes[1] for name, sizes in moved.items()},
            **self.balancer.snapshot(),
        }

    def _side(self, told: Address | None) -> Side:
        """Make a client's side; ``told`` is who it is by its PROXY protocol header."""
        return Side(lambda side: self._on_client(side, told), self._on_client_lost)

    def _on_client(self, client: Side, told: Address | None) -> None:
        limits = self.settings
        if len(self._clients) >= limits.max_connections:
            self.refused_connections += 1
            client.transport.abort()
            return
        source = told or _address(client, "peername")
        if limits.max_per_client and self._by_host[source.host] >= limits.max_per_client:
            self.refused_per_client += 1
            client.transport.abort()
            return
        self._by_host[source.host] += 1
        self._sources[client] = source
        self._is_empty.clear()
        self._on_begin()
        self._begin_to_connect(client)

    def _begin_to_connect(self, client: Side) -> None:
        tied = self._clients.get(client)
        if tied is not None:  # it moves
            self._count_bytes(self._moved, client, tied)
            client.received = 0
        self._clients[client] = None
        task = asyncio.get_running_loop().create_task(self._connect(client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _on_client_lost(self, client: Side) -> None:
        if client not in self._clients:
            return
        tied = self._clients.pop(client)
        if tied is not None:
            self._count_bytes(self._moved, client, tied)
        host = self._sources.pop(client).host
        self._by_host[host] -= 1
        if not self._by_host[host]:
            del self._by_host[host]
        self._on_end()
        if not self._clients:
            self._is_empty.set()

    async def _connect(self, client: Side) -> None:
        """Find a backend that accepts, and tie the two; otherwise let the client go."""
        tried: list[str] = []
        asked = self._asked_of(client)
        while len(tried) < MAX_ATTEMPTS and not client.is_lost:
            endpoint = self.balancer.pick(asked, (*tried, *self._full()), time.monotonic())
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
            async with asyncio.timeout(self.settings.connect_s):
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
        self._introduce(client, tied.backend)
        client.tie(tied.backend)
        self._move_if_led_elsewhere(client, tied)

    def _introduce(self, client: Side, backend: Side) -> None:
        """Tell the backend who the client is, before the first byte."""
        version = self.settings.send_header
        if version == "off":
            return
        destination = _address(client, "sockname")
        try:
            header = _RENDER[version](Header(self._sources[client], destination))
        except ValueError:  # the client came by a header of the other family
            header = _RENDER[version](Header())
        backend.transport.write(header)

    def _asked_of(self, client: Side) -> Request:
        key = self.settings.key
        if not key:
            return _ANY_REQUEST
        source = self._sources[client]
        return Request(key=source.host if key == "source_ip" else f"{source.host}:{source.port}")

    def _full(self) -> Sequence[str]:
        """Name the backends that have as many connections as they may."""
        limit = self.settings.max_per_backend
        if not limit:
            return ()
        return [name for name, count in self.balancer.loads().items() if count >= limit]

    def _bytes_moved(self) -> Mapping[str, Sequence[int]]:
        moved = {name: list(sizes) for name, sizes in self._moved.items()}
        for client, tied in self._clients.items():
            if tied is not None:
                self._count_bytes(moved, client, tied)
        return moved

    def _count_bytes(self, moved: dict[str, list[int]], client: Side, tied: Tied) -> None:
        sizes = moved.get(tied.endpoint)
        if sizes is not None:  # else it has left, and nobody asks any more
            sizes[0] += client.received
            sizes[1] += tied.backend.received

    def _stop_accepting(self) -> None:
        if self._server is not None:
            self._server.close()
        if self._arrivals is not None:
            self._arrivals.close()

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
        now_s, settings = time.monotonic(), self.settings
        for client, tied in tuple(self._clients.items()):
            if tied is None:
                continue
            is_half = client.has_ended or tied.backend.has_ended
            limit_s = settings.half_close_s if is_half else settings.idle_s
            if max(client.active_s, tied.backend.active_s) < now_s - limit_s:
                client.transport.close()
                tied.backend.transport.close()
        next_s = min(SWEEP_S, settings.idle_s, settings.half_close_s)
        self._sweeper = asyncio.get_running_loop().call_later(next_s, self._sweep)


def _address(side: Side, end: Literal["peername", "sockname"]) -> Address:
    """Return one end of a connection; of one that is gone already nobody knows it."""
    known = side.transport.get_extra_info(end) or ("unknown", 0)
    return Address(str(known[0]), int(known[1]))
