"""Single-flight: who shares work, what the switch does, and what can be seen of it."""

import asyncio
from typing import Any

from resilience import context as request_context
from resilience.errors import Code, ServiceError
from resilience.policy.contract import Mode
from resilience.single_flight import NAME, SingleFlight
from resilience.switches import FixedSwitches
from tests.resilience.fakes import make_context
from tests.resilience.flights import Origin, call, turns, within_limit


async def test_callers_of_one_key_share_one_piece_of_work() -> None:
    """Ten callers at once are one question, and all get its answer."""
    flights, origin = SingleFlight(), Origin()
    calls = [call(flights, origin) for _ in range(10)]
    await turns()
    origin.finish()
    assert await within_limit(asyncio.gather(*calls)) == [1] * 10
    assert flights.snapshot() == {
        "under_way": 0,
        "led": 1,
        "joined": 9,
        "abandoned": 0,
        "overflowed": 0,
        "again": 0,
        "would_join": 0,
    }


async def test_a_later_call_begins_anew() -> None:
    """Nothing is kept: once the work has ended, the next caller does it again."""
    flights, origin = SingleFlight(), Origin()
    for expected in (1, 2):
        caller = call(flights, origin)
        await turns()
        origin.finish()
        assert await within_limit(caller) == expected


async def test_other_keys_are_other_work() -> None:
    """Callers of different keys don't wait for each other."""
    flights = SingleFlight()
    slow, quick = Origin(), Origin()
    waiting = call(flights, slow)
    await turns()
    other = asyncio.create_task(flights.do("other", quick.work))
    await turns()
    quick.finish()
    assert await within_limit(other) == 1
    assert flights.is_under_way("k")
    slow.finish()
    assert await within_limit(waiting) == 1
    assert not flights.is_under_way("k")


async def test_a_failure_reaches_everybody_and_is_forgotten() -> None:
    """All who wait get the work's error; the next caller tries again."""
    flights, origin = SingleFlight(), Origin()
    calls = [call(flights, origin) for _ in range(3)]
    await turns()
    origin.fail(ServiceError(Code.UNAVAILABLE, "STORE_UNAVAILABLE", "away"))
    failures = await within_limit(asyncio.gather(*calls, return_exceptions=True))
    assert [each.reason for each in failures] == ["STORE_UNAVAILABLE"] * 3
    again = call(flights, origin)
    await turns()
    origin.finish()
    assert await within_limit(again) == 2


async def test_a_follower_is_noted_and_observed() -> None:
    """Who joined can be seen by ``squall explain`` and by an observer."""
    heard: list[tuple[str, str, str]] = []

    class Ear:
        def on_decision(self, policy: str, what: str, scope: str, detail: Any) -> None:
            heard.append((policy, what, scope))

    flights, origin = SingleFlight(scope="video.2", observer=Ear()), Origin()
    first = call(flights, origin)
    await turns()
    context = make_context()
    token = request_context.enter(context)
    second = call(flights, origin)
    request_context.leave(token)
    await turns()
    origin.finish()
    await within_limit(asyncio.gather(first, second))
    assert [(each.policy, each.what) for each in context.notes] == [(NAME, "joined")]
    assert heard == [(NAME, "joined", "video.2")]


async def test_off_means_everybody_for_himself() -> None:
    """With the switch off each caller does its own work, whatever its deadline; none is counted."""
    flights, origin = SingleFlight(FixedSwitches({NAME: Mode.OFF})), Origin()
    calls = [call(flights, origin, deadline_s=0.0) for _ in range(3)]
    await turns(lambda: origin.begun == 3)
    for _ in range(3):
        origin.finish()
        await turns()
    assert sorted(await within_limit(asyncio.gather(*calls))) == [1, 2, 3]
    assert set(flights.snapshot().values()) == {0}


async def test_shadow_counts_who_would_have_joined() -> None:
    """In shadow each caller does its own work, and who would have shared it is counted."""
    flights, origin = SingleFlight(FixedSwitches({NAME: Mode.SHADOW})), Origin()
    calls = [call(flights, origin) for _ in range(3)]
    await turns(lambda: origin.begun == 3)
    for _ in range(3):
        origin.finish()
        await turns()
    await within_limit(asyncio.gather(*calls))
    assert (flights.snapshot()["would_join"], flights.snapshot()["joined"]) == (2, 0)


async def test_in_shadow_those_still_at_work_count_after_one_has_ended() -> None:
    """Two of three are left when another comes, who would have joined them."""
    flights, origin = SingleFlight(FixedSwitches({NAME: Mode.SHADOW})), Origin()
    calls = [call(flights, origin) for _ in range(3)]
    await turns(lambda: origin.begun == 3)
    origin.finish()
    await within_limit(calls[0])
    calls.append(call(flights, origin))
    await turns(lambda: origin.begun == 4)
    assert flights.snapshot()["would_join"] == 3
    for each in calls[1:]:
        origin.finish()
        await within_limit(each)


async def test_the_switch_may_move_while_work_is_under_way() -> None:
    """Turned off, work under way still answers those who wait for it."""
    switches = FixedSwitches()
    flights, origin = SingleFlight(switches), Origin()
    before = [call(flights, origin), call(flights, origin)]
    await turns()
    switches.set(NAME, Mode.OFF)
    alone = call(flights, origin)
    await turns(lambda: origin.begun == 2)
    origin.finish()
    await turns()
    origin.finish()
    assert await within_limit(asyncio.gather(*before, alone)) == [1, 1, 2]


async def test_reset_zeroes_the_counts() -> None:
    """A drill's arm begins with counts of its own."""
    flights, origin = SingleFlight(), Origin()
    caller = call(flights, origin)
    await turns()
    flights.reset(0.0)
    assert flights.snapshot()["led"] == 0
    assert flights.snapshot()["under_way"] == 1
    origin.finish()
    await within_limit(caller)


async def test_repr_says_how_much_was_shared() -> None:
    """The repr has the keys under way and the share of callers that joined."""
    flights, origin = SingleFlight(), Origin()
    calls = [call(flights, origin) for _ in range(4)]
    await turns()
    assert repr(flights) == "<SingleFlight 1 keys, joined 3 of 4>"
    origin.finish()
    await within_limit(asyncio.gather(*calls))
