"""Why a request went where it went, over real sockets: candidates, loads, rules, retries."""

import asyncio
import random
from typing import Any

import pytest

from lb.l7.picks import PickLog, seen
from lb.policy.balancer import Balancer
from lb.policy.p2c import P2C
from lb.policy.priorities import Priorities
from resilience.context import Note
from resilience.policy.contract import Mode, Request
from resilience.switches import FixedSwitches
from tests.lb.l7.rig import Backend, Handler, Rig, answering, ok, rig, swallowing, until

pytestmark = pytest.mark.integration
ID = "x-request-id: asked-for"


async def resetting(
    backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Take a request and reset the connection."""
    await backend.read_head(reader)
    writer.transport.abort()


def hanging_then_resetting(lab: Rig) -> Handler:
    """Let the other backend back before resetting, so that there is one to try."""

    async def handle(
        backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await backend.read_head(reader)
        lab.proxy.hold_out(lambda name: False)
        writer.transport.abort()

    return handle


def remembering(lab: Rig, kept: int = 100, every: int = 1) -> PickLog:
    """Let the proxy keep its picks."""
    log = PickLog(kept, every)
    lab.proxy.remember_picks(log)
    return log


def attempts(log: PickLog, request_id: str = "asked-for") -> list[dict[str, Any]]:
    """Return what is known of the one request of this id."""
    [found] = log.find(request_id)
    assert found["service"] == "gateway"
    told: list[dict[str, Any]] = found["attempts"]
    return told


def states(attempt: dict[str, Any], key: str) -> list[Any]:
    """Return one figure of all backends, in their order."""
    return [each[key] for each in attempt["backends"]]


async def test_a_pick_is_told_with_everybodys_load_at_that_moment() -> None:
    """One request hangs at one of two; the next goes to the other, and neither counts itself."""
    async with rig(swallowing, swallowing) as lab:
        log = remembering(lab)
        first, second = await lab.client(), await lab.client()
        first.get("/", "x-request-id: first")
        await until(lambda: bool(log.find("first")))
        second.get("/", ID)
        await until(lambda: bool(log.find("asked-for")))
        [one], [two] = attempts(log, "first"), attempts(log)
        assert states(one, "in_flight") == [0, 0]
        assert (one["rule"], one["after"], one["ended"]) == ("p2c", "", None)
        busy = {each["name"]: each["in_flight"] for each in two["backends"]}
        assert busy == {one["picked"]: 1, two["picked"]: 0}
        await until(lambda: lab.proxy.connections_to(one["picked"]) == 1)


async def test_a_retry_is_told_with_its_reason_and_who_was_tried() -> None:
    """The one that reset is down at the second pick, and excluded; each attempt has its end."""
    async with rig(resetting, answering(ok())) as lab:
        log = remembering(lab)
        answers = [await lab.ask("/", f"x-request-id: r{number}") for number in range(20)]
        assert {one.status for one in answers} == {200}
        told = [attempts(log, f"r{number}") for number in range(20)]
        retried = next(one for one in told if len(one) == 2)
        assert [one["picked"] for one in retried] == ["gateway.1", "gateway.2"]
        assert [one["after"] for one in retried] == ["", "reset"]
        assert [one["ended"] for one in retried] == ["reset", "200"]
        assert states(retried[1], "tried") == [True, False]
        assert states(retried[1], "state") == ["down", "up"]
        assert states(retried[1], "candidate") == [False, True]
        assert retried[0]["at_ms"] <= retried[1]["at_ms"]


async def test_a_request_without_a_backend_says_who_was_left_out() -> None:
    """Nobody was picked; the operator's word is shown."""
    async with rig(answering(ok())) as lab:
        log = remembering(lab)
        lab.proxy.hold_out("gateway.1".__eq__)
        assert (await lab.ask("/", ID)).status == 503
        [attempt] = attempts(log)
        assert (attempt["picked"], attempt["rule"]) == (None, "nobody left")
        assert states(attempt, "ejected_by") == ["OPERATOR"]


async def test_the_rule_names_panic_turns_and_layers() -> None:
    """Half of them gone and less: all are used; p2c off: in turn; levels: which one."""
    async with rig(answering(ok()), answering(ok())) as lab:
        log = remembering(lab)
        levels = Priorities(random.Random(1), lambda name: 0, lambda: P2C(random.Random(1)))
        lab.proxy.balancer.use(levels, 0.0)
        await lab.ask("/", "x-request-id: layered")
        assert attempts(log, "layered")[0]["rule"] == "priorities 0, p2c"
    async with rig(answering(ok()), switches=FixedSwitches({"p2c": Mode.OFF})) as lab:
        log = remembering(lab)
        await lab.ask("/", ID)
        assert attempts(log)[0]["rule"] == "in turn"
    async with rig(answering(ok())) as lab:
        log = remembering(lab)
        for _ in range(3):
            lab.proxy.balancer.on_check("gateway.1", False, 0.0)
        await lab.ask("/", ID)
        assert attempts(log)[0]["rule"] == "panic: all are used, p2c"


async def test_the_newest_are_kept_and_nothing_where_it_is_off() -> None:
    """A ring of so many requests; None remembers nothing, siblings' neither."""
    async with rig(answering(ok())) as lab:
        log = remembering(lab, kept=2)
        own = lab.proxy.sibling("hello")
        assert own.picks is log
        for number in range(3):
            await lab.ask("/", f"x-request-id: r{number}")
        assert [bool(log.find(f"r{number}")) for number in range(3)] == [False, True, True]
        lab.proxy.remember_picks(None)
        assert not any(proxy.picks for proxy in lab.proxy.fleets())
        assert (await lab.ask("/", ID)).status == 200
        assert log.find("asked-for") == []


async def test_what_a_backend_was_given_is_counted() -> None:
    """Each attempt once: picks, its end, its time; a sibling's own."""
    async with rig(resetting, answering(ok())) as lab:
        answers = [await lab.ask() for _ in range(20)]
        assert {one.status for one in answers} == {200}
        bad, good = (lab.proxy.tallies.of(f"gateway.{number}") for number in (1, 2))
        assert good.picks == good.ends["200"] == 20
        assert bad.picks == bad.failures()["reset"] >= 1
        assert good.p99_s() is not None
        assert bad.p99_s() is None
        lab.proxy.reset(0.0)
        assert lab.proxy.tallies.of("gateway.2").picks == 0


async def test_a_held_out_backend_gets_nothing_new_and_ends_what_it_has() -> None:
    """A request under way gets its answer; one that comes later goes to the other."""
    release = asyncio.Event()

    async def slow(
        backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await backend.read_head(reader)
        await release.wait()
        writer.write(ok(b"late"))

    async with rig(slow, answering(ok(b"other"))) as lab:
        lab.proxy.hold_out("gateway.2".__eq__)
        waiting = await lab.client()
        waiting.get()
        await until(lambda: lab.backends[0].requests == 1)
        lab.proxy.hold_out("gateway.1".__eq__)
        own = lab.proxy.sibling("gateway-again")
        own.set_endpoints([lab.backends[0].where])
        assert own.balancer.candidates == ()
        assert (await lab.ask()).body == b"other"
        release.set()
        assert (await waiting.answer()).body == b"late"


async def test_two_attempts_at_one_backend_have_each_their_own_end() -> None:
    """A kept connection that was closed is followed by another one to the same backend."""
    log = PickLog()
    balancer = Balancer(random.Random(1), FixedSwitches().mode)
    balancer.set_endpoints(["a"], 0.0)
    notes: list[Note] = []
    picks = log.open("r", "gateway", 10.0, 1, notes)
    picks.append(seen(balancer, "a", 10.001, (), "", Request()))
    picks.append(seen(balancer, "a", 10.0015, (), "stale connection", Request()))
    notes.append(Note("attempt", "stale connection", 0.0015, {"endpoint": "a", "ms": 0.5}))
    notes.append(Note("deadline", "shadow-rejected", 0.002))
    first, second = attempts(log, "r")
    assert (first["ended"], second["ended"]) == ("stale connection", None)
    notes.append(Note("attempt", "200", 0.0055, {"endpoint": "a", "ms": 4.0}))
    assert [one["ended"] for one in attempts(log, "r")] == ["stale connection", "200"]


async def test_by_default_one_in_sixteen_is_kept_and_each_that_is_tried_again() -> None:
    """The first, the seventeenth; of another the second attempt, with its number and reason."""
    async with rig(answering(ok()), resetting) as lab:
        log = remembering(lab, every=PickLog().every)
        lab.proxy.hold_out("gateway.2".__eq__)
        for number in range(18):
            await lab.ask("/", f"x-request-id: r{number}")
        assert [number for number in range(18) if log.find(f"r{number}")] == [0, 16]
        lab.proxy.hold_out("gateway.1".__eq__)
        client = await lab.client()
        lab.backends[1].handler = hanging_then_resetting(lab)
        client.get("/", "x-request-id: again")
        assert (await client.answer()).status == 200
        [attempt] = attempts(log, "again")
        assert (attempt["attempt"], attempt["after"]) == (2, "reset")
        assert (attempt["picked"], attempt["ended"]) == ("gateway.1", "200")
