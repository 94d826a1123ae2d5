"""A service process and its cache: nothing waits for a dead one, and its ways may change."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest

from kit.node import Node
from kit.settings import load_settings
from services.cache import reading_through
from services.read_through import Found, Kind, Lookup, ReadThrough
from tests.ports import free_port
from tests.valkey import Valkey, start_valkey

pytestmark = pytest.mark.integration

LIMIT_S = 10.0
TEXT: Kind[str] = Kind(30.0, str.encode, bytes.decode)


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Valkey, Valkey]]:
    """Run two servers that know nothing of each other."""
    with start_valkey() as one, start_valkey() as other:
        yield one, other


def make_node(cache: str = "") -> Node:
    """Make a node that follows no control; its switches stand as the lab's defaults."""
    environ = {"SQUALL_CONTROL": "127.0.0.1:1", "SQUALL_REPLICA": "1", "SQUALL_CACHE": cache}
    return Node(load_settings("video", environ))


async def read(reads: ReadThrough, value: str = "of the store") -> Found[str]:
    """Read the one key there is."""

    async def origin() -> str:
        return value

    found = await asyncio.wait_for(reads.get("k", TEXT, origin), LIMIT_S)
    assert found is not None
    return found


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something holds."""
    end_s = time.monotonic() + LIMIT_S
    while not await holds():
        assert time.monotonic() < end_s, "the condition did not come about in time"
        await asyncio.sleep(0.02)


async def test_without_the_setting_there_is_no_cache() -> None:
    """A process that was given no nodes reads from the store, and says so."""
    async with reading_through(make_node()) as reads:
        assert await read(reads) == Found("of the store", Lookup.OFF)


async def test_a_dead_cache_holds_nothing_up() -> None:
    """With nobody at any of its addresses the process starts, reads and writes all the same."""
    node = make_node(f"127.0.0.1:{free_port()},127.0.0.1:{free_port()}")
    async with reading_through(node) as reads:
        assert await read(reads) == Found("of the store", Lookup.MISS)
        await asyncio.wait_for(reads.forget("k"), LIMIT_S)
        figures = node.policies()
        assert figures["cache"]["misses"] == 1
        assert figures["cache"]["cache-1.state"] != "up"
        assert figures["single_flight"]["led"] == 1


async def test_a_drills_reset_zeroes_the_figures(servers: tuple[Valkey, Valkey]) -> None:
    """Each arm counts from zero, and what is kept stays."""
    node = make_node(f"{servers[0].host}:{servers[0].port}")
    async with reading_through(node) as reads:

        async def is_hit() -> bool:
            return (await read(reads)).lookup is Lookup.HIT

        await until(is_hit)
        for gate in node.gates.values():
            gate.reset(time.monotonic())
        assert node.policies()["cache"]["hits"] == 0
        assert await is_hit()
        assert node.policies()["cache"]["hits"] == 1


async def test_the_client_goes_the_way_that_the_directory_says(
    servers: tuple[Valkey, Valkey], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dials through what the directory answers, and anew when that changes for a node of its."""
    node = make_node(f"127.0.0.1:{free_port()}")
    way = servers[0]
    callbacks: list[Callable[[], None]] = []
    monkeypatch.setattr(node.directory, "dial", lambda host, port: (way.host, way.port))
    monkeypatch.setattr(node.directory, "on_dial_change", callbacks.append)
    async with reading_through(node) as reads:

        async def is_hit() -> bool:
            return (await read(reads, way.folder.name)).lookup is Lookup.HIT

        for server in servers:
            server.cli("FLUSHALL")
            way = server
            for callback in callbacks:
                callback()
            await until(is_hit)
            assert (await read(reads)).value == server.folder.name
