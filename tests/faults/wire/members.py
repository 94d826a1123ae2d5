"""The links process and its neighbours, each a node of its own in the test's event loop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from faults.wire.process import LinksProcess
from kit.control import ControlClient
from kit.members import Member
from kit.node import Node
from tests.kit.lab import node_of
from tests.valkey import Valkey

LINKS = "gateway>video video>store video>cache"


@asynccontextmanager
async def ready(node: Node, port: int = 0) -> AsyncIterator[Node]:
    """Make a node ready, as if it served this port."""
    node.port = port
    serving = asyncio.create_task(node.lifecycle.serve(_no_close))
    try:
        yield node
    finally:
        if not node.lifecycle.is_stopping:
            node.lifecycle.request_stop()
        await serving


@asynccontextmanager
async def member_of(
    control: Valkey, service: str, port: int = 0, replica: int = 1
) -> AsyncIterator[Node]:
    """Run a ready member that serves a port."""
    async with node_of(control, service, replica) as node, ready(node, port):
        yield node


@asynccontextmanager
async def links_of(control: Valkey, links: str = LINKS) -> AsyncIterator[tuple[Node, LinksProcess]]:
    """Run the links process."""
    async with member_of(control, "links") as node:
        process = LinksProcess(node, links)
        running = asyncio.create_task(process.run())
        try:
            yield node, process
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


def rule(kind: str, target: str = "link:gateway>video", **more: object) -> dict[str, object]:
    """Make a rule whose id is its kind."""
    return {"id": kind, "kind": kind, "target": target, **more}


async def lease(control: ControlClient, instance: str) -> Member:
    """Return a member's lease."""
    return next(each for each in await control.members() if each.instance == instance)


async def _no_close(limit_s: float) -> None:
    """Close nothing."""
