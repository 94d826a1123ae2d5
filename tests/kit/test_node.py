"""A node following a real control server: switches live, faults on time, asks, control's death."""

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Any

import pytest

from kit import follower
from kit.control import ControlClient
from kit.errors import LabEnvironmentError
from kit.members import LEASE_S, Member
from kit.node import Node
from kit.recorder import RequestSummary
from kit.state import LabState
from kit.vitals import local_address, rss_bytes
from resilience.context import Note
from resilience.policy.bbr import BbrLimiter
from resilience.policy.contract import Mode
from tests.kit.lab import WAIT_LIMIT_S, client_of, node_of, settings_for, wait_until
from tests.ports import free_port
from tests.valkey import Valkey, launch, start_valkey

pytestmark = pytest.mark.integration

OFF: dict[str, Any] = {"mode": "off"}
APPENDS = ("--appendonly", "yes", "--appendfsync", "everysec")  # as compose starts control


def limiter_is(node: Node, mode: Mode) -> bool:
    """Whether the node's limiter stands like this."""
    return node.mode("limiter") is mode


async def write_when_back(client: ControlClient, arm: dict[str, Any]) -> None:
    """Try to renew an overlay until control answers, as a drill's engine does."""
    while True:
        with contextlib.suppress(LabEnvironmentError):
            await client.write({"overlay": {**arm, "renewed": 1}})
            return
        await asyncio.sleep(0.1)


