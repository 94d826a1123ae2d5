"""A control plane with processes that follow it, on an event loop of its own, for commands.

Commands are plain functions that run a loop themselves, so what they talk to lives in a thread.
"""

import asyncio
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from kit.control import ControlClient
from kit.members import RENEW_EVERY_S, Member
from kit.node import Node
from tests.kit.lab import settings_for
from tests.valkey import Valkey

T = TypeVar("T")

INSTANCES = (("comment", 1), ("gateway", 1), ("l7", 1), ("video", 1), ("video", 2))
LIMIT_S = 20.0


@dataclass
class Nodes:
    """What lives behind a control server; ``control`` is all that commands need of a lab."""

    control: tuple[str, int]
    nodes: dict[str, Node]
    loop: asyncio.AbstractEventLoop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine where the nodes live, and return what it returns."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(LIMIT_S + 5.0)

    async def forget(self) -> None:
        """Delete every entry and wait until all know, so that tests don't meet each other."""
        client = ControlClient(self.control)
        try:
            entries = (await client.read()).entries
            version = await client.write(dict.fromkeys(entries))
            assert (await client.wait_live(version, timeout_s=LIMIT_S)).is_complete
        finally:
            await client.close()

    @contextmanager
    def deaf(self, instance: str) -> Iterator[None]:
        """Let a process live that holds its lease and never acts on a change."""
        task = self.run(self._begin_deaf(instance))
        try:
            yield
        finally:
            self.run(self._end_deaf(task, instance))

    async def _begin_deaf(self, instance: str) -> "asyncio.Task[None]":
        service, _, replica = instance.rpartition(".")
        member = Member(instance, service, int(replica), "127.0.0.1", ready=True, version_seen=0)
        client = ControlClient(self.control)
        await client.renew(member)
        return asyncio.create_task(_keep(client, member))

    async def _end_deaf(self, task: "asyncio.Task[None]", instance: str) -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        client = ControlClient(self.control)
        await client.leave(instance)
        await client.close()


async def _keep(client: ControlClient, member: Member) -> None:
    try:
        while True:
            await asyncio.sleep(RENEW_EVERY_S)
            await client.renew(member)
    finally:
        await client.close()


@contextmanager
def run_nodes(server: Valkey) -> Iterator[Nodes]:
    """Run the instances until the end of the with block."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    found = Nodes((server.host, server.port), {}, loop)
    try:
        found.run(_start(server, found))
        yield found
    finally:
        found.run(_stop(found))
        loop.call_soon_threadsafe(loop.stop)
        thread.join(LIMIT_S)
        loop.close()


async def _start(server: Valkey, found: Nodes) -> None:
    client = ControlClient(found.control, settle_s=0.0)
    await client.read()  # settles the new server at once
    await client.close()
    for service, replica in INSTANCES:
        node = Node(settings_for(server, service, replica), settle_s=0.0)
        await node.start()
        found.nodes[node.instance] = node
    client = ControlClient(found.control)
    end_s = time.monotonic() + LIMIT_S
    while len(await client.members()) < len(INSTANCES):
        assert time.monotonic() < end_s, "not every process has a lease"
        await asyncio.sleep(0.01)
    await client.close()


async def _stop(found: Nodes) -> None:
    for node in found.nodes.values():
        await node.stop()
