"""Slow clients over real sockets: sent away, counted, or let be where the switch is off."""

import asyncio
import resource
import time

import pytest

from kit.source import SourceError
from lb.l7 import settings
from lb.l7.config import L7Config, parse_config
from lb.l7.timeouts import KINDS, BodyPace, SlowClients, TimeoutOptions
from resilience.policy.contract import Mode
from resilience.switches import FixedSwitches
from tests.lb.l7.rig import Backend, RawClient, Rig, answering, http1_clients, ok, rig, until

SHORT_S = 0.15
HEAD = b"POST / HTTP/1.1\r\nHost: lab\r\n"
CROWD = 1000


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at clients fifty times a second in place of once."""
    monkeypatch.setattr("lb.l7.server.SWEEP_S", 0.02)


def closed(lab: Rig, kind: str) -> int:
    """Return how many were sent away for it."""
    return lab.proxy.slow_clients.closed[kind]


def test_defaults_are_documented() -> None:
    """Those of Apache's mod_reqtimeout and of nginx, and what was there before."""
    assert TimeoutOptions() == TimeoutOptions(
        header_s=10.0, body_s=20.0, min_rate=500.0, write_s=60.0, idle_s=60.0
    )
    assert settings.RATE_WINDOW_S == 5.0
    assert L7Config().timeouts == TimeoutOptions()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("timeouts: {header_s: 0}", "header_s is 0; give more than 0"),
        ("timeouts: {body_s: -1}", "body_s is -1; give more than 0"),
        ("timeouts: {idle_s: 0}", "idle_s is 0; give more than 0"),
        ("timeouts: {min_rate: -1}", "min_rate is -1; give 0 or more"),
        ("timeouts: {head_s: 1}", "unknown key head_s; did you mean header_s"),
    ],
)
def test_a_mistake_is_told(text: str, told: str) -> None:
    """With its place in the file."""
    with pytest.raises(SourceError, match=r"^l7\.yaml:1:\d+: ") as caught:
        parse_config(text)
    assert told in str(caught.value)


async def test_a_head_has_one_limit_however_often_a_byte_comes() -> None:
    """Slowloris is told 408 and loses its connection; a backend sees nothing of it."""
    async with rig(answering(ok())) as lab:
        client = await lab.client()
        client.send(HEAD + b"X-Slow: ")
        await until(lambda: any(one._parser.head_bytes for one in http1_clients(lab)))
        lab.proxy.timeouts = TimeoutOptions(header_s=SHORT_S)
        dripping = asyncio.create_task(drip(client))
        answer = await client.answer()
        await client.rest()
        dripping.cancel()
        assert answer.status == 408
        assert answer.headers["connection"] == "close"
        assert b"the head wasn't complete within 0.15 s" in answer.body
        assert closed(lab, "header") == 1
        assert lab.backends[0].requests == 0
        assert (await lab.ask("/")).status == 200


async def test_a_body_that_stands_still_is_refused() -> None:
    """408, and the backend that has begun to read it is let go."""
    async with rig(silent) as lab:
        lab.proxy.timeouts = TimeoutOptions(body_s=SHORT_S)
        client = await lab.client()
        client.send(HEAD + b"Content-Length: 100\r\n\r\nhalf")
        answer = await client.answer()
        assert answer.status == 408
        assert b"nothing of the body came for 0.15 s" in answer.body
        assert closed(lab, "body") == 1
        await until(lambda: lab.backends[0].open_connections == 0)


async def test_a_body_that_trickles_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes in time, and all of them together are too few."""
    monkeypatch.setattr("lb.l7.timeouts.RATE_WINDOW_S", SHORT_S)
    async with rig(silent) as lab:
        lab.proxy.timeouts = TimeoutOptions(min_rate=1e6)
        client = await lab.client()
        client.send(HEAD + b"Content-Length: 100000\r\n\r\n")
        dripping = asyncio.create_task(drip(client))
        answer = await client.answer()
        dripping.cancel()
        assert answer.status == 408
        assert b"the body came slower than 1e+06 bytes a second" in answer.body
        assert closed(lab, "rate") == 1


async def test_who_takes_nothing_of_an_answer_is_cut_off() -> None:
    """When the proxy holds what it may and the client reads no more."""
    large = ok(b"x" * 8_000_000)
    async with rig(answering(large)) as lab:
        lab.proxy.timeouts = TimeoutOptions(write_s=SHORT_S)
        client = await lab.client()
        client.get("/")
        await until(lambda: closed(lab, "write") == 1)
        await until(lambda: lab.server.connections == 0)
        assert (await lab.ask("/")).status == 200


async def test_who_says_nothing_is_closed_without_a_word() -> None:
    """An idle connection is no offence, so it is counted nowhere."""
    async with rig(answering(ok())) as lab:
        lab.proxy.timeouts = TimeoutOptions(idle_s=SHORT_S)
        client = await lab.client()
        assert await client.rest() == b""
        assert not lab.proxy.slow_clients.closed


async def test_who_never_says_anything_has_the_time_of_a_head() -> None:
    """Counted from the start, and closed without a word; a kept connection isn't one of them."""
    async with rig(answering(ok())) as lab:
        kept, silent = await lab.client(), await lab.client()
        kept.get("/")
        await kept.answer()
        await until(lambda: lab.server.connections == 2)
        lab.proxy.timeouts = TimeoutOptions(header_s=SHORT_S, idle_s=60.0)
        assert await silent.rest() == b""
        assert closed(lab, "header") == 1
        kept.get("/")
        assert (await kept.answer()).status == 200


