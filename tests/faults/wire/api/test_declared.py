"""Declared links over the HTTP API: a toxic is a rule of the control plane, and a rule a toxic."""

import asyncio

import pytest

from faults.wire.api import toxics
from kit.control import ControlClient
from tests.faults.wire.api.client import api_of
from tests.faults.wire.lab import server
from tests.faults.wire.members import member_of, rule
from tests.kit.lab import wait_until
from tests.valkey import Valkey

pytestmark = pytest.mark.integration

LINK = "/proxies/gateway%3Evideo"


def test_defaults_are_the_documented_ones() -> None:
    """An hour: Toxiproxy's toxics have no end of their own."""
    assert toxics.DEFAULT_TTL_S == 3_600.0


async def test_declared_links_are_proxies(control: ControlClient, shared_control: Valkey) -> None:
    """With their servers for upstream, and no listener while nothing is in the path."""
    async with member_of(shared_control, "video", 31), api_of(shared_control) as api:
        await wait_until(lambda: bool(api.node.directory.endpoints("video")))
        found = (await api.get("/proxies")).body
        assert set(found) == {"gateway>video", "video>store", "video>cache"}
        assert found["gateway>video"] == {
            "name": "gateway>video",
            "listen": "",
            "upstream": "127.0.0.1:31",
            "enabled": True,
            "toxics": [],
        }


async def test_a_toxic_on_a_link_becomes_a_rule_and_bites(
    control: ControlClient, shared_control: Valkey
) -> None:
    """When the answer comes clients are sent round; deleted, they are sent back."""
    async with (
        server() as port,
        member_of(shared_control, "video", port),
        member_of(shared_control, "gateway") as gateway,
        api_of(shared_control) as api,
    ):
        directory = gateway.directory
        await wait_until(lambda: [e.port for e in directory.endpoints("video")] == [port])
        body = {"type": "limit_data", "attributes": {"bytes": 2}, "toxicity": 1.0, "ttl_s": 60}
        created = await api.post(f"{LINK}/toxics", body)
        assert created.status == 200
        assert created.body["name"] == "limit_data_downstream"
        entries = (await control.read()).entries
        stored = entries["fault/toxiproxy.gateway-video.limit_data_downstream"]
        assert (stored["kind"], stored["target"]) == ("limit_data", "link:gateway>video")
        assert (stored["params"], stored["ttl_s"]) == ({"bytes": 2, "stream": "downstream"}, 60)

        await wait_until(lambda: [e.port for e in directory.endpoints("video")] != [port])
        endpoint = directory.endpoints("video")[0]
        shown = (await api.get(LINK)).body
        assert shown["listen"] == f"127.0.0.1:{endpoint.port}"
        assert shown["toxics"] == [created.body]
        assert await echoed(endpoint.port) == b"he"

        one = f"{LINK}/toxics/limit_data_downstream"
        changed = await api.ask("PATCH", one, {"attributes": {"bytes": 4}})
        assert changed.body["attributes"] == {"bytes": 4}
        assert await echoed(endpoint.port) == b"hell"
        assert (await api.post(f"{LINK}/toxics", body)).status == 409
        assert await api.delete(one) == (204, None)
        await wait_until(lambda: [e.port for e in directory.endpoints("video")] == [port])
        assert (await control.read()).entries == {}
        assert (await api.delete(one)).status == 404


async def echoed(port: int) -> bytes:
    """Send hello and return what comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"hello")
        return await reader.read()
    finally:
        writer.close()


async def test_a_link_is_cut_by_disabling_it(
    control: ControlClient, shared_control: Valkey
) -> None:
    """A rule of kind down, and no toxic; enabling it deletes the rule."""
    async with member_of(shared_control, "video", 32), api_of(shared_control) as api:
        cut = await api.ask("PATCH", LINK, {"enabled": False})
        assert (cut.body["enabled"], cut.body["toxics"]) == (False, [])
        assert list((await control.read()).entries) == ["fault/toxiproxy.gateway-video.down"]
        assert (await api.get(f"{LINK}/toxics/down")).status == 404
        assert (await api.ask("PATCH", LINK, {"enabled": True})).body["enabled"] is True
        assert (await control.read()).entries == {}


async def test_rules_from_elsewhere_are_shown_and_reset(
    control: ControlClient, shared_control: Valkey
) -> None:
    """By their ids; a reset deletes them, and leaves faults of services alone."""
    async with member_of(shared_control, "video", 33), api_of(shared_control) as api:
        await control.wait_live(
            await control.write(
                {
                    "fault/timeout": rule("timeout", "link:gateway>video.1"),
                    "fault/down": rule("down"),
                    "fault/abort": rule("abort", "video"),
                }
            )
        )
        shown = (await api.get(LINK)).body
        assert shown["enabled"] is False
        assert [(each["name"], each["type"]) for each in shown["toxics"]] == [
            ("timeout", "timeout")
        ]
        assert await api.post("/reset") == (204, None)
        assert list((await control.read()).entries) == ["fault/abort"]


async def test_a_drills_rules_are_not_for_changing(
    control: ControlClient, shared_control: Valkey
) -> None:
    """They stand in its overlay, which writes them again each second."""
    async with member_of(shared_control, "video", 34), api_of(shared_control) as api:
        arm = {"id": "arm", "ttl_s": 60, "faults": [rule("timeout")]}
        await control.wait_live(await control.write({"overlay": arm}))
        answer = await api.delete(f"{LINK}/toxics/timeout")
        assert (answer.status, answer.body["error"]) == (
            403,
            "toxic 'timeout' belongs to a running drill, which puts it back",
        )
        assert await api.post("/reset") == (204, None)
        assert len((await api.get(LINK)).body["toxics"]) == 1


async def test_a_link_cannot_be_moved_or_deleted(
    control: ControlClient, shared_control: Valkey
) -> None:
    """Its addresses are the lab's; populate may name it as it is."""
    async with member_of(shared_control, "video", 35), api_of(shared_control) as api:
        await wait_until(lambda: bool(api.node.directory.endpoints("video")))
        moved = await api.post(LINK, {"upstream": "127.0.0.1:9"})
        assert moved.status == 400
        assert "its addresses are the lab's own" in moved.body["error"]
        assert (await api.delete(LINK)).status == 403
        same = [{"name": "gateway>video", "upstream": "127.0.0.1:35"}]
        assert (await api.post("/populate", same)).status == 201
        other = [{"name": "gateway>video", "upstream": "127.0.0.1:36"}]
        assert (await api.post("/populate", other)).status == 400


async def test_names_that_make_no_id_are_refused(
    control: ControlClient, shared_control: Valkey
) -> None:
    """Nothing is written."""
    async with api_of(shared_control) as api:
        for name in ("with space", "x" * 60):
            answer = await api.post(f"{LINK}/toxics", {"type": "timeout", "name": name})
            assert answer.status == 400
            assert "fault id is" in answer.body["error"]
        assert (await control.read()).entries == {}
