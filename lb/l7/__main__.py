"""Run the L7 proxy: ``python -m lb.l7`` in the lab, ``python -m lb.l7 FILE`` by itself."""

import asyncio
import os
import random
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

import kit.compiled_first  # noqa: F401  # acts when it is imported
from kit.directory import Endpoint
from kit.listen import bind
from kit.node import Node
from kit.open_files import SPARE_FILES, allow_open_files
from kit.run import run
from kit.state import LabState
from lb.l7.checks import Checks
from lb.l7.config import L7Config
from lb.l7.lab_file import VARIABLE, LabFile, check_lab_file
from lb.l7.operator import obey
from lb.l7.proxy import Proxy
from lb.l7.routes import Routes
from lb.l7.sections import Sections
from lb.l7.server import L7Server
from lb.l7.settings import (
    BACKEND_SERVICE,
    PORT,
    ROUTE_BUDGET_S,
    ProxySettings,
)
from lb.l7.standalone import run_file
from lb.policy.algorithms import DEFAULT_ALGORITHM
from lb.policy.attempts import MAX_ATTEMPTS


async def main(node: Node) -> None:
    """Serve until told to stop."""
    proxy = Proxy(
        node,
        node.recorder.add,
        node.lifecycle,
        instance=node.instance,
        choice=lambda: "" if file.balances else node.choice("balance", DEFAULT_ALGORITHM),
    )
    checks = Checks(proxy.balancer, node.mode)
    server = L7Server(proxy)
    file = LabFile(_file_path(), Sections(proxy, checks, random.Random()))
    proxy.heads.tunnels.options = file.config.websocket
    allow_open_files(file.config.clients.connections + SPARE_FILES)
    routes = Routes(
        proxy,
        node.directory.dial,
        on_new=lambda service, own: node.register_gate(f"balancer.{service}", own),
    )

    def follow_registry(endpoints: Sequence[Endpoint]) -> None:
        """Use and check who is there now."""
        proxy.set_endpoints(endpoints)
        checks.set_endpoints(endpoints)
        file.set_endpoints(endpoints)

    def follow_settings(_: LabState) -> None:
        """Read the numbers anew; the switches are asked per request."""
        proxy.settings = read_settings(node, file.config)
        timeouts = file.config.timeouts
        header_s = max(1.0, node.setting("header_timeout_ms", timeouts.header_s * 1000)) / 1000
        proxy.timeouts = msgspec.structs.replace(timeouts, header_s=header_s)

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
    if file.file is not None:
        node.register_gate("file", file)
    obey(node, proxy)
    routes.follow(node.state)
    looking_up = asyncio.create_task(routes.run(), name="routes")
    try:
        file.follow(lambda: follow_settings(node.state))
        await server.start(bind(node.settings.bind_host, PORT), file.config.proxy_protocol)
        node.port = PORT
        await node.lifecycle.serve(close)
    finally:
        file.close()
        looking_up.cancel()
        await asyncio.gather(looking_up, return_exceptions=True)
        server.close()
        await routes.close()
        await checks.close()


def read_settings(node: Node, config: L7Config) -> ProxySettings:
    """Take what control says: ``budget_ms`` (the gateway reads the same name) and ``attempts``.

    Both are 1 at least, and so is ``max_connections``. ``retry_answers`` above 0 tries a 5xx again
    too. What may be sent twice the file says.
    """
    requests, connections = config.requests, config.clients.connections
    return ProxySettings(
        route_budget_s=max(1.0, node.setting("budget_ms", ROUTE_BUDGET_S * 1000)) / 1000,
        max_attempts=max(1, int(node.setting("attempts", MAX_ATTEMPTS))),
        retry_answers=node.setting("retry_answers", 0.0) > 0,
        retry_methods=requests.repeatable_methods,
        retry_paths=requests.repeatable_paths,
        max_connections=max(1, int(node.setting("max_connections", connections))),
    )


def _file_path() -> Path | None:
    name = os.environ.get(VARIABLE, "")
    return Path(name) if name else None


if __name__ == "__main__":
    if sys.argv[1:]:
        sys.exit(run_file(sys.argv[1:]))
    check_lab_file(_file_path())
    run(main, "l7")
