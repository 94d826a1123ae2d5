"""A control server and nodes for tests, and a bounded wait for a condition."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from kit.control import ControlClient
from kit.members import Member
from kit.node import Node
from kit.settings import Settings
from tests.ports import free_port
from tests.valkey import Valkey

WAIT_LIMIT_S = 10.0


async def wait_until(condition: Callable[[], bool], limit_s: float = WAIT_LIMIT_S) -> float:
    """Wait for a condition; return the seconds it took, or fail the test."""
    started_s = time.monotonic()
    while not condition():
        if time.monotonic() - started_s > limit_s:
            raise AssertionError(f"the condition did not hold within {limit_s} s")
        await asyncio.sleep(0.005)
    return time.monotonic() - started_s


async def wait_member(
    control: ControlClient, condition: Callable[[Member], bool], limit_s: float = WAIT_LIMIT_S
) -> Member:
    """Wait until the first member's lease says so: a process tells its state, then control."""
    started_s = time.monotonic()
    while True:
        found = await control.members()
        if found and condition(found[0]):
            return found[0]
        if time.monotonic() - started_s > limit_s:
            raise AssertionError(f"no such lease within {limit_s} s: {found}")
        await asyncio.sleep(0.005)


@asynccontextmanager
async def client_of(server: Valkey, settle_s: float = 0.0) -> AsyncIterator[ControlClient]:
    """Open a client; with no settling time its first trip settles the server."""
    client = ControlClient((server.host, server.port), settle_s=settle_s)
    try:
        yield client
    finally:
        await client.close()


def settings_for(server: Valkey, service: str = "video", replica: int = 1) -> Settings:
    """Make settings of a process that follows this server."""
    return Settings(
        service,
        replica,
        (server.host, server.port),
        host="127.0.0.1",
        admin_port=free_port(),
    )


@asynccontextmanager
async def node_of(
    server: Valkey, service: str = "video", replica: int = 1, *, settle_s: float = 0.3
) -> AsyncIterator[Node]:
    """Run a node, without anything that serves."""
    node = Node(settings_for(server, service, replica), settle_s=settle_s)
    try:
        await node.start()
        yield node
    finally:
        await node.stop()


def hold_notice(node: Node) -> asyncio.Event:
    """Make a drain last until the event is set, so that a test says when balancers have noticed."""
    noticed = asyncio.Event()
    node.lifecycle._wait_noticed = noticed.wait  # type: ignore[method-assign,assignment]
    return noticed
