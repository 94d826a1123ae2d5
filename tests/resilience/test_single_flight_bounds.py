"""Single-flight: forgetting, limits of the work, bounded keys, and errors that are not shared."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from resilience.errors import DeadlineExpired, UpstreamTimeout
from resilience.single_flight import SingleFlight
from tests.resilience.flights import LIMIT_S, Origin, call, turns, within_limit


async def test_after_forgetting_a_newcomer_begins_anew() -> None:
    """Who waited gets the old answer, who comes later a new one, at the same time."""
    flights, origin = SingleFlight(), Origin()
    before = [call(flights, origin), call(flights, origin)]
    await turns()
    assert flights.forget("k")
    assert not flights.is_under_way("k")
    after = [call(flights, origin), call(flights, origin)]
    await turns()
    assert (origin.begun, origin.under_way) == (2, 2)

    origin.finish()
    assert await within_limit(asyncio.gather(*before)) == [1, 1]
    origin.finish()
    assert await within_limit(asyncio.gather(*after)) == [2, 2]


async def test_forgetting_nothing_is_no_error() -> None:
    """A key with no work under way has nothing to forget."""
    assert not SingleFlight().forget("k")


async def test_what_has_not_begun_is_not_forgotten() -> None:
    """Work that is to follow is newer than the change it is forgotten for; newcomers join it."""
    flights, origin = SingleFlight(), Origin()
    first = call(flights, origin)
    await turns()
    following = call(flights, origin, fresh=True)
    await turns()
    assert flights.forget("k")
    newcomer = call(flights, origin)
    await turns()
    assert origin.begun == 1

    origin.finish()
    assert await within_limit(first) == 1
    await turns(lambda: origin.begun == 2)
    origin.finish()
    assert await within_limit(asyncio.gather(following, newcomer)) == [2, 2]


async def test_forgotten_work_still_ends_with_its_last_caller() -> None:
    """Nobody's work goes on for nobody, forgotten or not."""
    flights, origin = SingleFlight(), Origin()
    caller = call(flights, origin)
    await turns()
    flights.forget("k")
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    await turns(lambda: origin.cancelled)
    assert (origin.cancelled, flights.snapshot()["abandoned"]) == (1, 1)


async def test_work_ends_at_its_own_limit() -> None:
    """All who wait hear that it took too long, and the next caller begins anew."""
    flights, origin = SingleFlight(), Origin()
    calls = [call(flights, origin, limit_s=0.02) for _ in range(2)]
    ends = await within_limit(asyncio.gather(*calls, return_exceptions=True))

    assert [type(each) for each in ends] == [UpstreamTimeout, UpstreamTimeout]
    assert str(ends[0]) == "the work for 'k' took longer than 0.02 s"
    assert (origin.cancelled, flights.is_under_way("k")) == (1, False)


async def test_work_within_its_limit_is_left_alone() -> None:
    """An answer in time is an answer, and a caller who leaves cancels it as ever."""
    flights, origin = SingleFlight(), Origin()
    caller = call(flights, origin, limit_s=LIMIT_S)
    await turns()
    origin.finish()
    assert await within_limit(caller) == 1

    leaving = call(flights, origin, limit_s=LIMIT_S)
    await turns()
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    await turns(lambda: origin.cancelled)
    assert origin.cancelled == 1


async def test_the_limit_counts_from_the_begin_of_the_work() -> None:
    """What waits for its turn spends none of it."""
    flights, origin = SingleFlight(), Origin()
    first = call(flights, origin)
    await turns()
    second = call(flights, origin, fresh=True, limit_s=0.05)
    await asyncio.wait([second], timeout=0.1)
    assert not second.done()
    for each in (first, second):
        each.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    assert origin.begun == 1


def begin(flights: SingleFlight, key: str, origin: Origin) -> "asyncio.Task[int]":
    """Begin a call of a key."""
    return asyncio.create_task(flights.do(key, origin.work))


async def test_beyond_the_bound_a_new_key_is_not_shared() -> None:
    """Its callers do their own work; keys that are under way are shared as ever."""
    flights = SingleFlight(max_keys=1)
    shared, apart = Origin(), Origin()
    calls = [begin(flights, "a", shared), begin(flights, "a", shared)]
    others = [begin(flights, "b", apart), begin(flights, "b", apart)]
    await turns()
    assert (shared.begun, apart.begun) == (1, 2)
    assert not flights.is_under_way("b")

    for origin in (shared, apart, apart):
        origin.finish()
        await turns()
    assert await within_limit(asyncio.gather(*calls)) == [1, 1]
    assert sorted(await within_limit(asyncio.gather(*others))) == [1, 2]
    figures = flights.snapshot()
    assert (figures["led"], figures["joined"], figures["overflowed"]) == (1, 1, 2)

    later = begin(flights, "b", apart)
    await turns()
    assert flights.is_under_way("b")
    apart.finish()
    assert await within_limit(later) == 3


