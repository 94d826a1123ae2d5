"""Limiter middleware with a queue: a short, bounded wait for a place."""

import asyncio
import json
from typing import Any

import pytest

from resilience.asgi.context import ContextMiddleware
from resilience.asgi.limiter import LimiterMiddleware
from resilience.policy.contract import Mode
from resilience.policy.fixed import FixedLimit
from resilience.policy.limit import AdaptiveLimiter
from resilience.policy.wait_queue import WaitQueue
from resilience.summary import Finished
from resilience.switches import FixedSwitches
from tests.resilience.asgi.client import Client, turns

LONG_S = 60.0  # a wait that ends by a place only, however slow the machine
SHORT_S = 0.02


class Hop:
    """Context and limiter around an app that holds its place until it may end.

    No deadline layer: what ends a wait here is the queue.
    """

    def __init__(self, max_waiting: int = 9, longest_s: float = LONG_S, **modes: Mode) -> None:
        self.queue = WaitQueue(
            AdaptiveLimiter(FixedLimit(1)), max_waiting, target_s=longest_s, interval_s=longest_s
        )
        self.begun: list[str] = []
        self.may_end = asyncio.Event()
        self.finished: list[Finished] = []
        self.budget_s = LONG_S
        switches = FixedSwitches(modes)
        self.limiter = LimiterMiddleware(
            self.work, self.queue, switches=switches, scope_name="shop.1"
        )
        self.app = ContextMiddleware(
            self.limiter,
            instance="shop.1",
            switches=switches,
            budget=lambda scope: self.budget_s,
            on_finish=self.finished.append,
        )

    async def work(self, scope: Any, receive: Any, send: Any) -> None:
        self.begun.append(scope["path"])
        await self.may_end.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    async def begin(self, path: str) -> "asyncio.Task[Client]":
        """Send a request, and let it come as far as it can."""
        task = asyncio.create_task(Client(self.app, path=path).run())
        await turns()
        return task


async def test_who_finds_it_full_waits_and_is_served_in_order() -> None:
    """Oldest first; the wait is noted."""
    hop = Hop()
    tasks = [await hop.begin(path) for path in ("/1", "/2", "/3")]
    assert (hop.begun, hop.queue.waiting) == (["/1"], 2)
    hop.may_end.set()
    clients = await asyncio.wait_for(asyncio.gather(*tasks), 10)

    assert hop.begun == ["/1", "/2", "/3"]
    assert [client.status for client in clients] == [200, 200, 200]
    notes = [[note.what for note in each.context.notes] for each in hop.finished]
    assert notes == [[], ["waited"], ["waited"]]
    assert hop.finished[1].context.notes[0].detail["scope"] == "shop.1"
    assert (hop.queue.snapshot()["in_flight"], hop.queue.waiting) == (0, 0)


async def test_a_full_room_refuses_at_once() -> None:
    """503 with the time to come back and who decided."""
    hop = Hop(max_waiting=1)
    tasks = [await hop.begin(path) for path in ("/1", "/2")]
    refused = await asyncio.wait_for(await hop.begin("/3"), 10)
    hop.may_end.set()
    await asyncio.wait_for(asyncio.gather(*tasks), 10)

    assert (refused.status, json.loads(refused.content)["reason"]) == (503, "QUEUE_FULL")
    assert refused.answer["x-squall-decision"] == "queue; shop.1; 1/1"
    assert refused.answer["retry-after"] == "1"
    assert hop.begun == ["/1", "/2"]


async def test_a_wait_ends_after_its_longest() -> None:
    """503, and the app isn't begun."""
    hop = Hop(longest_s=SHORT_S)
    first = await hop.begin("/1")
    refused = await asyncio.wait_for(await hop.begin("/2"), 10)
    hop.may_end.set()
    await asyncio.wait_for(first, 10)

    assert (refused.status, json.loads(refused.content)["reason"]) == (503, "QUEUE_WAIT_EXCEEDED")
    assert [note.what for note in hop.finished[0].context.notes] == ["waited", "rejected"]
    assert hop.begun == ["/1"]


async def test_a_wait_ends_at_the_request_s_own_deadline() -> None:
    """504: the queue knows the deadline, also where no layer cuts at it."""
    hop = Hop()
    first = await hop.begin("/1")
    hop.budget_s = SHORT_S
    refused = await asyncio.wait_for(await hop.begin("/2"), 10)
    hop.may_end.set()
    await asyncio.wait_for(first, 10)

    assert (refused.status, json.loads(refused.content)["reason"]) == (504, "DEADLINE_EXCEEDED")
    assert (hop.begun, hop.queue.waiting) == (["/1"], 0)


@pytest.mark.parametrize("mode", [Mode.SHADOW, Mode.OFF])
async def test_with_its_switch_not_on_nobody_waits(mode: Mode) -> None:
    """Both are at work at once; shadow counts who would have waited."""
    hop = Hop(queue=mode)
    tasks = [await hop.begin(path) for path in ("/1", "/2")]
    figures = hop.limiter.gate.snapshot()
    assert hop.begun == ["/1", "/2"]
    hop.may_end.set()
    await asyncio.wait_for(asyncio.gather(*tasks), 10)

    assert (figures["mode"], figures["would_wait"]) == (mode.value, int(mode is Mode.SHADOW))


async def test_its_figures_are_the_queue_s_and_can_be_reset() -> None:
    """What pages and resets reach is there, whether it is a gate or a queue."""
    hop = Hop(max_waiting=1)
    tasks = [await hop.begin(path) for path in ("/1", "/2")]
    await asyncio.wait_for(await hop.begin("/3"), 10)
    gate: Any = hop.limiter.gate

    assert (gate.name, gate.snapshot()["rejected_waiting"]) == ("queue", 1)
    gate.reset(0.0)
    assert (gate.snapshot()["rejected_waiting"], gate.snapshot()["waiting"]) == (0, 1)
    assert repr(gate).startswith("<Waiting shop.1 ")
    hop.may_end.set()
    await asyncio.wait_for(asyncio.gather(*tasks), 10)
