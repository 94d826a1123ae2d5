"""Our L4 proxy as a contender: the lab's own server and defaults, one fixed backend, no control.

Why: in the lab a registry names the backends and control the switches; here both stand still, so
that a figure is the proxy's alone.
Not handled: health checks, as for every contender; L7, which runs from its own file
(``l7_peers.ours_l7``).
"""

import asyncio
import sys
from typing import NamedTuple

import uvloop

from bench.proxies.contender import HOST
from kit.listen import bind
from lb.l4.server import L4Server
from resilience.switches import FixedSwitches


class Where(NamedTuple):
    """An endpoint as a registry would name it."""

    instance: str
    host: str
    port: int


async def serve_l4(port: int, backend_port: int) -> L4Server:
    """Start the L4 proxy; it serves until ``close``."""
    server = L4Server(FixedSwitches())
    server.set_endpoints([Where("backend.1", HOST, backend_port)])
    await server.start(bind(HOST, port))
    return server


async def main(port: int, backend_port: int) -> None:
    """Serve until standard input ends: then the parent is gone."""
    server = await serve_l4(port, backend_port)
    try:
        await asyncio.to_thread(sys.stdin.read)
    finally:
        server.close()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2])))