async def test_a_switch_is_live_at_once(
    control: ControlClient, shared_control: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hint makes the node re-read and renew its lease: here it has no tick of its own."""
    monkeypatch.setattr(follower, "RENEW_EVERY_S", 300.0)
    monkeypatch.setattr("kit.control.LEASE_S", 300.0)
    async with node_of(shared_control) as node:
        await wait_until(lambda: node._follower.is_connected)
        for mode in ("off", "shadow", "on", "off"):
            version = await control.write({"policy/video.1/limiter": {"mode": mode}})
            report = await control.wait_live(version)
            assert (report.is_complete, report.total) == (True, 1)
            assert node.mode("limiter") is Mode(mode)


async def test_what_changes_is_applied_everywhere(
    control: ControlClient, shared_control: Valkey
) -> None:
    """Station, settings, faults and callbacks follow one write."""
    async with node_of(shared_control) as node:
        seen: list[int] = []
        node.on_change(lambda state: seen.append(state.version))
        version = await control.write(
            {
                "station/video": {"workers": 2, "mean_ms": 100, "cv": 0},
                "setting/video.1/cap": {"value": 9},
                "fault/f": {"id": "f", "kind": "abort", "target": "video"},
            }
        )
        await control.wait_live(version)
        assert "2 busy" in repr(node.station) or "of 2" in repr(node.station)
        assert node.setting("cap", 1) == 9
        assert len(node.faults.decide("GET /", "", 0.0)) == 1
        assert seen == [version]


async def test_a_failing_callback_keeps_the_news_from_nobody(
    control: ControlClient, shared_control: Valkey
) -> None:
    """The second callback still hears."""
    async with node_of(shared_control) as node:
        seen: list[int] = []
        node.on_change(fail)
        node.on_change(lambda state: seen.append(state.version))
        await control.wait_live(await control.write({"reset": {"epoch": 1}}))
        assert seen == [1]


def fail(state: LabState) -> None:
    """Be a callback with a bug."""
    raise KeyError("a bug")


async def test_a_reset_makes_policies_forget_and_counters_start_anew(
    control: ControlClient, shared_control: Valkey
) -> None:
    """A new epoch resets gates, station, recorder counts and proofs; the first reading doesn't."""
    await control.write({"reset": {"epoch": 5}})
    async with node_of(shared_control) as node:
        resets: list[float] = []
        node.on_reset(resets.append)
        gate = BbrLimiter(node.pressure)
        node.register_gate("limiter", gate)
        node.recorder.add(summary("r1"))
        assert resets == []
        await control.wait_live(await control.write({"reset": {"epoch": 6}}))
        assert len(resets) == 1
        assert node.stats()["codes"] == {}
        assert node.recorder.find("r1") != []


def summary(request_id: str) -> RequestSummary:
    """Make a summary with a note."""
    notes = [Note("limiter", "rejected", 0.001, {"value": 6, "limit": 5})]
    return RequestSummary(request_id, "t" * 32, "video.1", "/v1", 0.0, 3.0, notes=notes)


async def test_asks_are_answered_by_kind(control: ControlClient, shared_control: Valkey) -> None:
    """Explain, policies, faults and stats are built in; an unknown kind is null, an error named."""
    async with node_of(shared_control) as node, node_of(shared_control, "comment") as other:
        await wait_until(lambda: node._follower.is_connected and other._follower.is_connected)
        node.register_gate("limiter", BbrLimiter(node.pressure))
        node.recorder.add(summary("r1"))
        node.answer("broken", lambda args: 1 // 0)
        await heard(control)
        found = await control.ask("explain", {"request_id": "r1"})
        assert found["video.1"][0]["notes"][0]["detail"] == {"value": 6, "limit": 5}
        assert found["comment.1"] == []
        policies = await control.ask("policies", {}, targets=["video"])
        assert policies["video.1"]["limiter"]["in_flight"] == 0
        assert set(policies) == {"video.1"}
        assert await control.ask("faults", {}, targets=["video.1"]) == {"video.1": {}}
        stats = (await control.ask("stats", {}, targets=["video"]))["video.1"]
        assert stats["codes"] == {"200": 1}
        assert {"station", "loop", "cpu_s", "rss_bytes", "blocks"} <= set(stats)
        assert await control.ask("horoscope", {}, targets=["video"]) == {"video.1": None}
        assert await control.ask("broken", {}, targets=["video"]) == {
            "video.1": {"error": "ZeroDivisionError"}
        }


async def heard(control: ControlClient) -> None:
    """Wait until every member listens to asks."""
    limit_s = time.monotonic() + WAIT_LIMIT_S
    while time.monotonic() < limit_s:
        members = {member.instance for member in await control.members()}
        if members == set(await control.ask("policies", {}, timeout_s=0.2)):
            return
    raise AssertionError("not every member answers")


async def test_nonsense_from_control_stops_nobody(
    control: ControlClient, shared_control: Valkey
) -> None:
    """A lease, an entry and an ask that nobody can read: the node follows on."""
    async with node_of(shared_control) as node:
        node.directory.endpoints("video")
        node.answer("odd", lambda args: object())
        await wait_until(lambda: node._follower.is_connected)
        await heard(control)
        shared_control.cli("hset", "squall:leases", "x.1", f"{2**52} nonsense")
        shared_control.cli("hset", "squall:state", "policy/video/limiter", "0 nonsense")
        shared_control.cli("publish", "squall:ask", "nonsense")
        assert await control.ask("odd", {}, timeout_s=0.1) == {}
        report = await control.wait_live(await control.write({"reset": {"epoch": 1}}))
        assert report.is_complete
        assert (await control.ask("stats", {}))["video.1"]["codes"] == {}


async def test_directories_see_members_come_drain_and_go(
    control: ControlClient, shared_control: Valkey
) -> None:
    """Ready makes an endpoint, drained and leaving unmake it; hints make all of it quick."""
    async with node_of(shared_control, "gateway") as gateway:
        changes: list[int] = []
        gateway.directory.on_change("video", lambda ends: changes.append(len(ends)))
        async with node_of(shared_control) as video:
            await wait_until(lambda: video._follower.is_connected)
            video.port = 9090
            serving = asyncio.create_task(video.lifecycle.serve(no_close))
            await wait_until(lambda: len(gateway.directory.endpoints("video")) == 1)
            assert gateway.directory.endpoints("video")[0][:] == ("video.1", "127.0.0.1", 9090)
            await control.write({"drain/video.1": {"drained": True}})
            await wait_until(lambda: gateway.directory.endpoints("video") == [])
            await control.write({"drain/video.1": None})
            await wait_until(lambda: len(gateway.directory.endpoints("video")) == 1)
            video.lifecycle.request_stop()
            await serving
            await wait_until(lambda: gateway.directory.endpoints("video") == [])
        assert changes == [0, 1, 0, 1, 0]


async def no_close(limit_s: float) -> None:
    """Close nothing."""


async def test_control_killed_and_back_empty_flips_no_switch() -> None:
    """The node goes on, offers what it knows, and the versions continue."""
    with start_valkey() as server:
        async with client_of(server) as client, node_of(server, settle_s=2.0) as node:
            await client.write({"policy/video/limiter": OFF})
            await client.write({"reset": {"epoch": 1}})
            await wait_until(lambda: node.state.version == 2)
            server.stop()
            await wait_until(lambda: not node._follower.is_connected)
            assert limiter_is(node, Mode.OFF)
            with start_valkey(port=server.port) as empty:
                await wait_until(lambda: node._follower.is_connected)
                assert limiter_is(node, Mode.OFF)
                async with client_of(empty, settle_s=2.0) as second:
                    assert await second.write({"policy/video/breaker": {"mode": "on"}}) == 3
                    found = await second.read()
                assert found.entries["policy/video/limiter"] == OFF
                assert found.entries["reset"] == {"epoch": 1}
                await wait_until(lambda: node.state.version == 3)
                assert limiter_is(node, Mode.OFF)


async def test_a_fault_ends_on_time_with_control_dead() -> None:
    """Its 2.5 s run on the node's own clock; the drill's overlay waits for its engine."""
    with start_valkey() as server:
        async with client_of(server) as client, node_of(server) as node:
            rule = {"id": "f", "kind": "abort", "target": "video", "ttl_s": 2.5}
            arm = {"id": "arm", "ttl_s": 2.5, "policies": {"video": {"limiter": "off"}}}
            written_s = time.monotonic()
            await client.write({"fault/f": rule, "overlay": arm})
            await wait_until(lambda: limiter_is(node, Mode.OFF))
            server.stop()
            assert len(node.faults.decide("GET /", "", 0.0)) == 1
            await wait_until(lambda: not node.faults.decide("GET /", "", 0.0))
            assert time.monotonic() - written_s > 2.4
            assert limiter_is(node, Mode.OFF)


async def test_an_overlay_ends_with_its_lease_while_control_lives() -> None:
    """Nobody renews it: the node asks when it should be over, and takes the answer for the end."""
    with start_valkey() as server:
        async with client_of(server) as client, node_of(server) as node:
            arm = {"id": "arm", "ttl_s": 2.5, "policies": {"video": {"limiter": "off"}}}
            written_s = time.monotonic()
            await client.write({"overlay": arm})
            await wait_until(lambda: limiter_is(node, Mode.OFF))
            await wait_until(lambda: limiter_is(node, Mode.ON))
            assert time.monotonic() - written_s > 2.4


async def test_an_overlay_outlives_a_control_that_is_away_and_comes_back(tmp_path: Path) -> None:
    """Longer away than the lease; back with its file, whoever believed keeps it for one grace."""
    server = launch(free_port(), *APPENDS, folder=tmp_path)
    try:
        async with client_of(server) as client, node_of(server, settle_s=0.3) as node:
            arm = {"id": "arm", "ttl_s": 2.5, "policies": {"video": {"limiter": "off"}}}
            await client.write({"overlay": arm})
            await wait_until(lambda: limiter_is(node, Mode.OFF))
            server.stop()
            await wait_until(lambda: not node._follower.is_connected)
            await asyncio.sleep(2.7)  # longer than the lease: nothing to wait for but time
            assert limiter_is(node, Mode.OFF)

            async with client_of(server, settle_s=0.3) as engine:
                writing = asyncio.create_task(write_when_back(engine, {**arm, "ttl_s": 60.0}))
                server = launch(server.port, *APPENDS, folder=tmp_path)
                await writing
            assert limiter_is(node, Mode.OFF)
            await wait_until(
                lambda: node.state.overlay is not None and node.state.overlay.renewed == 1
            )
            assert limiter_is(node, Mode.OFF)
    finally:
        server.stop()


@pytest.mark.parametrize("mode", ["on", "off"])
async def test_leases_outlive_control_unless_static_is_off(mode: str) -> None:
    """With control dead longer than a lease the directory stands, or is empty."""
    with start_valkey() as server:
        async with client_of(server) as client, node_of(server) as node:
            await client.write({"policy/video/static": {"mode": mode}})
            await client.renew(Member("comment.1", "comment", 1, "127.0.0.1", 9_001, ready=True))
            node.directory.endpoints("comment")
            await wait_until(lambda: len(node.directory.endpoints("comment")) == 1)
            await wait_until(lambda: node.mode("static").value == mode)
            lost_s = time.monotonic()
            server.stop()
            if mode == "off":
                await wait_until(lambda: not node.directory.endpoints("comment"))
                assert time.monotonic() - lost_s > LEASE_S - 1.5
            else:
                await wait_until(lambda: time.monotonic() - lost_s > LEASE_S + 1.5)
                assert len(node.directory.endpoints("comment")) == 1


async def test_a_node_starts_before_control_and_waits_for_it(tmp_path: Path) -> None:
    """Any order of starting works."""
    port = free_port()
    node = Node(settings_for(Valkey("127.0.0.1", port, None, tmp_path)))  # type: ignore[arg-type]
    starting = asyncio.create_task(node.start())
    await asyncio.sleep(0.05)
    assert not starting.done()
    server = launch(port, folder=tmp_path)
    try:
        await asyncio.wait_for(starting, WAIT_LIMIT_S)
    finally:
        await node.stop()
        server.stop()


async def test_announcing_without_control_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead control doesn't hold up a process that wants to stop."""
    monkeypatch.setattr(follower, "ANNOUNCE_LIMIT_S", 0.1)
    with start_valkey() as server:
        async with node_of(server) as node:
            server.stop()
            await asyncio.wait_for(node.announce(), WAIT_LIMIT_S)  # else it waited for ever


async def test_leases_carry_a_digest(control: ControlClient, shared_control: Valkey) -> None:
    """Memory and version are there from the first second."""
    async with node_of(shared_control):
        found = (await control.members())[0]
        assert found.digest.rss_bytes > 1_000_000
        assert found.pid > 0
        assert abs(found.started_unix_s - time.time()) < 600


def test_own_figures_come_from_the_system() -> None:
    """Resident memory is more than a megabyte; the way to loopback is loopback."""
    assert rss_bytes() > 1_000_000
    assert local_address(("127.0.0.1", 1)) == "127.0.0.1"
    assert local_address(("", -1 % 65_536)) != ""
