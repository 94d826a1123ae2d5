"""``slow``: a station that takes longer over the requests a rule means, and the proof of it."""

import asyncio
import random
import time
from collections.abc import Callable

import pytest

from faults.actions import Slow
from faults.asgi import FaultMiddleware
from faults.injector import Injector
from faults.rule import FaultRule
from kit.state import NO_STATION, StationSetting
from kit.station import Station
from kit.station_schedule import StationSchedule
from resilience.asgi.types import Message, Receive, Scope, Send
from tests.kit.lab import wait_until


class World:
    """An ASGI application whose handler is a station, behind the fault middleware.

    Args:
        rules: In force; the list may change.
        workers: Of the station, at 20 ms each; 0 for no station.
        clock: The station's, monotonic seconds.
    """

    def __init__(
        self,
        rules: list[FaultRule],
        workers: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        setting = StationSetting(workers, 0.02, 0.0) if workers else NO_STATION
        self.station = Station(StationSchedule(setting, random.Random(1)), clock)
        self.injector = Injector(lambda: rules, random.Random(1))
        self.app = FaultMiddleware(self.serve, self.injector)

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve in the station."""
        await self.station.serve()

    async def get(self, path: str = "/v1/home") -> float:
        """Send a request; return the seconds it took."""
        began_s = time.monotonic()
        await self.app({"type": "http", "method": "GET", "path": path}, nothing, drop)
        return time.monotonic() - began_s


async def nothing() -> Message:
    """Receive nothing."""
    return {"type": "http.disconnect"}


async def drop(message: Message) -> None:
    """Send nowhere."""


def slow(fault: str = "s", factor: float = 5.0, route: str = "") -> FaultRule:
    """Make a rule."""
    return FaultRule(fault, "slow", "*", {"factor": factor}, route)


def test_the_decision_is_no_proof_yet() -> None:
    """Only the station can tell whether it bit."""
    injector = Injector(lambda: [slow()], random.Random(1))
    assert injector.decide("GET /", "", 0.0) == [Slow("s", 5.0)]
    assert injector.proofs() == {}


async def test_service_takes_so_many_times_as_long() -> None:
    """20 ms become 100 ms; the proof says 80 ms more."""
    world = World([slow()])
    assert await world.get() >= 0.1
    assert world.injector.proofs() == {
        "s": {"kind": "slow", "hits": 1, "slowed_ms": pytest.approx(80.0)}
    }


async def test_only_the_requests_it_means_are_slowed() -> None:
    """Route, tenant and share choose as for every other kind."""
    world = World([slow(factor=1000.0, route="/v1/videos/{id}")])
    await world.get("/v1/home")
    assert world.injector.proofs() == {}


async def test_several_multiply() -> None:
    """Twice and three times as long are six times 20 ms."""
    world = World([slow("a", 2.0), slow("b", 3.0)])
    assert await world.get() >= 0.12
    assert world.injector.proofs()["b"]["slowed_ms"] == pytest.approx(100.0)


async def test_who_waited_while_it_ended_is_served_as_usual() -> None:
    """The factor holds from when service begins, so nothing is slow once nothing is wrong."""
    rules, now_s = [slow(factor=5.0)], 100.0
    world = World(rules, clock=lambda: now_s)
    first, second = (asyncio.ensure_future(world.get()) for _ in range(2))
    await wait_until(lambda: world.station.in_flight == 2)
    rules.clear()
    now_s += 0.2
    await asyncio.gather(first, second)
    assert world.injector.proofs()["s"]["hits"] == 1
    assert world.station.stats().busy_s == pytest.approx(0.12)


async def test_a_request_given_up_counts_for_the_time_it_was_served() -> None:
    """Slowed to 20 s and cancelled: the proof has what was spent beyond the usual 20 ms."""
    world = World([slow(factor=1000.0)])
    asking = asyncio.ensure_future(world.get())
    began_s = time.monotonic()
    await wait_until(lambda: time.monotonic() - began_s > 0.05)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    proof = world.injector.proofs()["s"]
    assert proof["hits"] == 1
    assert 10.0 < proof["slowed_ms"] < 10_000.0


async def test_without_a_station_nothing_is_slowed_or_proven() -> None:
    """The gateway has none: a drill that slows it is inconclusive, not passed."""
    world = World([slow(factor=1000.0)], workers=0)
    await world.get()
    assert world.injector.proofs() == {}
