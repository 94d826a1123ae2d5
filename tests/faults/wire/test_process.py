"""The links process with a real control server: rules put proxies into paths and take them out."""

import asyncio
from collections.abc import Callable

import msgspec
import pytest

from faults.wire import overrides, ports, process
from faults.wire.links import Server
from kit.control import ControlClient
from kit.members import Member
from kit.node import Node
from tests.faults.wire.lab import server
from tests.faults.wire.members import lease, links_of, member_of, rule
from tests.kit.lab import wait_until
from tests.valkey import Valkey

pytestmark = pytest.mark.integration

DELAY_S = 2.0  # longer than a machine stands still: what took less was not delayed


def test_defaults_are_the_documented_ones() -> None:
    """5 s of grace, a look a second, listeners below the range of outgoing connections."""
    assert (overrides.CARRY_ON_S, process.LOOK_S, process.RESOLVE_EVERY_LOOKS) == (5.0, 1.0, 5)
    assert (ports.FIRST_PORT, ports.LAST_PORT) == (15_000, 15_999)
    assert ports.LAST_PORT < 32_768


def dialled(node: Node, service: str = "video") -> list[int]:
    """Return the ports that a node would dial for a service."""
    return [endpoint.port for endpoint in node.directory.endpoints(service)]


async def test_a_rule_sends_clients_round_and_its_end_sends_them_back(
    control: ControlClient, shared_control: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The endpoint is a listener while the rule stands, and it bites; then it is the server."""
    monkeypatch.setattr(overrides, "CARRY_ON_S", 0.2)
    async with (
        server() as port,
        member_of(shared_control, "video", port),
        member_of(shared_control, "gateway") as gateway,
        links_of(shared_control) as (_, links),
    ):
        await wait_until(lambda: dialled(gateway) == [port])
        latency = rule("latency", params={"ms": DELAY_S * 1000.0})
        version = await control.write({"fault/latency": latency})
        assert (await control.wait_live(version)).is_complete
        assert (await lease(control, "links.1")).via != {}  # in the lease that says so
        await wait_until(lambda: dialled(gateway) != [port])
        listener = dialled(gateway)[0]
        reader, writer = await asyncio.open_connection("127.0.0.1", listener)
        assert await echoes(reader, writer) >= DELAY_S
        proof = (await control.ask("faults", {}, targets=["links"]))["links.1"]["latency"]
        assert (proof["hits"], proof["connections"], proof["bytes"]) == (1, 1, 5)
        assert proof["delayed_ms"] == pytest.approx(DELAY_S * 1000.0)

        await control.write({"fault/latency": None})
        await wait_until(lambda: dialled(gateway) == [port])
        await until_lease(control, lambda found: found.via == {})
        if links.overrides._proxies:  # carried on without the toxic, until nobody is left
            assert await echoes(reader, writer) < DELAY_S
        await wait_until(lambda: not links.overrides._proxies)
        assert await reader.read() == b""
        writer.close()


async def until_lease(control: ControlClient, holds: Callable[[Member], bool]) -> Member:
    """Wait until the lease of the links process says so; return it."""
    async with asyncio.timeout(10.0):
        while True:
            found = await lease(control, "links.1")
            if holds(found):
                return found
            await asyncio.sleep(0.005)


async def echoes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> float:
    """Send a message and return the seconds until it is back."""
    started_s = asyncio.get_running_loop().time()
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    return asyncio.get_running_loop().time() - started_s


async def test_a_rule_that_comes_back_finds_its_listener(
    control: ControlClient, shared_control: Valkey
) -> None:
    """While it carries on for those who have not left, it is the same one."""
    async with (
        member_of(shared_control, "video", 20),
        member_of(shared_control, "gateway") as gateway,
        links_of(shared_control) as (_, links),
    ):
        seen = []
        for _ in range(2):
            await control.write({"fault/down": rule("down")})
            await wait_until(lambda: dialled(gateway) not in ([], [20]))
            seen += dialled(gateway)
            await control.write({"fault/down": None})
            await wait_until(lambda: dialled(gateway) == [20] and bool(links.overrides._leaving))
        assert seen[0] == seen[1]


async def test_only_what_the_target_means_is_sent_round(
    control: ControlClient, shared_control: Valkey
) -> None:
    """Of two replicas the second; a client of another service stays on the direct way."""
    async with (
        member_of(shared_control, "video", 21, 1),
        member_of(shared_control, "video", 22, 2),
        member_of(shared_control, "gateway") as gateway,
        member_of(shared_control, "l7") as other,
        links_of(shared_control),
    ):
        await wait_until(lambda: dialled(gateway) == dialled(other) == [21, 22])
        await control.write({"fault/down": rule("down", "link:gateway>video.2")})
        await wait_until(lambda: dialled(gateway) != [21, 22])
        assert dialled(gateway)[0] == 21
        assert dialled(other) == [21, 22]


async def test_a_server_that_comes_later_is_sent_round_too(
    control: ControlClient, shared_control: Valkey
) -> None:
    """Rule first, replica second; until then the proof says that nobody is known."""
    async with (
        member_of(shared_control, "gateway") as gateway,
        links_of(shared_control) as (_, links),
    ):
        await control.write({"fault/down": rule("down")})
        await wait_until(lambda: "down" in links.proofs())
        assert links.proofs()["down"]["error"].startswith("video: nobody of that name")
        async with member_of(shared_control, "video", 23):
            await wait_until(lambda: dialled(gateway) not in ([], [23]))
            assert "error" not in links.proofs()["down"]


async def test_nodes_of_a_tier_are_named_by_their_order(
    control: ControlClient, shared_control: Valkey
) -> None:
    """One of store-1 and store-2 is sent round, under its name and under its number."""
    async with member_of(shared_control, "video") as video, links_of(shared_control) as (_, links):
        links._nodes = [
            Server("store-1", ("localhost", 7001)),
            Server("store-2", ("localhost", 7002)),
        ]
        await links._learn_aliases()
        await control.write({"fault/loading": rule("loading", "link:video>store-2")})
        video.directory.on_dial_change(lambda: None)
        await wait_until(lambda: video.directory.dial("localhost", 7002) != ("localhost", 7002))
        listener = video.directory.dial("localhost", 7002)
        assert video.directory.dial("127.0.0.1", 7002) == listener
        assert video.directory.dial("localhost", 7001) == ("localhost", 7001)


async def test_an_unknown_link_is_named_in_the_proof(
    control: ControlClient, shared_control: Valkey
) -> None:
    """With the links that there are; other rules act."""
    async with member_of(shared_control, "video", 24), links_of(shared_control) as (_, links):
        await control.write(
            {
                "fault/slicer": rule("slicer", "link:gateway>vidoe", params={"bytes": 5}),
                "fault/down": rule("down"),
            }
        )
        await wait_until(lambda: len(links.proofs()) == 2 and bool(links.overrides._via))
        assert links.proofs()["slicer"]["error"] == (
            "no link 'gateway>vidoe' is declared: did you mean gateway>video?"
        )
        assert "error" not in links.proofs()["down"]


async def test_a_reset_begins_the_proof_anew(
    control: ControlClient, shared_control: Valkey
) -> None:
    """Hits of one arm aren't the next one's."""
    async with (
        server() as port,
        member_of(shared_control, "video", port),
        links_of(shared_control) as (_, links),
    ):
        await control.write({"fault/down": rule("down")})
        await wait_until(lambda: bool(links.overrides._via))
        address = next(iter(links.overrides._via.values()))
        reader, writer = await asyncio.open_connection(*address.split(":"))
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        assert links.proofs()["down"]["hits"] == 1
        await control.write({"reset": {"epoch": 1}})
        await wait_until(lambda: links.proofs()["down"]["hits"] == 0)


async def test_a_process_that_stops_sends_clients_back_and_carries_on_unharmed(
    control: ControlClient, shared_control: Valkey
) -> None:
    """They are told with the same word that says it isn't ready; it waits until they have left."""
    async with (
        server() as port,
        member_of(shared_control, "video", port),
        member_of(shared_control, "gateway") as gateway,
        links_of(shared_control) as (node, links),
    ):
        await control.write({"fault/latency": rule("latency", params={"ms": DELAY_S * 1000.0})})
        await wait_until(lambda: dialled(gateway) not in ([], [port]))
        reader, writer = await asyncio.open_connection("127.0.0.1", dialled(gateway)[0])
        assert await echoes(reader, writer) >= DELAY_S
        node.lifecycle.request_stop()
        await wait_until(lambda: dialled(gateway) == [port])
        links.apply()
        assert links.overrides._via == {}
        leaving = asyncio.create_task(links.wait_left())
        assert await echoes(reader, writer) < DELAY_S
        assert not leaving.done()
        writer.close()
        await asyncio.wait_for(leaving, 10.0)
        assert links.overrides.connections == 0


async def test_the_lease_holds_addresses_as_text(
    control: ControlClient, shared_control: Valkey
) -> None:
    """``gateway>host:port`` to ``host:port``, as everybody reads it."""
    async with member_of(shared_control, "video", 26), links_of(shared_control):
        await control.write({"fault/down": rule("down")})
        via = (await until_lease(control, lambda found: found.via != {})).via
        [(key, value)] = via.items()
        assert key == "gateway>127.0.0.1:26"
        assert value.startswith("127.0.0.1:15")
        assert msgspec.json.decode(msgspec.json.encode(via)) == via
