"""The links process with a real control server: rules put proxies into paths and take them out."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from faults.wire import overrides
from faults.wire.process import LinksProcess
from kit.control import ControlClient
from kit.lifecycle import Lifecycle
from kit.members import Member
from kit.node import Node
from tests.faults.wire.lab import server
from tests.kit.lab import client_of, node_of, wait_until
from tests.valkey import Valkey, start_valkey

pytestmark = pytest.mark.integration

LINKS = "gateway>video video>store"


@pytest.fixture(scope="module")
def shared_control() -> Iterator[Valkey]:
    """One server for all tests of this file."""
    with start_valkey() as found:
        yield found


@pytest.fixture
async def control(shared_control: Valkey) -> AsyncIterator[ControlClient]:
    """A client of an empty, settled control server."""
    shared_control.cli("flushall")
    async with client_of(shared_control) as client:
        await client.read()
        yield client


@asynccontextmanager
async def ready(node: Node, port: int = 0) -> AsyncIterator[Node]:
    """Make a node ready, as if it served this port."""
    node.port = port
    serving = asyncio.create_task(node.lifecycle.serve(no_close))
    try:
        yield node
    finally:
        if not node.lifecycle.is_stopping:
            node.lifecycle.request_stop()
        await serving


async def no_close(limit_s: float) -> None:
    """Close nothing."""


@asynccontextmanager
async def links_of(control: Valkey) -> AsyncIterator[LinksProcess]:
    """Run the links process."""
    async with node_of(control, "links") as node, ready(node):
        process = LinksProcess(node, LINKS)
        running = asyncio.create_task(process.run())
        try:
            yield process
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


@pytest.fixture(autouse=True)
def short_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to notice a drain here."""
    monkeypatch.setattr("kit.lifecycle.NOTICE_S", 0.0)
    assert Lifecycle is not None


def rule(kind: str, target: str = "link:gateway>video", **more: object) -> dict[str, object]:
    """Make a rule whose id is its kind."""
    return {"id": kind, "kind": kind, "target": target, **more}


async def member(control: ControlClient, instance: str) -> Member:
    """Return a member's lease."""
    return next(each for each in await control.members() if each.instance == instance)


async def test_a_rule_sends_clients_round_and_its_end_sends_them_back(
    control: ControlClient, shared_control: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client's endpoint is the listener while the rule stands, and bites; then it is not."""
    monkeypatch.setattr(overrides, "CARRY_ON_S", 0.2)
    async with (
        server() as port,
        node_of(shared_control, "video") as video,
        ready(video, port),
        node_of(shared_control, "gateway") as gateway,
        links_of(shared_control) as links,
    ):
        directory = gateway.directory
        await wait_until(lambda: [e.port for e in directory.endpoints("video")] == [port])
        await wait_until(lambda: len(links.overrides.links) == 2 and video.port == port)
        version = await control.write({"fault/latency": rule("latency", params={"ms": 60.0})})
        assert (await control.wait_live(version)).is_complete
        await wait_until(lambda: [e.port for e in directory.endpoints("video")] != [port])
        endpoint = directory.endpoints("video")[0]
        assert await echoes(endpoint.port) >= 0.06
        proofs = await control.ask("faults", {}, targets=["links"])
        assert proofs["links.1"]["latency"]["hits"] == 1
        assert proofs["links.1"]["latency"]["delayed_ms"] == pytest.approx(60.0)

        await control.write({"fault/latency": None})
        await wait_until(lambda: [e.port for e in directory.endpoints("video")] == [port])
        lease = await member(control, "links.1")
        assert lease.via == {}


async def echoes(port: int) -> float:
    """Send a message and return the seconds until it is back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    started_s = asyncio.get_running_loop().time()
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    writer.close()
    return asyncio.get_running_loop().time() - started_s
