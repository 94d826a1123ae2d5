"""Run the L4 proxy: ``python -m lb.l4`` in the lab, ``python -m lb.l4 FILE`` by itself."""

import sys

from kit.listen import bind
from kit.node import Node
from kit.open_files import SPARE_FILES, allow_open_files
from kit.run import run
from lb.fleet import is_held_out, tables_of
from lb.fleet_metrics import families
from lb.l4.server import L4Server
from lb.l4.settings import BACKEND_SERVICE, MAX_CONNECTIONS, PORT


async def main(node: Node) -> None:
    """Serve until told to stop."""
    allow_open_files(2 * MAX_CONNECTIONS + SPARE_FILES)
    life = node.lifecycle
    server = L4Server(node, on_begin=life.begin_request, on_end=life.end_request, rng=node.rng)

    async def close(limit_s: float) -> None:
        """Drain; what is left is cut off below."""
        await server.drain(limit_s)

    node.directory.on_change(BACKEND_SERVICE, server.set_endpoints)
    node.register_gate("balancer", server)
    node.metrics.families(lambda: families([server]))
    node.answer(
        "lb.backends", lambda args: tables_of([server], node.state, node.directory.members())
    )
    node.on_change(lambda state: server.hold_out(is_held_out(state)))
    server.hold_out(is_held_out(node.state))
    try:
        await server.start(bind(node.settings.bind_host, PORT))
        node.port = PORT
        await life.serve(close)
    finally:
        server.close()


if __name__ == "__main__":
    if sys.argv[1:]:
        from lb.l4.standalone import run_file  # in the lab nobody needs it

        sys.exit(run_file(sys.argv[1:]))
    run(main, "l4")