async def test_beyond_the_bound_deadlines_still_hold() -> None:
    """Who does his own work is cut at his deadline, and told apart from one who is cancelled."""
    flights, origin = SingleFlight(max_keys=1), Origin()
    first = begin(flights, "a", origin)
    await turns()
    with pytest.raises(DeadlineExpired) as caught:
        await flights.do("b", origin.work, deadline_s=time.monotonic() + 0.1)
    assert caught.value.started
    assert origin.cancelled == 1

    leaving = begin(flights, "c", origin)
    await turns()
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    origin.finish()
    assert await within_limit(first) == 1


def test_a_bound_below_one_is_an_error() -> None:
    """No keys at all would be the switch's position off."""
    with pytest.raises(ValueError, match="max_keys=0 must be >= 1"):
        SingleFlight(max_keys=0)
    assert SingleFlight(max_keys=1).snapshot()["under_way"] == 0


async def test_a_follower_need_not_take_an_older_failure() -> None:
    """The first caller gets its error; the others share one more piece of work, and its answer."""
    flights, origin = SingleFlight(share_errors=False), Origin()
    calls = [call(flights, origin) for _ in range(4)]
    await turns()
    origin.fail(ValueError("unlucky"))
    with pytest.raises(ValueError, match="unlucky"):
        await within_limit(calls[0])
    await turns(lambda: origin.begun == 2)
    origin.finish()

    assert await within_limit(asyncio.gather(*calls[1:])) == [2, 2, 2]
    assert (origin.begun, flights.snapshot()["again"]) == (2, 3)


async def test_a_follower_tries_once_more_and_not_for_ever() -> None:
    """The second failure is everybody's: an origin that is down is asked twice, not four times."""
    flights, origin = SingleFlight(share_errors=False), Origin()
    calls = [call(flights, origin) for _ in range(4)]
    for attempt in (1, 2):
        await turns(lambda attempt=attempt: origin.begun == attempt)  # type: ignore[misc]
        origin.fail(ValueError(f"failure {attempt}"))
    ends = await within_limit(asyncio.gather(*calls, return_exceptions=True))

    assert [str(each) for each in ends] == ["failure 1"] + ["failure 2"] * 3
    assert origin.begun == 2


async def test_a_follower_s_own_deadline_is_no_failure_to_try_again() -> None:
    """Who has no time left doesn't begin anew."""
    flights, origin = SingleFlight(share_errors=False), Origin()
    first = call(flights, origin)
    await turns()
    with pytest.raises(DeadlineExpired):
        await flights.do("k", origin.work, deadline_s=time.monotonic() + 0.1)
    origin.finish()
    assert await within_limit(first) == 1
    assert (origin.begun, flights.snapshot()["again"]) == (1, 0)


async def test_closing_is_no_failure_to_try_again() -> None:
    """Work that was cancelled cancels its followers."""
    flights, origin = SingleFlight(share_errors=False), Origin()
    calls = [call(flights, origin), call(flights, origin)]
    await turns()
    await within_limit(flights.close())
    ends = await within_limit(asyncio.gather(*calls, return_exceptions=True))
    assert [type(each) for each in ends] == [asyncio.CancelledError] * 2
    assert origin.begun == 1


@pytest.mark.parametrize("step", range(8))
async def test_a_cancellation_at_any_step_leaves_nothing_behind(step: int) -> None:
    """Of two callers one is cancelled after so many turns of the loop; no work, no key is left."""
    flights = SingleFlight(share_errors=False)
    under_way = 0

    async def work() -> int:
        nonlocal under_way
        under_way += 1
        try:
            for _ in range(3):
                await asyncio.sleep(0)
            raise ValueError("at the end")
        finally:
            under_way -= 1

    def run(task_of: Callable[[], Awaitable[int]]) -> "asyncio.Task[int]":
        return asyncio.create_task(flights.do("k", task_of))

    leaving, staying = run(work), run(work)
    for _ in range(step):
        await asyncio.sleep(0)
    leaving.cancel()
    await within_limit(asyncio.gather(leaving, staying, return_exceptions=True))
    await turns()
    assert (under_way, flights.snapshot()["under_way"]) == (0, 0)
