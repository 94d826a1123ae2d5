"""Our proxies as a contender: the lab's own server and defaults, one fixed backend, no control.

Why: in the lab a registry names the backends and control the switches; here both stand still, so
that a figure is the proxy's alone. What a request costs in the lab is all there: the balancer, the
retry budget, deadlines, the recorder.
Not handled: health checks, as for every contender.
"""

import asyncio
import sys
from typing import NamedTuple

import uvloop

from bench.proxies.contender import HOST
from kit.listen import bind
from kit.recorder import Recorder
from lb.l4.server import L4Server
from lb.l7.proxy import Proxy
from lb.l7.server import L7Server
from resilience.switches import FixedSwitches

LAYERS = ("l7", "l4")


class Where(NamedTuple):
    """An endpoint as a registry would name it."""

    instance: str
    host: str
    port: int


async def serve_l7(port: int, backend_port: int) -> L7Server:
    """Start the L7 proxy; it serves until ``close``."""
    proxy = Proxy(FixedSwitches(), Recorder().add)
    proxy.set_endpoints([Where("backend.1", HOST, backend_port)])
    server = L7Server(proxy)
    await server.start(bind(HOST, port))
    return server


async def serve_l4(port: int, backend_port: int) -> L4Server:
    """Start the L4 proxy; it serves until ``close``."""
    server = L4Server(FixedSwitches())
    server.set_endpoints([Where("backend.1", HOST, backend_port)])
    await server.start(bind(HOST, port))
    return server


async def main(layer: str, port: int, backend_port: int) -> None:
    """Serve until standard input ends: then the parent is gone."""
    serve = serve_l7 if layer == "l7" else serve_l4
    server = await serve(port, backend_port)
    try:
        await asyncio.to_thread(sys.stdin.read)
    finally:
        server.close()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
