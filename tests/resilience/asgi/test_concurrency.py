"""Concurrency cap: slots to the end of the answer, a room in order, three ways out of it."""

import asyncio
import json
from typing import Any

import pytest

from resilience.asgi import concurrency
from resilience.asgi.concurrency import ConcurrencyMiddleware
from resilience.asgi.context import ContextMiddleware
from resilience.policy.contract import Mode
from resilience.summary import Finished
from resilience.switches import FixedSwitches
from tests.resilience.asgi.client import Client, ok, turns


class Hop:
    """Context and cap around an app that answers when it is let go."""

    def __init__(
        self, cap: int = 1, max_waiting: int = 8, budget_s: float = 5.0, **modes: Mode
    ) -> None:
        self.cap = cap
        self.go = asyncio.Event()
        self.served: list[str] = []
        self.bodies: list[bytes] = []
        self.finished: list[Finished] = []
        self.capped = ConcurrencyMiddleware(
            self._serve, cap=lambda: self.cap, max_waiting=max_waiting, scope_name="gateway.1"
        )
        self.app = ContextMiddleware(
            self.capped,
            instance="gateway.1",
            switches=FixedSwitches(modes),
            budget=lambda scope: budget_s,
            on_finish=self.finished.append,
        )

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        self.served.append(scope["path"])
        await self.go.wait()
        self.bodies.append((await receive())["body"])
        await ok(scope, receive, send)

    def begin(self, path: str, **more: Any) -> tuple[Client, asyncio.Task[Client]]:
        client = Client(self.app, path=path, **more)
        return client, asyncio.ensure_future(client.run())

    def assert_empty(self) -> None:
        assert (self.capped.queue.in_flight, self.capped.queue.waiting) == (0, 0)


def test_defaults_are_those_of_the_design_and_of_envoy() -> None:
    """256 slots; 1,024 may wait."""
    assert (concurrency.CAP, concurrency.MAX_WAITING) == (256, 1024)
    capped = ConcurrencyMiddleware(ok, scope_name="x")
    assert (capped.queue.limit, capped.queue.max_waiting) == (256, 1024)


async def test_who_finds_no_slot_waits_in_order_and_keeps_its_body() -> None:
    """The first is served alone; the others follow in the order they came."""
    hop = Hop()
    tasks = [hop.begin(path, body=[path.encode()])[1] for path in ("/a", "/b", "/c")]
    await turns()
    assert hop.served == ["/a"]
    hop.go.set()
    clients = await asyncio.gather(*tasks)

    assert hop.served == ["/a", "/b", "/c"]
    assert hop.bodies == [b"/a", b"/b", b"/c"]
    assert [client.status for client in clients] == [200, 200, 200]
    assert hop.finished[1].context.notes[0].what == "waited"
    hop.assert_empty()


async def test_a_full_room_refuses_at_once() -> None:
    """503 with the figures: slots and room against what is taken."""
    hop = Hop(max_waiting=1)
    tasks = [hop.begin(path)[1] for path in ("/a", "/b")]
    await turns()
    client = await hop.begin("/c")[1]

    assert (client.status, json.loads(client.content)["reason"]) == (503, "CONCURRENCY_FULL")
    assert client.answer["x-squall-decision"] == "concurrency; gateway.1; 2/2"
    hop.go.set()
    await asyncio.gather(*tasks)
    hop.assert_empty()


async def test_a_wait_ends_at_the_deadline_with_504() -> None:
    """Waiting spends the request's own time."""
    hop = Hop(budget_s=0.03)
    first = hop.begin("/a")[1]
    client = await hop.begin("/b")[1]

    assert (client.status, json.loads(client.content)["reason"]) == (504, "DEADLINE_EXCEEDED")
    assert client.answer["x-squall-decision"] == "concurrency; gateway.1; 1/1"
    hop.go.set()
    await first
    hop.assert_empty()


async def test_a_wait_ends_when_the_client_leaves() -> None:
    """499, and the place in the room is free."""
    hop = Hop()
    first = hop.begin("/a")[1]
    client, waiting = hop.begin("/b")
    await turns()
    client.gone.set()
    await waiting

    assert (hop.finished[0].status, hop.finished[0].code) == ("CLIENT_CLOSED", 499)
    hop.go.set()
    await first
    hop.assert_empty()


async def test_the_cap_moves_live() -> None:
    """A higher cap lets waiting ones in at the next request; below one it is one."""
    hop = Hop(cap=1)
    tasks = [hop.begin(path)[1] for path in ("/a", "/b", "/c")]
    await turns()
    hop.cap = 3
    tasks.append(hop.begin("/d")[1])
    await turns()
    assert hop.served == ["/a", "/b", "/c"]
    hop.cap = 0
    hop.go.set()
    await asyncio.gather(*tasks)
    await hop.begin("/e")[1]

    assert hop.capped.queue.limit == 1
    hop.assert_empty()


async def test_without_a_deadline_waiting_has_no_end_of_its_own() -> None:
    """The control arm of a drill waits as long as the client does."""
    hop = Hop(budget_s=0.01, deadline=Mode.OFF)
    tasks = [hop.begin(path)[1] for path in ("/a", "/b")]
    await asyncio.sleep(0.03)
    assert not any(task.done() for task in tasks)
    hop.go.set()
    clients = await asyncio.gather(*tasks)

    assert [client.status for client in clients] == [200, 200]


async def test_health_paths_bypass_it() -> None:
    """They neither wait nor count; other protocols likewise."""
    hop = Hop()
    first = hop.begin("/a")[1]
    await turns()
    hop.go.set()
    assert (await hop.begin("/livez")[1]).status == 200
    await first
    client = Client(ok)
    await ConcurrencyMiddleware(ok, scope_name="x")(
        {"type": "websocket"}, client.receive, client.send
    )
    assert len(client.sent) == 2


@pytest.mark.parametrize("victim", [0, 1])
async def test_cancelling_at_any_step_leaks_no_slot(victim: int) -> None:
    """The one served or the one waiting, cancelled at its n-th turn for every n."""
    for number in range(20):
        hop = Hop()
        tasks = [hop.begin(path)[1] for path in ("/a", "/b")]
        for turn in range(number):
            if turn == 5:
                hop.go.set()
            await asyncio.sleep(0)
        tasks[victim].cancel()
        hop.go.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        hop.assert_empty()
