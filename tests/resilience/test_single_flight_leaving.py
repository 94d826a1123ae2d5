"""Single-flight: who leaves only stops waiting, and when work ends with nobody left."""

import asyncio
import gc
import time

import pytest

from resilience import context as request_context
from resilience.errors import DeadlineExpired
from resilience.single_flight import SingleFlight
from tests.resilience.fakes import make_context
from tests.resilience.flights import LIMIT_S, Origin, call, turns, within_limit


@pytest.mark.parametrize("who", [0, 1])
async def test_one_callers_cancellation_leaves_the_work_alone(who: int) -> None:
    """The first caller or a follower may leave; the other still gets the answer."""
    flights, origin = SingleFlight(), Origin()
    calls = [call(flights, origin), call(flights, origin)]
    await turns()
    calls[who].cancel()
    with pytest.raises(asyncio.CancelledError):
        await calls[who]
    assert origin.cancelled == 0
    origin.finish()
    assert await within_limit(calls[1 - who]) == 1


async def test_work_is_cancelled_when_nobody_waits() -> None:
    """When the last caller leaves, the work ends, and a newcomer begins anew at once."""
    flights, origin = SingleFlight(), Origin()
    calls = [call(flights, origin), call(flights, origin)]
    await turns()
    for each in calls:
        each.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    newcomer = call(flights, origin)
    await turns(lambda: origin.cancelled and origin.begun == 2)
    assert (origin.cancelled, origin.begun) == (1, 2)
    origin.finish()
    assert await within_limit(newcomer) == 2
    assert flights.snapshot()["abandoned"] == 1


async def test_nobody_s_work_ends_without_a_word_on_the_loop() -> None:
    """Cancelled, or failed when all have left: neither is reported as an error nobody looked at."""
    said: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, what: said.append(what))
    flights, ended = SingleFlight(), []

    async def stubborn() -> int:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append("failed")
            raise RuntimeError("while it was cleaning up") from None
        return 1

    async def obedient() -> int:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("cancelled")
        return 1

    calls = [asyncio.create_task(flights.do(work.__name__, work)) for work in (stubborn, obedient)]
    await turns()
    for each in calls:
        each.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    await turns()
    gc.collect()
    assert (sorted(ended), said) == (["cancelled", "failed"], [])


async def test_work_that_nobody_waits_for_any_more_is_never_begun() -> None:
    """What was to follow, and whose only caller left, is forgotten."""
    flights, origin = SingleFlight(), Origin()
    first = call(flights, origin)
    await turns()
    second = call(flights, origin, fresh=True)
    await turns()
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    origin.finish()
    assert await within_limit(first) == 1
    await turns()
    assert (origin.begun, flights.snapshot()["under_way"]) == (1, 0)


async def test_each_caller_has_its_own_deadline() -> None:
    """Who is in a hurry leaves at his deadline; the others, the work and its answer go on."""
    flights, origin = SingleFlight(), Origin()
    hurried = call(flights, origin, deadline_s=time.monotonic() + 1.5)
    patient = call(flights, origin, deadline_s=time.monotonic() + LIMIT_S)
    with pytest.raises(DeadlineExpired) as caught:
        await within_limit(hurried)
    assert caught.value.started
    assert origin.cancelled == 0
    origin.finish()
    assert await within_limit(patient) == 1


async def test_the_last_deadline_ends_the_work() -> None:
    """Nobody's work goes on for nobody: with the last caller's deadline it is cancelled."""
    flights, origin = SingleFlight(), Origin()
    calls = [call(flights, origin, deadline_s=time.monotonic() + 1.5) for _ in range(2)]
    failures = await within_limit(asyncio.gather(*calls, return_exceptions=True))
    assert all(isinstance(each, DeadlineExpired) for each in failures)
    await turns(lambda: origin.cancelled)
    assert origin.cancelled == 1


async def test_with_no_time_left_nothing_is_begun() -> None:
    """A deadline that has passed starts no work, and joins none."""
    flights, origin = SingleFlight(), Origin()
    with pytest.raises(DeadlineExpired) as caught:
        await flights.do("k", origin.work, deadline_s=time.monotonic() - 1.0)
    assert not caught.value.started
    assert origin.begun == 0


async def test_a_deadline_of_this_moment_has_passed() -> None:
    """No time left is none, to the instant."""
    flights, origin = SingleFlight(clock=lambda: 5.0), Origin()
    with pytest.raises(DeadlineExpired):
        await flights.do("k", origin.work, deadline_s=5.0)
    assert origin.begun == 0


async def test_the_contexts_deadline_is_the_callers_and_not_the_works() -> None:
    """A caller keeps its Context's deadline; the work has its ids and notes, but no deadline."""
    flights, origin = SingleFlight(), Origin()
    context = make_context(remaining_s=0.02)
    token = request_context.enter(context)
    with pytest.raises(DeadlineExpired):
        await flights.do("k", origin.work)
    request_context.leave(token)
    inside = origin.contexts[0]
    assert inside is not None
    assert (inside.request_id, inside.deadline_s) == (context.request_id, None)
    assert inside.notes is context.notes
    assert context.deadline_s is not None


async def test_close_ends_all_work() -> None:
    """Closing cancels what is under way and what is to follow, and leaves no task behind."""
    flights, origin = SingleFlight(), Origin()
    calls = [call(flights, origin, fresh=True)]
    await turns()
    calls.append(call(flights, origin, fresh=True))
    await turns()
    await within_limit(flights.close())
    ends = await within_limit(asyncio.gather(*calls, return_exceptions=True))
    assert [type(each) for each in ends] == [asyncio.CancelledError] * 2
    assert (origin.under_way, flights.snapshot()["under_way"]) == (0, 0)
