"""Transport, when somebody leaves: deadlines, time-outs, cancelled calls."""

import asyncio
from itertools import count

import httpx2
import pytest

from resilience import context as request_context
from resilience.errors import DeadlineExpired, UpstreamTimeout
from resilience.policy.bulkhead import Bulkhead
from resilience.policy.contract import Outcome
from tests.resilience.fakes import FakeGate, make_context
from tests.resilience.httpx2.clients import LIMIT_S, client_of, outcomes, say
from tests.resilience.httpx2.server import Exchange, running

pytestmark = pytest.mark.integration


class Hanging:
    """A script that never answers, and knows when its client has left."""

    def __init__(self) -> None:
        self.arrived = asyncio.Event()
        self.left = asyncio.Event()

    async def __call__(self, exchange: Exchange, number: int) -> None:
        self.arrived.set()
        await exchange.wait_left()
        self.left.set()
        exchange.writer.close()


async def test_at_the_deadline_the_connection_is_closed() -> None:
    """The caller gets its error, the server sees that nobody waits any more."""
    hanging = Hanging()
    async with running(hanging) as server, client_of(server.endpoint) as (client, picker):
        token = request_context.enter(make_context(remaining_s=0.5))
        with pytest.raises(DeadlineExpired):
            await client.get("/")
        request_context.leave(token)
        await asyncio.wait_for(hanging.left.wait(), LIMIT_S)
    assert outcomes(picker) == [Outcome.FAILED]


async def test_a_try_is_cut_at_its_time_and_tried_elsewhere() -> None:
    """The slow endpoint is left, the next one answers."""
    async with (
        running(Hanging()) as slow,
        running(say(b"fine")) as good,
        client_of(slow.endpoint, good.endpoint, per_try_timeout_s=0.5) as (client, picker),
    ):
        assert (await client.get("/")).text == "fine"
    assert outcomes(picker) == [Outcome.FAILED, Outcome.OK]


async def test_httpx2_s_own_timeout_is_the_other_side_s_failure() -> None:
    """A read that times out is an UpstreamTimeout."""
    async with running(Hanging()) as server, client_of(server.endpoint) as (client, _):
        with pytest.raises(UpstreamTimeout):
            await client.post("/", timeout=httpx2.Timeout(LIMIT_S, read=0.05))


async def test_cancelling_the_call_closes_the_connection() -> None:
    """And teaches nothing: it was the caller who left."""
    hanging = Hanging()
    async with running(hanging) as server, client_of(server.endpoint) as (client, picker):
        call = asyncio.create_task(client.get("/"))
        await asyncio.wait_for(hanging.arrived.wait(), LIMIT_S)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.wait_for(hanging.left.wait(), LIMIT_S)
    assert outcomes(picker) == [Outcome.IGNORED]


async def test_a_cancellation_at_any_await_leaks_nothing() -> None:
    """After any turn of the loop: no place, no permit is held, and the client works on."""

    def script(exchange: Exchange, number: int) -> None:
        exchange.answer(200, b"x" * 100_000)

    breaker, bulkhead = FakeGate("breaker"), Bulkhead(1)
    async with (
        running(script) as server,
        client_of(server.endpoint, breaker=breaker, bulkhead=bulkhead) as (client, picker),
    ):
        for turn in count():
            call = asyncio.create_task(client.get("/"))
            for _ in range(turn):
                await asyncio.sleep(0)
            has_ended = call.done()
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            assert (breaker.in_flight, bulkhead.in_flight, picker.active.total()) == (0, 0, 0)
            if has_ended:
                break
        assert turn > 3
        assert (await asyncio.wait_for(client.get("/"), LIMIT_S)).status_code == 200
