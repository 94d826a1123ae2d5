"""A link proxy: a listener that stands in for one server address, and its connections' toxics.

Why: a client is sent here instead of to the server while something is to go wrong between them.
The listener listens as soon as it is made, without waiting for the event loop, so whoever announces
it never announces a closed door.
Source: Toxiproxy's proxy (Shopify/toxiproxy: proxy.go).
"""

import asyncio
import random
import socket
from collections.abc import Sequence

from faults.wire.exchange import Exchange, Told
from faults.wire.piece import Way
from faults.wire.pipe import Pipe
from kit.listen import BACKLOG

Address = tuple[str, int]


class Proxy:
    """Carry connections to one server address.

    Args:
        listener: Bound; the proxy owns it from now on.
        upstream: The server's host and port.
        rng: Draws shares, jitter and sizes.
    """

    def __init__(self, listener: socket.socket, upstream: Address, rng: random.Random) -> None:
        listener.listen(BACKLOG)  # from here on a client that connects waits and isn't refused
        self.listen: Address = listener.getsockname()[:2]
        self.upstream = upstream
        self.accepted = 0
        self.carried_bytes = dict.fromkeys(Way, 0)  # of connections that have ended
        self._rng = rng
        self._toxics: Sequence[Told] = ()
        self._pipes: set[Pipe] = set()
        self._listener = listener
        self._server: asyncio.Server | None = None
        self._is_closed = False
        self._starting = asyncio.get_running_loop().create_task(self._start())

    def __repr__(self) -> str:
        return (
            f"<Proxy {self.listen[0]}:{self.listen[1]} to {self.upstream[0]}:{self.upstream[1]}, "
            f"{len(self._pipes)} connections, {len(self._toxics)} toxics>"
        )

    @property
    def connections(self) -> int:
        """Clients connected now."""
        return len(self._pipes)

    def set_toxics(self, toxics: Sequence[Told]) -> None:
        """Disturb by these from now on, connections that stand included."""
        if [spec for spec, _ in toxics] == [spec for spec, _ in self._toxics]:
            return
        self._toxics = tuple(toxics)
        for pipe in tuple(self._pipes):
            pipe.set_toxics(self._toxics)

    def redirect(self, upstream: Address) -> None:
        """Carry new connections elsewhere, and end those that stand."""
        self.upstream = upstream
        for pipe in tuple(self._pipes):
            pipe.close()

    def stop_listening(self) -> None:
        """Take no more connections; those that stand go on."""
        self._is_closed = True
        if self._server is not None:
            self._server.close()
        else:
            self._starting.cancel()
            self._listener.close()

    def close(self) -> None:
        """Stop, and end every connection."""
        self.stop_listening()
        for pipe in tuple(self._pipes):
            pipe.close()

    def cut(self) -> None:
        """Stop, and reset every connection."""
        self.stop_listening()
        for pipe in tuple(self._pipes):
            pipe.cut()

    async def _start(self) -> None:
        server = await asyncio.get_running_loop().create_server(
            self._accept, sock=self._listener, backlog=BACKLOG
        )
        if self._is_closed:
            server.close()
        self._server = server

    def _accept(self) -> asyncio.BaseProtocol:
        self.accepted += 1
        exchange = Exchange(self._rng)
        pipe = Pipe(exchange, self.upstream, self._on_end)
        self._pipes.add(pipe)
        pipe.set_toxics(self._toxics)
        return pipe.client

    def _on_end(self, pipe: Pipe) -> None:
        self._pipes.discard(pipe)
        for way in Way:
            self.carried_bytes[way] += pipe.bytes[way]
