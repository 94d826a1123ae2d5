"""Single-flight: who shares work, who only stops waiting, and when work ends with nobody left."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience import context as request_context
from resilience.errors import Code, DeadlineExpired, ServiceError
from resilience.policy.contract import Mode
from resilience.single_flight import NAME, SingleFlight
from resilience.switches import FixedSwitches
from tests.resilience.fakes import make_context

LIMIT_S = 10.0


class Origin:
    """Work that ends when the test says so; its answers are numbered by when they began."""

    def __init__(self) -> None:
        self.begun = 0
        self.under_way = 0
        self.most_under_way = 0
        self.cancelled = 0
        self.contexts: list[request_context.Context | None] = []
        self._doors: list[asyncio.Future[None]] = []

    async def work(self) -> int:
        """Wait for ``finish`` or ``fail`` and return the number of this piece of work."""
        self.begun += 1
        number = self.begun
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        self.contexts.append(request_context.current())
        door: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._doors.append(door)
        try:
            await door
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.under_way -= 1
            self._doors.remove(door)
        return number

    def finish(self) -> None:
        """End what is under way, oldest first."""
        if self._doors and not self._doors[0].done():
            self._doors[0].set_result(None)

    def fail(self, error: Exception) -> None:
        """Let the oldest piece of work fail."""
        if self._doors and not self._doors[0].done():
            self._doors[0].set_exception(error)


async def turns(condition: Callable[[], object] = lambda: False, most: int = 20) -> None:
    """Let the loop turn until a condition holds, or a few times."""
    for _ in range(most):
        if condition():
            return
        await asyncio.sleep(0)


def call(flights: SingleFlight, origin: Origin, **options: Any) -> "asyncio.Task[int]":
    """Begin a call of the key ``k`` in a task of its own, as a request would."""
    return asyncio.create_task(flights.do("k", origin.work, **options))


async def within_limit(awaitable: Awaitable[Any]) -> Any:
    """Await, and fail rather than hang."""
    return await asyncio.wait_for(awaitable, LIMIT_S)


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
    hurried = call(flights, origin, deadline_s=time.monotonic() + 0.02)
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
    calls = [call(flights, origin, deadline_s=time.monotonic() + 0.02) for _ in range(2)]
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


async def test_fresh_caller_does_not_get_what_was_begun_before_it() -> None:
    """It waits for the work under way and shares the one after it with all who came meanwhile."""
    flights, origin = SingleFlight(), Origin()
    first = call(flights, origin, fresh=True)
    await turns()
    later = [call(flights, origin, fresh=True) for _ in range(5)]
    await turns()
    assert origin.begun == 1
    origin.finish()
    assert await within_limit(first) == 1
    await turns(lambda: origin.begun == 2)
    origin.finish()
    assert await within_limit(asyncio.gather(*later)) == [2] * 5
    assert (origin.begun, origin.most_under_way) == (2, 1)


async def test_fresh_callers_of_one_turn_share() -> None:
    """Work that has been asked for and has not begun is fresh enough."""
    flights, origin = SingleFlight(), Origin()
    calls = [call(flights, origin, fresh=True) for _ in range(3)]
    await turns()
    origin.finish()
    assert await within_limit(asyncio.gather(*calls)) == [1] * 3


async def test_what_follows_begins_when_the_work_before_it_fails_or_is_abandoned() -> None:
    """Neither an error nor a caller who left keeps the next piece of work from beginning."""
    flights, origin = SingleFlight(), Origin()
    failing = call(flights, origin, fresh=True)
    await turns()
    leaving = call(flights, origin, fresh=True)
    await turns()
    origin.fail(ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        await within_limit(failing)
    await turns(lambda: origin.begun == 2)
    last = call(flights, origin, fresh=True)
    await turns()
    leaving.cancel()
    await turns(lambda: origin.begun == 3)
    origin.finish()
    assert await within_limit(last) == 3
    assert (origin.cancelled, origin.most_under_way) == (1, 1)


async def test_a_plain_caller_joins_what_is_under_way() -> None:
    """Without ``fresh`` the answer under way is good enough, also when another is to follow."""
    flights, origin = SingleFlight(), Origin()
    first = call(flights, origin)
    await turns()
    fresh = call(flights, origin, fresh=True)
    await turns()
    plain = call(flights, origin)
    await turns()
    origin.finish()
    assert await within_limit(asyncio.gather(first, plain)) == [1, 1]
    await turns(lambda: origin.begun == 2)
    origin.finish()
    assert await within_limit(fresh) == 2


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


async def test_repr_says_how_much_was_shared() -> None:
    """The repr has the keys under way and the share of callers that joined."""
    flights, origin = SingleFlight(), Origin()
    calls = [call(flights, origin) for _ in range(4)]
    await turns()
    assert repr(flights) == "<SingleFlight 1 keys, joined 3 of 4>"
    origin.finish()
    await within_limit(asyncio.gather(*calls))


@pytest.mark.property
@given(
    steps=st.lists(
        st.sampled_from(["call", "fresh", "finish", "fail", "leave", "turn"]), max_size=40
    )
)
async def test_any_order_of_events_keeps_the_promises(steps: list[str]) -> None:
    """One piece of work at a time, fresh callers get nothing older than their call, none hangs."""
    flights, origin = SingleFlight(), Origin()
    calls: list[tuple[asyncio.Task[int], int]] = []  # and the oldest answer it may get
    for step in steps:
        if step in ("call", "fresh"):
            # "fresh" may get what had not begun when it called.
            oldest = origin.begun + 1 if step == "fresh" else 0
            calls.append((call(flights, origin, fresh=step == "fresh"), oldest))
            await asyncio.sleep(0)
        elif step == "finish":
            origin.finish()
        elif step == "fail":
            origin.fail(ValueError("failed on purpose"))
        elif step == "leave" and calls:
            calls[len(calls) // 2][0].cancel()
        await turns()
        assert origin.under_way <= 1
    end_s = time.monotonic() + LIMIT_S
    while not all(each.done() for each, _ in calls):
        assert time.monotonic() < end_s
        origin.finish()
        await asyncio.sleep(0)
    for each, oldest in calls:
        if not each.cancelled() and each.exception() is None:
            assert each.result() >= oldest
    await turns()
    assert flights.snapshot()["under_way"] == 0
