"""The ways round: told by a lease, taken by the clients of that link, left when the fault ends."""

from typing import Any

import pytest

from faults.rule import FaultRule
from kit.control import ControlClient
from kit.entries import check_entry
from kit.members import Member
from kit.node import Node
from kit.state import LabState
from kit.ways import Ways
from tests.kit.lab import client_of, node_of, wait_until
from tests.valkey import Valkey, start_valkey

DIRECT = ("10.0.0.1", 6379)
ROUND = ("10.0.0.9", 15000)
VIA = {"video>10.0.0.1:6379": "10.0.0.9:15000", "counter>10.0.0.1:6379": "10.0.0.9:15001"}
LINKS = Member("links.1", "links", 1, "10.0.0.9", 8474, ready=True, via=VIA)
CUT: dict[str, Any] = {"id": "cut", "kind": "down", "target": "link:video>store-1"}


def state(**change: Any) -> LabState:
    """Make a state with the fault, changed."""
    entry = check_entry("fault/cut", {**CUT, **change})
    return LabState(1, {"fault/cut": entry})


def test_a_way_counts_while_a_fault_of_an_own_link_lives() -> None:
    """The lease alone leads nobody round, nor does a fault of somebody else's link."""
    ways = Ways("video")
    assert not ways.update([LINKS], LabState())
    assert not ways.update([LINKS], state(target="link:gateway>video"))
    assert ways.dial(*DIRECT) == DIRECT
    assert ways.update([LINKS], state())
    assert not ways.update([LINKS], state())
    assert ways.dial(*DIRECT) == ROUND
    assert ways.update([LINKS], LabState())
    assert ways.dial(*DIRECT) == DIRECT


def test_the_faults_of_a_drill_lead_round_too() -> None:
    """An overlay's rules are as good as base entries, and no process injects them."""
    overlay = check_entry("overlay", {"id": "arm", "faults": [CUT]})
    drill = LabState(1, {"overlay": overlay})
    ways = Ways("video")
    assert ways.update([LINKS], drill)
    assert ways.dial(*DIRECT) == ROUND
    assert [rule.id for rule in drill.faults] == ["cut"]
    assert drill.faults_for("video", 1) == ()
    assert repr(ways) == "<Ways of video, 1 round>"


@pytest.mark.parametrize("via", [{"video>10.0.0.1": "x"}, {"": ""}, {"video>a:b": "c:d"}])
def test_what_cannot_be_read_is_skipped(via: dict[str, str]) -> None:
    """A newer links process may say more than this one understands."""
    ways = Ways("video")
    member = Member("links.1", "links", 1, "10.0.0.9", 8474, ready=True, via=via)
    assert not ways.update([member], state())


def watched(node: Node) -> list[tuple[str, int]]:
    """Collect what a node dials for the address, now and after each change."""
    seen = [node.directory.dial(*DIRECT)]
    node.directory.on_dial_change(lambda: seen.append(node.directory.dial(*DIRECT)))
    return seen


@pytest.mark.integration
async def test_clients_are_led_round_while_the_fault_stands(
    control: ControlClient, shared_control: Valkey
) -> None:
    """A lease that names the way and a fault: the client dials round; without the fault, back."""
    async with (
        node_of(shared_control, "links") as links,
        node_of(shared_control, "video") as video,
        node_of(shared_control, "comment") as comment,
    ):
        ways, others = watched(video), watched(comment)
        links.set_via(VIA)
        await links.announce()
        await control.wait_live(await control.write({"fault/cut": CUT}))
        await wait_until(lambda: ways == [DIRECT, ROUND])
        await control.wait_live(await control.write({"fault/cut": None}))
        await wait_until(lambda: ways == [DIRECT, ROUND, DIRECT])
        assert others == [DIRECT]


@pytest.mark.integration
async def test_the_way_round_ends_on_time_with_control_dead() -> None:
    """Nobody can tell the client, and the links process says nothing new: its own clock does."""
    with start_valkey() as server:
        async with node_of(server, "links") as links, node_of(server, "video") as video:
            ways = watched(video)
            links.set_via(VIA)
            await links.announce()
            async with client_of(server) as control:
                await control.write({"fault/cut": {**CUT, "ttl_s": 2.5}})
            await wait_until(lambda: ways[-1] == ROUND)
            server.stop()
            await wait_until(lambda: ways[-1] == DIRECT)


@pytest.mark.integration
async def test_without_a_links_process_everybody_goes_directly(
    control: ControlClient, shared_control: Valkey
) -> None:
    """Its lease is gone, the fault still stands: a client can only connect directly."""
    async with node_of(shared_control, "video") as video:
        ways = watched(video)
        async with node_of(shared_control, "links") as links:
            links.set_via(VIA)
            await links.announce()
            await control.wait_live(await control.write({"fault/cut": CUT}))
            await wait_until(lambda: ways[-1] == ROUND)
        await wait_until(lambda: ways[-1] == DIRECT)
        assert FaultRule in {type(rule) for rule in video.state.faults}
