"""L4 as an operator sees it: connections by backend, refusals, an ejection."""

import pytest

from lb.fleet import table_of
from tests.lb.l4.test_server import echo, lab
from tests.lb.l7.rig import until

pytestmark = pytest.mark.integration


async def test_connections_and_refusals_are_counted_by_backend() -> None:
    """The one nobody listens on is tried, counted as not connected, and left."""
    async with lab(None, echo) as one:
        for _ in range(6):
            reader, writer = await one.connect()
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
        dead, live = table_of(one.server, ())["backends"]
        assert (live["picks"], live["in_flight"], live["connections"]) == (6, 6, 6)
        assert (live["failed"], live["p99_ms"]) == (0, None)
        assert dead["failures"] == {"not_connected": dead["picks"]}
        assert dead["connections"] == 0
        one.server.reset(0.0)
        assert table_of(one.server, ())["backends"][1]["picks"] == 0


async def test_an_ejected_backend_gets_no_new_connection_and_keeps_those_it_has() -> None:
    """The open one goes on; new ones go to the other until it is restored, also after a change."""
    async with lab(echo, echo) as one:
        reader, writer = await one.connect()
        writer.write(b"stay")
        assert await reader.readexactly(4) == b"stay"
        [held] = [
            each.instance for each in one.backends if one.server.connections_to(each.instance)
        ]
        one.server.hold_out(held.__eq__)
        one.server.set_endpoints(one.backends)
        for _ in range(6):
            other_reader, other = await one.connect()
            other.write(b"new")
            assert await other_reader.readexactly(3) == b"new"
        assert one.server.connections_to(held) == 1
        writer.write(b"on")
        assert await reader.readexactly(2) == b"on"
        one.server.hold_out(lambda name: False)
        assert set(one.server.balancer.candidates) == {each.instance for each in one.backends}
        writer.close()
        await until(lambda: one.server.connections_to(held) == 0)
