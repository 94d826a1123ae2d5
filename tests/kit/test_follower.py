"""The follower against a control plane that fails at the wrong moment."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from kit import follower
from kit.belief import Reading
from kit.control import ControlClient
from kit.directory import Directory
from kit.errors import LabEnvironmentError
from kit.follower import Follower
from kit.members import Member
from kit.node import Node
from kit.replies import Sync
from tests.kit.lab import WAIT_LIMIT_S, settings_for, wait_until
from tests.valkey import Valkey


class FailingClient:
    """A control plane whose first answer is an error that comes late."""

    def __init__(self) -> None:
        self.may_fail = asyncio.Event()
        self.announced: list[bool] = []

    async def sync(self, member: Member, *, announce: bool, **_: Any) -> Sync:
        """Take part in one trip."""
        self.announced.append(announce)
        if len(self.announced) == 1:
            await self.may_fail.wait()
            raise LabEnvironmentError("control does not answer")
        return Sync(Reading("a", True, 1, 0, {}), None)


@contextlib.asynccontextmanager
async def syncing(client: FailingClient) -> AsyncIterator[Follower]:
    """Run a follower's sync loop."""

    def make_member(version: int) -> Member:
        return Member("video.1", "video", 1, "127.0.0.1", version_seen=version)

    one = Follower(
        client,  # type: ignore[arg-type]
        Directory(),
        make_member,
        lambda state: None,
        lambda ask: None,
    )
    task = asyncio.create_task(one._sync_forever())
    try:
        yield one
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.unit
async def test_announcement_asked_for_during_a_failing_trip_is_made_later() -> None:
    """Who becomes unready while control fails is announced with the first trip that succeeds."""
    client = FailingClient()
    async with syncing(client) as one:
        one._wake.set()
        await wait_until(lambda: client.announced == [False])
        announcing = asyncio.create_task(one.announce())
        await wait_until(lambda: one._announce)
        client.may_fail.set()
        await asyncio.wait_for(announcing, WAIT_LIMIT_S)
        assert client.announced[:2] == [False, True]


@pytest.mark.integration
async def test_listener_that_breaks_listens_again_and_the_lease_lives(
    control: ControlClient, shared_control: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error nobody foresaw in the subscription costs neither the lease nor later hints."""
    monkeypatch.setattr(follower, "RENEW_EVERY_S", 0.1)

    class Broken:
        """A subscription whose socket is gone, as uvloop tells of it."""

        async def subscribe(self, *_: str) -> None:
            raise RuntimeError("the handler is closed")

        aclose = subscribe

    node = Node(settings_for(shared_control), settle_s=0.0)
    working = node.control.pubsub
    made: list[Any] = []

    def pubsub() -> Any:
        made.append(Broken() if not made else working())
        return made[-1]

    monkeypatch.setattr(node.control, "pubsub", pubsub)
    try:
        await node.start()
        await wait_until(lambda: len(made) == 2 and made[-1].subscribed)
        assert node._following is not None
        assert not node._following.done()
        assert [one.instance for one in await control.members()] == ["video.1"]
    finally:
        await node.stop()
