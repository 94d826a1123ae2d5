"""The links process: follow the rules of the lab, and stand in the paths that they disturb.

Why: one process for all links, so that one place has the listeners, the proof and the HTTP API.
It follows control as everybody does (``kit.node``), and fails static as everybody does.
"""

import asyncio
import ipaddress
import itertools
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from faults.rule import LinkTarget
from faults.wire.links import (
    LINKS_VARIABLE,
    Address,
    Link,
    Server,
    numbered,
    parse_links,
    servers_of,
)
from faults.wire.overrides import CARRY_ON_S, Overrides
from faults.wire.own import own_links, own_servers
from faults.wire.ports import PortRange
from faults.wire.proof import WireProofs
from kit.node import Node

LOOK_S = 1.0  # a renewal: servers that come back elsewhere are noticed by then
RESOLVE_EVERY_LOOKS = 5  # a node that comes back under its name seldom has another number
LEFT_POLL_S = 0.02
STORE = "store"
CACHE = "cache"


class LinksProcess:
    """Keep the link proxies in step with control.

    Args:
        node: Started.
        links_text: The declared links; None reads ``SQUALL_LINKS``.

    Raises:
        ConfigError: A declared link is none.
    """

    def __init__(self, node: Node, links_text: str | None = None) -> None:
        text = os.environ.get(LINKS_VARIABLE, "") if links_text is None else links_text
        self._node = node
        self._nodes = _nodes(node)
        self._declared = parse_links(text)
        self._aliases: dict[Address, Address] = {}
        self._announcing: set[asyncio.Task[None]] = set()
        self.overrides = Overrides(
            self._declared,
            lambda: node.host,
            PortRange(node.settings.bind_host),
            WireProofs(),
            self._announce,
            node.rng,
        )

    async def run(self) -> None:
        """Act until cancelled."""
        node = self._node
        node.answer("faults", lambda args: self.proofs())
        node.on_reset(lambda now_s: self.overrides.proofs.reset())
        node.lifecycle.on_ready_change(lambda ready: None if ready else self.overrides.leave())
        await self._learn_aliases()
        self.apply()
        node.on_change(lambda state: self.apply())
        for service in sorted({link.server for link in self.overrides.links}):
            node.directory.on_change(service, lambda endpoints: self.apply())
        try:
            for look in itertools.count(1):
                await asyncio.sleep(LOOK_S)
                if look % RESOLVE_EVERY_LOOKS == 0:
                    await self._learn_aliases()
                self.apply()
        finally:
            self.overrides.close()

    async def wait_left(self, limit_s: float = CARRY_ON_S) -> None:
        """Wait until clients have gone back to the direct way; at most so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                while self.overrides.connections:  # noqa: ASYNC110  a few turns, once in a life
                    await asyncio.sleep(LEFT_POLL_S)

    def apply(self) -> None:
        """Bring the proxies in line with what is known now; does nothing when they are."""
        node = self._node
        if not node.lifecycle.is_stopping:
            self.overrides.links = (*self._declared, *own_links(node.state.entries))
            self.overrides.apply(
                node.state.faults, node.directory.members(), self._known_nodes(), self._aliases
            )

    def proofs(self) -> dict[str, dict[str, Any]]:
        """Return fault id to what it has done."""
        return self.overrides.report()

    def servers(self, link: Link) -> Sequence[Server]:
        """Return the far ends of a link as they are known now."""
        target = LinkTarget(link.client, link.server)
        return servers_of(target, link, self._node.directory.members(), self._known_nodes())

    def _known_nodes(self) -> list[Server]:
        """Return whom no lease of a member tells of."""
        return [*self._nodes, *own_servers(self._node.state.entries)]

    def _announce(self, via: dict[str, str]) -> None:
        self._node.set_via(via)
        task = asyncio.get_running_loop().create_task(self._node.announce())
        self._announcing.add(task)
        task.add_done_callback(self._announcing.discard)

    async def _learn_aliases(self) -> None:
        """Look up the numbers behind the nodes' names: a cluster tells its clients numbers."""
        loop = asyncio.get_running_loop()
        for server in self._nodes:
            host, port = server.address
            if _is_number(host):
                continue
            try:
                found = await loop.getaddrinfo(host, port, family=socket.AF_INET)
            except (OSError, UnicodeError):
                continue  # it isn't there now; what it was called before still holds
            self._aliases[server.address] = (str(found[0][4][0]), port)


def _nodes(node: Node) -> list[Server]:
    settings = node.settings
    return numbered(STORE, settings.store + settings.store_spare) + numbered(CACHE, settings.cache)


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
