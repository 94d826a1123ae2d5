"""Run the L7 proxy: ``python -m lb.l7`` in the lab, ``python -m lb.l7 FILE`` by itself."""

import asyncio
import sys
from collections.abc import Sequence

import kit.compiled_first  # noqa: F401  # acts when it is imported
from kit.directory import Endpoint
from kit.listen import bind
from kit.node import Node
from kit.open_files import SPARE_FILES, allow_open_files
from kit.run import run
from kit.state import LabState
from lb.l7.checks import Checks
from lb.l7.operator import obey
from lb.l7.proxy import Proxy
from lb.l7.routes import Routes
from lb.l7.server import L7Server
from lb.l7.settings import (
    BACKEND_SERVICE,
    CLIENT_HEAD_S,
    MAX_CONNECTIONS,
    PORT,
    ROUTE_BUDGET_S,
    ProxySettings,
)
from lb.l7.standalone import run_file
from lb.l7.timeouts import TimeoutOptions
from lb.policy.algorithms import DEFAULT_ALGORITHM
from lb.policy.attempts import MAX_ATTEMPTS


async def main(node: Node) -> None:
    """Serve until told to stop."""
    allow_open_files(MAX_CONNECTIONS + SPARE_FILES)
    proxy = Proxy(
        node,
        node.recorder.add,
        node.lifecycle,
        instance=node.instance,
        choice=lambda: node.choice("balance", DEFAULT_ALGORITHM),
    )
    checks = Checks(proxy.balancer, node.mode)
    server = L7Server(proxy)
    routes = Routes(
        proxy,
        node.directory.dial,
        on_new=lambda service, own: node.register_gate(f"balancer.{service}", own),
    )

    def follow_registry(endpoints: Sequence[Endpoint]) -> None:
        """Use and check who is there now."""
        proxy.set_endpoints(endpoints)
        checks.set_endpoints(endpoints)

    def follow_settings(_: LabState) -> None:
        """Read the numbers anew; the switches are asked per request."""
        proxy.settings = read_settings(node)
        header_s = max(1.0, node.setting("header_timeout_ms", CLIENT_HEAD_S * 1000)) / 1000
        proxy.timeouts = TimeoutOptions(header_s=header_s)

    async def close(limit_s: float) -> None:
        """Drain; what is left is cut off below."""
        await server.drain(limit_s)

    node.directory.on_change(BACKEND_SERVICE, follow_registry)
    node.on_change(follow_settings)
    node.on_change(routes.follow)
    node.directory.on_dial_change(routes.refresh)
    node.lifecycle.on_ready_change(lambda is_ready: None if is_ready else server.begin_drain())
    node.register_gate("balancer", proxy)
    node.register_gate("clients", server)
    obey(node, proxy)
    follow_settings(node.state)
    routes.follow(node.state)
    looking_up = asyncio.create_task(routes.run(), name="routes")
    try:
        await server.start(bind(node.settings.bind_host, PORT))
        node.port = PORT
        await node.lifecycle.serve(close)
    finally:
        looking_up.cancel()
        await asyncio.gather(looking_up, return_exceptions=True)
        server.close()
        await routes.close()
        await checks.close()


def read_settings(node: Node) -> ProxySettings:
    """Take what control says: ``budget_ms`` (the gateway reads the same name) and ``attempts``.

    Both are 1 at least, and so is ``max_connections``. ``retry_answers`` above 0 tries a 5xx again
    too.
    """
    return ProxySettings(
        route_budget_s=max(1.0, node.setting("budget_ms", ROUTE_BUDGET_S * 1000)) / 1000,
        max_attempts=max(1, int(node.setting("attempts", MAX_ATTEMPTS))),
        retry_answers=node.setting("retry_answers", 0.0) > 0,
        max_connections=max(1, int(node.setting("max_connections", MAX_CONNECTIONS))),
    )


if __name__ == "__main__":
    if sys.argv[1:]:
        sys.exit(run_file(sys.argv[1:]))
    run(main, "l7")
