"""Run the L4 proxy: ``python -m lb.l4``."""

from kit.listen import bind
from kit.node import Node
from kit.run import run
from lb.l4.server import L4Server
from lb.l4.settings import BACKEND_SERVICE, PORT


async def main(node: Node) -> None:
    """Serve until told to stop."""
    life = node.lifecycle
    server = L4Server(node, on_begin=life.begin_request, on_end=life.end_request, rng=node.rng)

    async def close(limit_s: float) -> None:
        """Drain; what is left is cut off below."""
        await server.drain(limit_s)

    node.directory.on_change(BACKEND_SERVICE, server.set_endpoints)
    node.register_gate("balancer", server)
    try:
        await server.start(bind(node.settings.bind_host, PORT))
        node.port = PORT
        await life.serve(close)
    finally:
        server.close()


if __name__ == "__main__":
    run(main, "l4")
