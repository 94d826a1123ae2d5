"""The listening side of the L7 proxy: accept, bound, sweep, drain."""

import asyncio
import math
import socket
import time
from collections import Counter

from lb.l7.arrivals import NO_HEADERS, Arrivals, HandshakeContext, ProxyProtocolOptions
from lb.l7.client import ClientConnection
from lb.l7.clients import client_key
from lb.l7.proxy import Proxy
from lb.l7.served import Served
from lb.l7.settings import SWEEP_S
from resilience.policy.contract import Snapshot

BACKLOG = 2048  # the kernel cuts it to net.core.somaxconn
SLICE_CLIENTS = 500  # looked at in one go: a millisecond
MAX_SLICES = 20


class L7Server:
    """Serve a proxy on one address.

    Args:
        proxy: What all connections share.
        max_connections: Beyond it a new connection is closed at once; None: as the proxy's
            settings say.
    """

    def __init__(self, proxy: Proxy, *, max_connections: int | None = None) -> None:
        self._proxy = proxy
        self._max_connections = max_connections
        self._clients: dict[Served, str] = {}  # and what its address is counted under
        self._per_client: Counter[str] = Counter()
        self._server: asyncio.Server | None = None
        self._arrivals: list[Arrivals] = []
        self._sweeper: asyncio.TimerHandle | None = None
        self._unswept: list[Served] = []  # of this round
        self._slices = self._slice = 1  # parts of a round, and how many are in each
        self._is_empty = asyncio.Event()
        self._is_empty.set()
        self.refused_connections = 0

    async def start(
        self, listener: socket.socket, headers: ProxyProtocolOptions = NO_HEADERS
    ) -> None:
        """Accept on a bound socket; ``headers`` says whose PROXY protocol header is read."""
        loop = asyncio.get_running_loop()
        if headers.mode != "off":
            self._arrive(listener, headers, None)
        else:
            self._server = await loop.create_server(
                lambda: ClientConnection(self._proxy, self), sock=listener, backlog=BACKLOG
            )
        self._sweep()

    def start_tls(
        self,
        listener: socket.socket,
        certificates: HandshakeContext,
        headers: ProxyProtocolOptions = NO_HEADERS,
    ) -> None:
        """Accept TLS on another bound socket; after ``start``."""
        self._arrive(listener, headers, certificates)

    def begin_drain(self) -> None:
        """From now on each answer ends its connection; new connections are still served."""
        self._proxy.is_draining = True

    async def drain(self, timeout_s: float) -> bool:
        """Stop accepting, close what is idle, let what is under way finish; False when cut off."""
        self.begin_drain()
        self._stop_accepting()
        for client in tuple(self._clients):
            client.close_if_idle()
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
        for client in tuple(self._clients):
            client.abort()
        self._proxy.close()

    def admit(self, client: Served, peer: bytes) -> bool:
        """Count a connection in; False when there are too many, of all or of this address."""
        limit = self._max_connections or self._proxy.settings.max_connections
        if len(self._clients) >= limit:
            self.refused_connections += 1
            return False
        key = client_key(peer.decode("latin-1"))
        if not self._proxy.heads.limits.has_room(self._per_client[key]):
            return False
        self._clients[client] = key
        self._per_client[key] += 1
        self._is_empty.clear()
        return True

    def forget(self, client: Served) -> None:
        """Count a connection out."""
        key = self._clients.pop(client, None)
        if key is not None:
            self._per_client[key] -= 1
            if not self._per_client[key]:
                del self._per_client[key]
        if not self._clients:
            self._is_empty.set()

    def snapshot(self) -> Snapshot:
        """Clients connected now, those refused and those sent away, and what became of arrivals."""
        log = self._proxy.access_log
        return {
            "connections": len(self._clients),
            "refused_connections": self.refused_connections,
            **self._proxy.heads.limits.snapshot(),
            **self._proxy.slow_clients.snapshot(),
            **self._proxy.http2.snapshot(),
            **(log.snapshot() if log is not None else {}),
            **self.arrivals(),
        }

    def reset(self, now_s: float) -> None:
        """Count anew who is refused or sent away; connections stay."""
        self.refused_connections = 0
        self._proxy.slow_clients.reset()
        self._proxy.heads.limits.reset()

    @property
    def connections(self) -> int:
        """Clients connected now."""
        return len(self._clients)

    def arrivals(self) -> Snapshot:
        """What became of connections that begin with a header or a handshake: sums."""
        sums: Counter[str] = Counter()
        for one in self._arrivals:
            sums.update(one.snapshot())
        return dict(sums)

    def _arrive(
        self,
        listener: socket.socket,
        headers: ProxyProtocolOptions,
        certificates: HandshakeContext | None,
    ) -> None:
        arrivals = Arrivals(
            lambda peer: ClientConnection(self._proxy, self, peer.host if peer else None),
            headers,
            certificates,
            self._proxy.heads.limits,
        )
        arrivals.start(listener)
        self._arrivals.append(arrivals)

    def _stop_accepting(self) -> None:
        if self._server is not None:
            self._server.close()
        for arrivals in self._arrivals:
            arrivals.close()

    def _sweep(self) -> None:
        """Look at some clients; all have been looked at once in ``SWEEP_S``.

        Why not at all at once: ten thousand take 20 ms, in which nobody is served.
        """
        now_s = time.monotonic()
        if not self._unswept:
            self._unswept = list(self._clients)
            self._slices = slices_of(len(self._unswept))
            self._slice = math.ceil(len(self._unswept) / self._slices)
            self._proxy.sweep(now_s)
        for _ in range(min(self._slice, len(self._unswept))):
            client = self._unswept.pop()
            if client in self._clients:
                client.sweep(now_s)
        pause_s = SWEEP_S / self._slices
        self._sweeper = asyncio.get_running_loop().call_later(pause_s, self._sweep)


def slices_of(clients: int) -> int:
    """Return in how many parts so many clients are looked at."""
    return min(MAX_SLICES, max(1, math.ceil(clients / SLICE_CLIENTS)))
