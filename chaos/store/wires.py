"""What lies between the nodes of a store, so that it can be cut.

Each node announces an address at which not it but a relay listens, for clients' commands and for
the cluster's bus; and each connects from an address of its own. So a relay knows which two nodes a
connection joins, and a cut is a network that swallows: nothing arrives, nobody is told. What was on
the way arrives after the cut, unless one of the two has died meanwhile.
Source: Jepsen's partitions (iptables DROP); Toxiproxy's ``timeout`` toxic.
Not handled: cutting clients off; they go directly (``OwnStore.dial``).
"""

import asyncio
from collections.abc import Iterable, Mapping

PORTS = (6379, 16379)  # commands and replication; the bus, 10,000 above


class Wires:
    """Relays in front of nodes.

    Args:
        nodes: Where each node listens, by the address it announces.
    """

    def __init__(self, nodes: Mapping[str, str]) -> None:
        self._nodes = dict(nodes)
        self._servers: list[asyncio.Server] = []
        self._pipes: set[_Pipe] = set()
        self._cut: set[frozenset[str]] = set()

    async def open(self) -> None:
        """Listen at every announced address."""
        loop = asyncio.get_running_loop()
        for announced, host in self._nodes.items():
            for port in PORTS:
                make = _maker(self, host, port)
                self._servers.append(await loop.create_server(make, announced, port))

    def close(self) -> None:
        """Stop listening and end every connection."""
        for server in self._servers:
            server.close()
        for pipe in tuple(self._pipes):
            pipe.abort()

    def cut(self, host: str, others: Iterable[str]) -> int:
        """Let nothing pass between a node and others; return how many connections that stops."""
        self._cut |= {frozenset((host, other)) for other in others}
        held = [pipe for pipe in self._pipes if pipe.ends in self._cut]
        for pipe in held:
            pipe.hold()
        return len(held)

    def heal(self) -> None:
        """Let everything pass again."""
        self._cut.clear()
        for pipe in tuple(self._pipes):
            pipe.release()

    def is_cut(self, ends: frozenset[str]) -> bool:
        """Whether nothing may pass between two nodes."""
        return ends in self._cut

    def is_cut_off(self, host: str) -> bool:
        """Whether a node is cut off from somebody, and every connection to them stands still."""
        mine = [pipe for pipe in self._pipes if host in pipe.ends and pipe.ends in self._cut]
        return any(host in ends for ends in self._cut) and not any(map(_Pipe.passes, mine))

    def add(self, pipe: "_Pipe") -> None:
        """Know a new connection."""
        self._pipes.add(pipe)

    def drop(self, pipe: "_Pipe") -> None:
        """Forget it."""
        self._pipes.discard(pipe)


def _maker(wires: Wires, host: str, port: int) -> "type[_Near]":
    class Near(_Near):
        def __init__(self) -> None:
            super().__init__(_Pipe(wires, host, port))

    return Near


class _Pipe:
    """One connection through a relay: the end that came, and the end that was dialled for it."""

    def __init__(self, wires: Wires, host: str, port: int) -> None:
        self.wires = wires
        self.host, self.port = host, port
        self.ends: frozenset[str] = frozenset()
        self.near: asyncio.Transport | None = None
        self.far: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None

    def begin(self, near: asyncio.Transport) -> None:
        self.near = near
        self.ends = frozenset((near.get_extra_info("peername")[0], self.host))
        near.pause_reading()  # until the other end is there
        self.wires.add(self)
        self._task = asyncio.create_task(self._dial())

    async def _dial(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: _Far(self), self.host, self.port)
        except OSError:
            self.abort()

    def joined(self, far: asyncio.Transport) -> None:
        self.far = far
        if self.near is None or self.near.is_closing():
            far.abort()
        elif self.wires.is_cut(self.ends):
            self.hold()
        else:
            self.near.resume_reading()

    def hold(self) -> None:
        for end in (self.near, self.far):
            if end is not None and end.is_reading():
                end.pause_reading()

    def passes(self) -> bool:
        return any(end is not None and end.is_reading() for end in (self.near, self.far))

    def release(self) -> None:
        for end in (self.near, self.far):
            if self.far is not None and end is not None and not end.is_closing():
                end.resume_reading()

    def abort(self) -> None:
        self.wires.drop(self)
        for end in (self.near, self.far):
            if end is not None:
                end.abort()


class _End(asyncio.Protocol):
    """Hands on what it reads to the other end."""

    def __init__(self, pipe: _Pipe) -> None:
        self.pipe = pipe

    @property
    def other(self) -> asyncio.Transport | None:
        return self.pipe.far

    def data_received(self, data: bytes) -> None:
        if self.other is not None:
            self.other.write(data)

    def pause_writing(self) -> None:
        if self.other is not None and self.other.is_reading():
            self.other.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and not self.pipe.wires.is_cut(self.pipe.ends):
            self.other.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.pipe.abort()


class _Near(_End):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.pipe.begin(transport)


class _Far(_End):
    @property
    def other(self) -> asyncio.Transport | None:
        return self.pipe.near

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.pipe.joined(transport)
