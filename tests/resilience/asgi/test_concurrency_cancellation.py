"""Concurrency middleware: cancelled at any step, also while waiting, it leaves nothing behind."""

import asyncio
from typing import Any

from resilience.asgi.concurrency import ConcurrencyMiddleware
from tests.resilience.asgi.client import Client
from tests.resilience.cancel_at import Victim, cancel_at_every_await, cancel_at_every_turn

STEPS = 3


async def work(scope: Any, receive: Any, send: Any) -> None:
    """Suspend a few times, then answer."""
    for _ in range(STEPS):
        await asyncio.sleep(0)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


async def test_who_waits_for_a_slot_leaves_none_behind() -> None:
    """Cut while waiting, when just granted, and at work; those before and after are served."""

    def begin() -> Victim:
        app = ConcurrencyMiddleware(work, cap=lambda: 1, max_waiting=5, scope_name="shop.1")
        before, victim, after = Client(app), Client(app), Client(app)
        others = (asyncio.ensure_future(before.run()), asyncio.ensure_future(_next_turn(after)))

        def check() -> None:
            assert (before.status, after.status) == (200, 200)
            assert (app.queue.in_flight, app.queue.waiting) == (0, 0)

        return Victim(victim.run(), check, others)

    assert await cancel_at_every_await(begin) > STEPS
    assert await cancel_at_every_turn(begin) > STEPS


async def _next_turn(client: Client) -> None:
    await asyncio.sleep(0)
    await client.run()