async def test_in_shadow_who_never_says_anything_is_counted_once_and_stays() -> None:
    """However often it is looked at; what it asks at last is answered."""
    async with rig(answering(ok()), switches=FixedSwitches({"slow_clients": Mode.SHADOW})) as lab:
        lab.proxy.timeouts = TimeoutOptions(header_s=0.02, idle_s=60.0)
        client = await lab.client()
        await until(lambda: lab.proxy.slow_clients.would_close["header"] == 1)
        (one,) = http1_clients(lab)
        one.sweep(time.monotonic())
        one.sweep(time.monotonic())
        assert lab.server.snapshot()["would_close.header"] == 1
        client.get("/")
        assert (await client.answer()).status == 200
        assert closed(lab, "header") == 0


async def test_without_the_defence_only_the_idle_time_ends_who_says_nothing() -> None:
    """The time of a head passes without a trace."""
    async with rig(answering(ok()), switches=FixedSwitches({"slow_clients": Mode.OFF})) as lab:
        lab.proxy.timeouts = TimeoutOptions(header_s=0.02, idle_s=SHORT_S)
        client = await lab.client()
        assert await client.rest() == b""
        counts = lab.server.snapshot()
        assert (counts["slow.header"], counts["would_close.header"]) == (0, 0)


@pytest.mark.parametrize("mode", [Mode.OFF, Mode.SHADOW])
async def test_the_switch_lets_them_be(mode: Mode) -> None:
    """Off says nothing, shadow counts; the request is answered when it has come at last."""
    async with rig(answering(ok()), switches=FixedSwitches({"slow_clients": mode})) as lab:
        lab.proxy.timeouts = TimeoutOptions(header_s=0.05)
        client = await lab.client()
        client.send(b"GET / HTTP/1.1\r\nHost: lab\r\nX-Slow: ")
        if mode is Mode.SHADOW:
            await until(lambda: lab.proxy.slow_clients.would_close["header"] >= 2)
        client.send(b"b\r\n\r\n")
        assert (await client.answer()).status == 200
        assert not lab.proxy.slow_clients.closed
        counted = lab.server.snapshot()["would_close.header"]
        assert bool(counted) is (mode is Mode.SHADOW)
        lab.server.reset(0.0)
        assert lab.server.snapshot()["would_close.header"] == 0


async def test_connections_beyond_the_limit_are_closed_at_once() -> None:
    """It moves while the proxy runs, and who is there stays."""
    async with rig(answering(ok())) as lab:
        first = await lab.client()
        first.get("/")
        await first.answer()
        lab.proxy.settings = settings.ProxySettings(max_connections=1)
        second = await lab.client()
        assert await second.rest() == b""
        first.get("/")
        assert (await first.answer()).status == 200
        assert lab.server.snapshot()["refused_connections"] == 1


async def test_a_thousand_slow_heads_hold_up_nobody() -> None:
    """They stand open, and fifty honest clients are all answered."""
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 3 * CROWD:
        pytest.skip(f"{3 * CROWD} open files are needed: ulimit -n {3 * CROWD}")
    async with rig(answering(ok())) as lab:
        lab.proxy.timeouts = TimeoutOptions(header_s=600.0)  # none of them goes meanwhile
        slow = [await lab.client() for _ in range(CROWD)]
        for client in slow:
            client.send(HEAD + b"X-Slow: ")
        await until(lambda: lab.server.connections == CROWD)
        answers = [await lab.ask("/") for _ in range(50)]
        assert {answer.status for answer in answers} == {200}
        assert lab.server.connections >= CROWD


def test_a_pace_is_counted_over_whole_windows() -> None:
    """Not while one lasts, nor over what the proxy itself held up."""
    pace = BodyPace()
    assert not pace.is_too_slow(100.0, 1.0)
    pace.add(10)
    assert not pace.is_too_slow(100.0, 5.9)
    assert pace.is_too_slow(100.0, 6.1)
    pace.add(600)
    assert not pace.is_too_slow(100.0, 11.5)
    pace.restart()
    assert not pace.is_too_slow(100.0, 99.0)
    assert not pace.is_too_slow(0.0, 105.0)


def test_every_kind_is_told() -> None:
    """From the start, so that a page shows the zero."""
    assert set(SlowClients(lambda _: Mode.ON).snapshot()) == {
        f"{prefix}.{kind}" for prefix in ("slow", "would_close") for kind in KINDS
    }


async def silent(
    backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Read, and answer nothing."""
    while await reader.read(65536):
        pass


async def drip(client: RawClient) -> None:
    """Send a byte every hundredth of a second."""
    while not client.writer.transport.is_closing():
        client.send(b"b")
        await asyncio.sleep(0.01)
