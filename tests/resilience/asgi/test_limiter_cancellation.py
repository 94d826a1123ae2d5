"""Limiter middleware: cancelled at any step, waiting for a place too, it leaves nothing behind."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from resilience.asgi.context import ContextMiddleware
from resilience.asgi.deadline import DeadlineMiddleware
from resilience.asgi.limiter import LimiterMiddleware
from resilience.asgi.types import ASGIApp
from resilience.policy.bulkhead import Bulkhead
from resilience.policy.contract import Gate, Outcome, Permit, Queue, Request
from resilience.policy.fixed import FixedLimit
from resilience.policy.keyed import KeyedRate
from resilience.policy.limit import AdaptiveLimiter
from resilience.policy.pools import BulkheadPools
from resilience.policy.token_bucket import TokenBucket
from resilience.policy.wait_queue import WaitQueue
from resilience.switches import FixedSwitches
from tests.resilience.asgi.client import Client
from tests.resilience.cancel_at import Victim, cancel_at_every_await, cancel_at_every_turn

STEPS = 3
LONG_S = 60.0  # a wait that ends by a place only, however slow the machine


async def work(scope: Any, receive: Any, send: Any) -> None:
    """Suspend a few times, before the answer and within it."""
    for _ in range(STEPS):
        await asyncio.sleep(0)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await asyncio.sleep(0)
    await send({"type": "http.response.body", "body": b"ok"})


def limiter(slots: int) -> AdaptiveLimiter:
    """Make a limiter that never learns."""
    return AdaptiveLimiter(FixedLimit(slots))


def wait_queue() -> WaitQueue:
    """Make a room to wait in, before a single place."""
    return WaitQueue(limiter(1), target_s=LONG_S, interval_s=LONG_S)


def keyed() -> KeyedRate:
    """Make a rate for each tenant, of two requests: the one of the test, and the next."""
    return KeyedRate(lambda: TokenBucket(1e-9, 2.0))


def bare(app: ASGIApp, policy: Gate | Queue) -> ASGIApp:
    """Put the limiter alone around an app."""
    return LimiterMiddleware(app, policy, switches=FixedSwitches(), scope_name="shop.1")


def stacked(app: ASGIApp, policy: Gate | Queue) -> ASGIApp:
    """Put what a server has around it."""
    inner = DeadlineMiddleware(bare(app, policy), switches=FixedSwitches())
    return ContextMiddleware(
        inner, instance="shop.1", switches=FixedSwitches(), budget=lambda scope: LONG_S
    )


def assert_passes(policy: Gate | Queue) -> None:
    """Hold a policy to have nothing out, nobody waiting, and a place for the next."""
    figures = policy.snapshot()
    assert figures.get("in_flight", 0) == 0
    assert figures.get("waiting", 0) == 0
    ask = policy.offer if hasattr(policy, "offer") else policy.admit
    assert isinstance(ask(Request(), asyncio.get_running_loop().time()), Permit)


Stack = Callable[[ASGIApp, Gate | Queue], ASGIApp]
Make = Callable[[], Gate | Queue]


@pytest.mark.parametrize("stack", [bare, stacked])
@pytest.mark.parametrize("make", [lambda: limiter(1), keyed])
async def test_a_gate_gets_its_permit_back(make: Make, stack: Stack) -> None:
    """At every await of the app the permit is out; cut there, it comes back."""

    def begin() -> Victim:
        policy = make()
        client = Client(stack(work, policy))
        return Victim(client.run(), lambda: assert_passes(policy))

    assert await cancel_at_every_await(begin) > STEPS
    assert await cancel_at_every_turn(begin) > STEPS


@pytest.mark.parametrize("stack", [bare, stacked])
@pytest.mark.parametrize("make", [wait_queue, lambda: Bulkhead(1, 5), lambda: BulkheadPools(1, 5)])
async def test_who_waits_for_a_place_leaves_none_behind(make: Make, stack: Stack) -> None:
    """Cut while waiting, when just granted, and at work; those before and after are served."""

    def begin() -> Victim:
        policy = make()
        app = stack(work, policy)
        before, victim, after = Client(app), Client(app), Client(app)
        others = (
            asyncio.ensure_future(before.run()),
            asyncio.ensure_future(begin_after(after)),
        )

        def check() -> None:
            assert (before.status, after.status) == (200, 200)
            assert_passes(policy)

        return Victim(victim.run(), check, others)

    assert await cancel_at_every_await(begin) > STEPS + 1  # the wait is one more
    assert await cancel_at_every_turn(begin) > STEPS + 1


async def begin_after(client: Client) -> None:
    """Serve a client that comes a turn later."""
    await asyncio.sleep(0)
    await client.run()


async def test_whom_the_deadline_layer_cuts_while_waiting_holds_nothing() -> None:
    """At the deadline it is answered 504, and the place goes to the next in line."""
    policy = Bulkhead(1, 5)
    held = policy.offer(Request(), 0.0)
    app = ContextMiddleware(
        DeadlineMiddleware(bare(work, policy), switches=FixedSwitches()),
        instance="shop.1",
        switches=FixedSwitches(),
        budget=lambda scope: 0.02,
    )
    client = await Client(app).run()

    assert (client.status, policy.waiting) == (504, 0)
    assert isinstance(held, Permit)
    policy.settle(held, Outcome.OK, 0.0)
    assert (await Client(app).run()).status == 200


async def test_a_client_who_leaves_while_waiting_leaves_the_queue() -> None:
    """The deadline layer hears it; the app is never begun."""
    has_begun = False

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal has_begun
        has_begun = True

    policy = Bulkhead(1, 5)
    policy.offer(Request(), 0.0)
    client = Client(stacked(app, policy))
    serving = asyncio.ensure_future(client.run())
    for _ in range(100):
        await asyncio.sleep(0)
        if policy.waiting:
            break
    assert policy.waiting == 1
    client.gone.set()
    await asyncio.wait_for(serving, 10)

    assert (policy.waiting, policy.in_flight, has_begun, client.status) == (0, 1, False, 499)
