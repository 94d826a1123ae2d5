"""Trying again: when, where, how often, and who pays for it."""

import asyncio
import time

import msgspec
import pytest

from lb.l7.settings import ProxySettings
from resilience.policy.contract import Mode
from resilience.switches import FixedSwitches
from tests.lb.l7.rig import Backend, Rig, answering, ok, rig, swallowing, until
from tests.ports import free_port

pytestmark = pytest.mark.integration

POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"


async def hang_up(
    backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Read one request and reset the connection."""
    await backend.read_head(reader)
    writer.transport.abort()


def outcomes(lab: Rig, index: int = -1) -> list[tuple[object, object]]:
    """Return where and how a request was tried."""
    return [(note.detail["endpoint"], note.what) for note in lab.summaries[index].notes]


def first_to(lab: Rig, endpoint: str) -> None:
    """Make the next request go to this backend by keeping the others busy."""
    for backend in lab.backends:
        if backend.name != endpoint:
            lab.proxy.balancer.on_start(backend.name, 0.0)


async def test_refused_connection_is_tried_elsewhere_for_any_method() -> None:
    """A POST that could not be sent goes to the other backend, body and all."""
    async with rig(answering(ok()), answering(ok())) as lab:
        await lab.backends[0].stop()
        first_to(lab, "gateway.1")
        client = await lab.client()
        client.send(POST)
        assert (await client.answer()).status == 200
        assert outcomes(lab) == [("gateway.1", "not connected"), ("gateway.2", "200")]
        assert lab.proxy.balancer.candidates == ("gateway.2",)
        assert b"abc" not in lab.backends[0].received


async def test_reset_is_tried_elsewhere_for_get_only() -> None:
    """A GET that was reset succeeds on the other backend, a POST is answered 502."""
    async with rig(hang_up, answering(ok())) as lab:
        first_to(lab, "gateway.1")
        assert (await lab.ask()).status == 200
        assert outcomes(lab)[0][0] == "gateway.1"

        lab.proxy.reset(time.monotonic())
        client = await lab.client()
        client.send(POST)
        answer = await client.answer()
        assert (answer.status, b"UPSTREAM_RESET" in answer.body) == (502, True)


async def test_everyone_refusing_gets_503_with_retry_after() -> None:
    """With no backend that accepts, the answer says so and when to come back."""
    async with rig(answering(ok()), answering(ok())) as lab:
        for backend in lab.backends:
            await backend.stop()
        answer = await lab.ask()
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert answer.headers["x-squall-decision"] == "balancer; gateway; 2/2"
        assert msgspec.json.decode(answer.body)["reason"] == "NO_BACKEND"


async def test_no_endpoint_at_all_gets_503() -> None:
    """Before the registry knows a gateway, the answer is 503 NO_BACKEND."""
    async with rig() as lab:
        assert b"NO_BACKEND" in (await lab.ask()).body
        assert lab.summaries[0].status == "NO_BACKEND"


async def test_frozen_backend_costs_half_the_budget() -> None:
    """After half of what remains a second try runs beside the first, and its answer counts."""
    async with rig(swallowing, answering(ok()), route_budget_s=10.0) as lab:
        first_to(lab, "gateway.1")
        began_s = time.monotonic()
        answer = await lab.ask("/", "grpc-timeout: 3S")
        took_s = time.monotonic() - began_s
        assert answer.status == 200
        assert took_s >= 1.45
        assert outcomes(lab) == [("gateway.1", "outrun"), ("gateway.2", "200")]
        await until(lambda: lab.backends[0].open_connections == 0)


async def test_slow_answer_is_not_thrown_away() -> None:
    """A backend that needs more than half the budget still wins when the second try is slower."""

    async def slow(
        backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await backend.read_head(reader)
        await until(lambda: lab.backends[1].open_connections == 1)
        writer.write(ok(b"slow"))
        await reader.read()

    async with rig(slow, swallowing, route_budget_s=10.0) as lab:
        first_to(lab, "gateway.1")
        assert (await lab.ask("/", "grpc-timeout: 3S")).body == b"slow"
        assert outcomes(lab) == [("gateway.2", "outrun"), ("gateway.1", "200")]


async def test_post_has_no_second_try_beside_the_first() -> None:
    """A frozen backend holds a POST until its deadline: it may have begun."""
    async with rig(swallowing, answering(ok())) as lab:
        first_to(lab, "gateway.1")
        answer = await lab.ask("/", "grpc-timeout: 150m", method="POST")
        assert answer.status == 504
        assert lab.backends[1].requests == 0


@pytest.mark.parametrize("mode", [Mode.OFF, Mode.SHADOW])
async def test_switch_off_or_in_shadow_tries_once(mode: Mode) -> None:
    """Without the policy one try is made; in shadow the other one is counted."""
    async with rig(hang_up, hang_up, switches=FixedSwitches({"retry": mode})) as lab:
        assert (await lab.ask()).status == 502
        assert lab.backends[0].requests + lab.backends[1].requests == 1
        assert lab.proxy.shadow_retries == (mode is Mode.SHADOW)


async def test_attempts_are_limited() -> None:
    """With four backends that reset, three tries are made."""
    async with rig(*[hang_up] * 4) as lab:
        assert (await lab.ask()).status == 502
        assert len(outcomes(lab)) == 3
        lab.proxy.settings = ProxySettings(max_attempts=2)
        lab.proxy.reset(time.monotonic())
        await lab.ask()
        assert len(outcomes(lab)) == 2


async def test_budget_limits_retries_under_way() -> None:
    """With three retries under way nobody gets another; when one ends, the next request may.

    Checks are off, so whoever hangs up goes on being asked, and retries add to it.
    """
    switches = FixedSwitches({"checks": Mode.OFF})
    async with rig(hang_up, answering(ok()), switches=switches) as lab:
        budget = lab.proxy.budget
        while budget.try_start_retry():
            pass
        first_to(lab, "gateway.1")
        assert (await lab.ask()).status == 502
        assert len(outcomes(lab)) == 1

        budget.on_retry_end()
        lab.proxy.reset(time.monotonic())
        assert (await lab.ask()).status == 200
        assert len(outcomes(lab)) == 2
        assert (budget.budget.retries, budget.budget.calls) == (2, 0)


async def test_what_a_dead_backend_held_is_tried_elsewhere_whatever_the_budget_says() -> None:
    """Ten at once, and no retry left in the budget: each is answered by the other backend."""
    async with rig(swallowing, answering(ok(b"well"))) as lab:
        while lab.proxy.budget.try_start_retry():
            pass
        clients = [await lab.client() for _ in range(10)]
        for number, client in enumerate(clients, 1):
            first_to(lab, "gateway.1")
            client.get("/")
            await until(lambda n=number: lab.proxy.balancer.loads().get("gateway.1") == n)  # type: ignore[misc]
        await until(lambda: lab.backends[0].open_connections == 10)
        await lab.backends[0].stop()
        assert {(await client.answer()).body for client in clients} == {b"well"}
        assert lab.proxy.snapshot()["free_retries"] == 10


async def test_stale_connection_is_replaced_without_blame() -> None:
    """A kept connection that the backend closed as we wrote is tried again on the same backend."""

    async def once(
        backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await backend.read_head(reader)
        writer.write(ok())
        if backend.connections == 1:
            await backend.read_head(reader)  # and close instead of answering
            return
        await reader.read()

    async with rig(once) as lab:
        client = await lab.client()
        for _ in range(2):
            client.get()
            assert (await client.answer()).status == 200
        assert outcomes(lab)[0][1] in ("stale connection", "reset")
        assert lab.backends[0].connections == 2


async def test_garbage_from_a_backend_gets_502() -> None:
    """What is not HTTP is not passed on; the answer names the reason."""
    async with rig(answering(b"SSH-2.0-OpenSSH_9.2\r\n")) as lab:
        answer = await lab.ask()
        assert (answer.status, b"UPSTREAM_BAD_ANSWER" in answer.body) == (502, True)


@pytest.mark.parametrize(
    "lines",
    [
        b"content-length: 3\r\ntransfer-encoding: chunked",
        b"transfer-encoding: gzip, chunked",
        b"content-length: 3\r\ncontent-length: 4",
        b"x: " + b"a" * 80_000,
    ],
)
async def test_doubtful_answer_gets_502(lines: bytes) -> None:
    """An answer whose end could be read in two ways, or whose head is too large, is refused."""
    async with rig(answering(b"HTTP/1.1 200 OK\r\n" + lines + b"\r\n\r\n")) as lab:
        assert (await lab.ask()).status == 502


async def test_answer_cut_short_is_broken_off() -> None:
    """When a backend dies inside its answer, the client's connection ends without the rest."""

    async def half(
        backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await backend.read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
        await writer.drain()

    async with rig(half) as lab:
        client = await lab.client()
        client.get()
        assert not (await client.rest()).endswith(b"\r\n\r\n")
        await until(lambda: bool(lab.summaries))
        assert (lab.summaries[0].code, lab.summaries[0].status) == (502, "UPSTREAM_RESET")


async def test_unreachable_address_counts_as_not_connected() -> None:
    """A registry that still names a dead address costs one quick try."""
    async with rig(answering(ok())) as lab:
        backend = lab.backends[0]
        dead = backend.where._replace(instance="gateway.9", port=free_port())
        lab.proxy.set_endpoints([backend.where, dead])
        lab.proxy.balancer.on_start("gateway.1", 0.0)
        assert (await lab.ask()).status == 200
        assert outcomes(lab)[0] == ("gateway.9", "not connected")


async def test_endpoint_that_left_finishes_and_gets_nothing_new() -> None:
    """A backend that leaves the registry answers what it has; the next request goes elsewhere."""
    release = asyncio.Event()

    async def held(
        backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await backend.read_head(reader)
        await release.wait()
        writer.write(ok(b"old"))
        await reader.read()

    # Without a deadline: a machine that stands still would have it tried elsewhere beside.
    switches = FixedSwitches({"deadline": Mode.OFF})
    async with rig(held, answering(ok(b"new")), switches=switches) as lab:
        first_to(lab, "gateway.1")
        client = await lab.client()
        client.get()
        await until(lambda: lab.backends[0].requests == 1)
        lab.proxy.set_endpoints([lab.backends[1].where])
        assert (await lab.ask()).body == b"new"
        release.set()
        assert (await client.answer()).body == b"old"
        await until(lambda: lab.backends[0].open_connections == 0)


async def test_consecutive_failures_eject_a_backend_that_passes_checks() -> None:
    """Five 500s in a row send everything to the other backend."""
    async with rig(
        answering(b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n"), answering(ok())
    ) as lab:
        client = await lab.client()
        statuses = []
        for _ in range(60):
            client.get()
            statuses.append((await client.answer()).status)
        assert statuses.count(500) == 5
        assert lab.proxy.balancer.candidates == ("gateway.2",)


async def test_overloaded_answers_eject_nobody() -> None:
    """503 and 504 go up as they are, untried elsewhere, and no backend is blamed."""
    busy = b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\nretry-after: 1\r\n\r\n"
    async with rig(answering(busy), answering(busy)) as lab:
        client = await lab.client()
        for _ in range(20):
            client.get()
            answer = await client.answer()
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert len(lab.proxy.balancer.candidates) == 2
        assert lab.backends[0].requests + lab.backends[1].requests == 20


async def test_an_error_is_passed_on_unless_answers_are_tried_again() -> None:
    """By default the hop below has retried already; told to, each of three tries is made."""
    error = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nbusy"
    async with rig(answering(error), answering(error)) as lab:
        assert (await lab.ask()).status == 503
        assert [what for _, what in outcomes(lab)] == ["503"]

        lab.proxy.settings = ProxySettings(retry_answers=True)
        answer = await lab.ask()
        assert (answer.status, answer.body) == (503, b"busy")
        assert [what for _, what in outcomes(lab)] == ["503", "503", "503"]
        assert lab.backends[0].requests + lab.backends[1].requests == 4

        assert (await lab.ask("/", method="POST")).status == 503
        assert [what for _, what in outcomes(lab)] == ["503"]


async def test_an_answer_tried_again_takes_of_the_budget_and_may_succeed() -> None:
    """The second backend's answer is the client's, whole; without budget the first one's is."""
    error = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 3\r\n\r\nbad"
    async with rig(answering(error), answering(ok(b"well"))) as lab:
        lab.proxy.settings = ProxySettings(retry_answers=True)
        for _ in range(8):
            assert (await lab.ask()).status == 200
        assert lab.backends[0].requests > 0
        assert lab.proxy.budget.snapshot()["retries"] == 0

        while lab.proxy.budget.try_start_retry():
            pass
        first_to(lab, "gateway.1")
        assert (await lab.ask()).body == b"bad"
