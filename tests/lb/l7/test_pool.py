"""The pool of connections to one backend, where a race can't be made through the proxy."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from lb.l7.pool import Pool
from lb.l7.upstream import UpstreamConnection
from tests.lb.l7.rig import until
from tests.ports import free_port

pytestmark = pytest.mark.unit


async def test_connection_lost_before_it_was_handed_over_counts_as_not_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A backend that accepts and hangs up in one turn gives no connection, and none is kept."""

    async def lost_at_once(
        make: Callable[[], UpstreamConnection], *where: Any
    ) -> tuple[None, UpstreamConnection]:
        conn = make()
        conn.connection_lost(ConnectionResetError())
        return None, conn

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", lost_at_once)
    pool, got = Pool("127.0.0.1", 1), list[UpstreamConnection | None]()
    pool.connect(got.append)
    await until(lambda: bool(got))
    assert got == [None]
    assert pool.counts == (0, 0)


async def test_connection_that_was_idle_unused_may_be_stale() -> None:
    """One made for a request that was given up is lent like one that has answered before."""

    def serve() -> asyncio.Protocol:
        return asyncio.Protocol()

    loop, port = asyncio.get_running_loop(), free_port()
    server = await loop.create_server(serve, "127.0.0.1", port)
    pool, got = Pool("127.0.0.1", port), list[UpstreamConnection | None]()
    pool.connect(got.append)
    await until(lambda: bool(got))
    (conn,) = got
    assert conn is not None
    assert not conn.is_reused
    pool.take_back(conn)
    assert pool.take_idle() is conn
    assert conn.is_reused
    conn.close()
    server.close()
