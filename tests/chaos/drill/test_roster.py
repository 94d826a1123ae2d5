"""Who is there before a drill, and who isn't back after an arm."""

from dataclasses import replace
from typing import Any

import pytest

from chaos.drill.roster import Roster, call_roll
from chaos.drill.shard_role import nodes_of
from chaos.drivers.contract import InstanceStatus
from kit.errors import LabEnvironmentError
from kit.members import Member
from tests.chaos.drill.build import drill
from tests.chaos.drill.fake_driver import FakeDriver

pytestmark = pytest.mark.unit

VIDEO = Member("video.1", "video", 1, "127.0.0.1", ready=True)
GATEWAY = Member("gateway.1", "gateway", 1, "127.0.0.1", ready=True)


class FakeControl:
    """Knows members; says in turn what it is given, the last again and again."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    async def members(self) -> list[Member]:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return list(answer)


async def roll(control: Any, driver: Any = None) -> Roster:
    """Call the roll of a drill without shard roles."""
    return await call_roll(control, driver, None, drill())  # type: ignore[arg-type]


async def test_everybody_is_written_down() -> None:
    """Members from control, instances from the driver; without one only members."""
    control: Any = FakeControl([VIDEO, GATEWAY])

    with_driver = await roll(control, FakeDriver(up=("video.1", "control.1")))
    without = await roll(control)

    assert with_driver.members == ["gateway.1", "video.1"]
    assert with_driver.instances == ["video.1", "control.1"]
    assert (without.instances, without.store) == ([], ())


async def test_waits_until_the_last_is_registered_and_ready() -> None:
    """Gone, then unready, then control away, then back."""
    there = [VIDEO, GATEWAY]
    control: Any = FakeControl(
        there, [GATEWAY], [GATEWAY, replace_ready(VIDEO)], LabEnvironmentError("away"), there
    )
    roster = await roll(control)

    assert await roster.wait_back(limit_s=20.0) == []
    assert len(control.answers) == 1


async def test_who_stays_away_is_named() -> None:
    """By control and by the driver."""
    driver = FakeDriver(up=("video.1", "control.1"))
    control: Any = FakeControl([VIDEO, GATEWAY], [GATEWAY])
    roster = await roll(control, driver)
    driver.up = ("video.1",)

    assert await roster.wait_back(limit_s=0.0) == ["control.1", "video.1"]
    away: Any = FakeControl(LabEnvironmentError("control does not answer"))
    assert await replace(roster, control=away).wait_back(limit_s=0.0) == ["control does not answer"]


def test_store_nodes_come_from_the_environment_or_the_driver() -> None:
    """Inside the lab they are listed by name; outside the driver knows their addresses."""
    inside = nodes_of((), {"SQUALL_STORE": "store-1:6379,store-2:6380"})
    statuses = [
        InstanceStatus("store-2.1", "store-2", "running", "127.77.0.3", 1.0, None, 0),
        InstanceStatus("store-form.1", "store-form", "done", "127.77.0.9", None, 0, 0),
        InstanceStatus("store-3.1", "store-3", "stopped", "", None, 0, 0),
    ]

    assert [(one.name, one.host, one.port) for one in inside] == [
        ("store-1", "store-1", 6379), ("store-2", "store-2", 6380),
    ]  # fmt: skip
    assert [(one.name, one.host) for one in nodes_of(statuses, {})] == [("store-2", "127.77.0.3")]


def replace_ready(member: Member) -> Member:
    """Return a member that wants no requests yet."""
    import msgspec

    return msgspec.structs.replace(member, ready=False)
