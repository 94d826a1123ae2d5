"""Deadlines at L7: read, clamped, passed on as what remains, enforced."""

import asyncio
import re
import time

import msgspec
import pytest

from lb.l7 import tries
from lb.l7.settings import ProxySettings
from resilience.policy.contract import Mode
from resilience.switches import FixedSwitches
from tests.lb.l7.rig import Answer, answering, ok, rig, swallowing, until

pytestmark = pytest.mark.integration

TIMEOUT = "x-envoy-expected-rq-timeout-ms"


def _passed_on_ms(received: bytes) -> int | None:
    found = re.search(rb"x-envoy-expected-rq-timeout-ms: (\d+)\r\n", received)
    return int(found[1]) if found else None


def _reason(answer: Answer) -> str:
    return str(msgspec.json.decode(answer.body)["reason"])


@pytest.mark.parametrize(
    ("lines", "most_ms"),
    [
        ((), 10_000),
        ((f"{TIMEOUT}: 3000",), 3000),
        (("grpc-timeout: 2500m",), 2500),
        ((f"{TIMEOUT}: 3000", "grpc-timeout: 9S"), 3000),
        ((f"{TIMEOUT}: 600000",), 10_000),
    ],
)
async def test_what_remains_is_passed_on(lines: tuple[str, ...], most_ms: int) -> None:
    """A backend gets the smallest of route budget and both headers, less what passed here."""
    async with rig(answering(ok()), route_budget_s=10.0) as lab:
        assert (await lab.ask("/", *lines)).status == 200
        passed_on_ms = _passed_on_ms(bytes(lab.backends[0].received))
        assert passed_on_ms is not None
        assert most_ms / 2 <= passed_on_ms <= most_ms
        assert b"grpc-timeout" not in lab.backends[0].received
        assert lab.summaries[0].remaining_in_ms == most_ms


@pytest.mark.parametrize(
    "line", [f"{TIMEOUT}: soon", f"{TIMEOUT}: 0", "grpc-timeout: 1", "grpc-timeout: -1S"]
)
async def test_malformed_deadline_gets_400_and_the_connection_stays(line: str) -> None:
    """An invalid deadline is refused with a reason; the next request is served."""
    async with rig(answering(ok())) as lab:
        client = await lab.client()
        client.get("/", line)
        answer = await client.answer()
        assert (answer.status, _reason(answer)) == (400, "INVALID_DEADLINE")
        client.get()
        assert (await client.answer()).status == 200
        assert lab.backends[0].requests == 1


async def test_spent_deadline_gets_504_without_a_backend() -> None:
    """A request that arrives with nothing left is not started."""
    async with rig(answering(ok())) as lab:
        answer = await lab.ask("/", "grpc-timeout: 0m")
        assert (answer.status, _reason(answer)) == (504, "DEADLINE_EXCEEDED")
        assert lab.backends[0].requests == 0


async def test_deadline_gets_504_and_cancels_the_backends_work() -> None:
    """When the time is up the client has its 504, and the backend's connection is closed."""
    async with rig(swallowing) as lab:
        client = await lab.client()
        began_s = time.monotonic()
        client.get("/", f"{TIMEOUT}: 100", method="POST")
        answer = await client.answer()
        took_s = time.monotonic() - began_s
        assert (answer.status, _reason(answer)) == (504, "DEADLINE_EXCEEDED")
        assert took_s >= 0.095
        await until(lambda: lab.backends[0].open_connections == 0)
        assert lab.proxy.balancer.snapshot()["gateway.1.active"] == 0
        assert answer.headers["x-squall-decision"] == "deadline; l7.1; 100"
        assert "connection" not in answer.headers


async def test_deadline_inside_an_answer_breaks_it_off() -> None:
    """An answer under way when the time is up stops short: nobody takes it for whole."""

    async def half(
        backend: object, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
        await reader.read()

    async with rig(half) as lab:
        client = await lab.client()
        client.get("/", f"{TIMEOUT}: 100")
        raw = await client.rest()
        assert raw.endswith(b"half") or raw == b""
        assert lab.summaries[0].code == 504


async def test_answer_begun_in_the_last_moment_comes_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """A head before the deadline and its body after it: no client gets a head alone."""
    assert tries.ANSWER_GRACE_S == 0.05
    monkeypatch.setattr(tries, "ANSWER_GRACE_S", 10.0)

    async def in_two_pieces(
        backend: object, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 504 Gateway Timeout\r\ncontent-length: 4\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(2.2)  # beyond the deadline
        writer.write(b"late")

    async with rig(in_two_pieces, route_budget_s=10.0) as lab:
        answer = await lab.ask("/", f"{TIMEOUT}: 2000")
        assert (answer.status, answer.body) == (504, b"late")
        assert lab.summaries[0].code == 504
        assert lab.summaries[0].duration_ms > 2000


async def test_deadline_off_enforces_nothing_and_passes_nothing_on() -> None:
    """With the switch off neither a timer runs nor a header reaches the backend."""
    async with rig(answering(ok()), switches=FixedSwitches({"deadline": Mode.OFF})) as lab:
        assert (await lab.ask("/", "grpc-timeout: 0m", f"{TIMEOUT}: 5")).status == 200
        assert _passed_on_ms(bytes(lab.backends[0].received)) is None
        assert lab.summaries[0].remaining_in_ms is None


async def test_deadline_in_shadow_passes_on_and_refuses_nothing() -> None:
    """In shadow the remaining time travels, and nobody is refused for it."""

    async def late(
        backend: object, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.05)
        writer.write(ok())

    async with rig(late, switches=FixedSwitches({"deadline": Mode.SHADOW})) as lab:
        assert (await lab.ask("/", f"{TIMEOUT}: 10")).status == 200
        last = lab.summaries[0].notes[-1]
        assert (last.policy, last.what) == ("deadline", "shadow-rejected")


async def test_route_budget_follows_the_setting() -> None:
    """The budget of a request without a deadline is the setting of now."""
    async with rig(answering(ok())) as lab:
        lab.proxy.settings = ProxySettings(route_budget_s=0.2)
        await lab.ask("/")
        assert lab.summaries[0].remaining_in_ms == 200
