"""Fallback: what stands in for a failed call, in which order, for whom, and who hears of it."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any

import pytest

from resilience import context as request_context
from resilience.context import Context, Cut
from resilience.errors import BreakerOpen, Code, DeadlineExpired, ServiceError, UpstreamReset
from resilience.fallback import NAME, Fallback
from resilience.fallback_sources import UNKEYED, Answer, FixedAnswer, FunctionAnswer, LastGoodAnswer
from resilience.policy.contract import Mode
from resilience.sweep import task_here
from resilience.switches import FixedSwitches
from tests.resilience.fakes import make_context

GONE = "UPSTREAM_UNREACHABLE"
AWAY = UpstreamReset(Code.UNAVAILABLE, GONE, "away")


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def failing(error: BaseException) -> Callable[[], Awaitable[int]]:
    """Make work that fails so."""

    async def work() -> int:
        raise error

    return work


async def seven() -> int:
    """Return seven."""
    return 7


async def in_context(context: Context, work: Awaitable[Any]) -> Any:
    """Await with a Context, as an adapter at the edge would."""
    token = request_context.enter(context)
    try:
        return await work
    finally:
        request_context.leave(token)


async def test_a_good_answer_passes() -> None:
    """Nothing is covered, and the answer says it is the real one."""
    fallback = Fallback("prices", [FixedAnswer(0)])
    assert await fallback.answer(seven) == Answer(7, "", 0.0)
    assert await fallback.call(seven) == 7
    assert repr(fallback) == "<Fallback prices [value] covered 0>"


async def test_the_last_good_answer_stands_in_with_its_age() -> None:
    """Of the same key, while it is young enough; then the next source is asked."""
    clock = Clock()
    fallback = Fallback("prices", [LastGoodAnswer[int](60.0), FixedAnswer(0)], clock=clock)
    await fallback.call(seven, key="tea")

    clock.now_s = 59.0
    assert await fallback.answer(failing(AWAY), key="tea") == Answer(7, "cached", 59.0, GONE)
    assert await fallback.answer(failing(AWAY), key="milk") == Answer(0, "value", 0.0, GONE)
    clock.now_s = 60.0
    assert await fallback.answer(failing(AWAY), key="tea") == Answer(0, "value", 0.0, GONE)


async def test_a_stand_in_is_never_kept_as_good() -> None:
    """However often a cached answer serves, its age goes on."""
    clock = Clock()
    fallback = Fallback("prices", [LastGoodAnswer[int](60.0), FixedAnswer(0)], clock=clock)
    await fallback.call(seven)
    for clock.now_s in (30.0, 50.0):
        assert (await fallback.answer(failing(AWAY))).age_s == clock.now_s
    clock.now_s = 61.0
    assert (await fallback.answer(failing(AWAY))).source == "value"


async def test_a_function_is_told_what_failed() -> None:
    """It gets the key and the error."""
    asked: list[tuple[Hashable, Exception]] = []

    async def guess(key: Hashable, error: Exception) -> int:
        asked.append((key, error))
        return 5

    fallback = Fallback("prices", [FunctionAnswer(guess)])
    assert await fallback.answer(failing(AWAY), key="tea") == Answer(5, "function", 0.0, GONE)
    assert asked == [("tea", AWAY)]


async def test_a_source_that_fails_has_nothing() -> None:
    """The next is asked; with none left the caller gets the call's own error."""

    async def broken(key: Hashable, error: Exception) -> int:
        raise KeyError(key)

    both = Fallback("prices", [FunctionAnswer(broken), FixedAnswer(1)])
    context = make_context()
    assert await in_context(context, both.answer(failing(AWAY))) == Answer(1, "value", 0.0, GONE)
    assert [(each.what, each.detail["reason"]) for each in context.notes] == [
        ("failed", "KeyError"),
        ("degraded", "UPSTREAM_UNREACHABLE"),
    ]

    alone = Fallback("prices", [FunctionAnswer(broken)])
    with pytest.raises(UpstreamReset) as caught:
        await alone.call(failing(AWAY))
    assert caught.value is AWAY
    assert alone.snapshot() == {"covered": 0, "uncovered": 1, "would_cover": 0}


@pytest.mark.parametrize(
    "error",
    [
        BreakerOpen(Code.UNAVAILABLE, "BREAKER_OPEN", "no"),
        DeadlineExpired(Code.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", "late"),
        ServiceError(Code.INTERNAL, "BUG", "theirs"),
        ConnectionResetError(),
        TimeoutError(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_faults_of_the_other_side_and_our_own_refusals_are_covered(error: Exception) -> None:
    """A breaker that refuses is the case a fallback is made for."""
    assert await Fallback("prices", [FixedAnswer(0)]).call(failing(error)) == 0


@pytest.mark.parametrize(
    "error",
    [
        ServiceError(Code.NOT_FOUND, "NO_SUCH_ITEM", "no"),
        ServiceError(Code.RESOURCE_EXHAUSTED, "QUOTA", "too often"),
        ServiceError(Code.CANCELLED, "CLIENT_CLOSED", "left"),
        ServiceError(Code.UNIMPLEMENTED, "UNIMPLEMENTED", "no"),
        TypeError("a bug"),
        asyncio.CancelledError(),
    ],
    ids=lambda error: type(error).__name__ + getattr(error, "reason", ""),
)
async def test_what_the_caller_did_and_bugs_go_up(error: BaseException) -> None:
    """4xx, a cancellation and a TypeError are never covered, nor counted."""
    fallback = Fallback("prices", [FixedAnswer(0)])
    with pytest.raises(type(error)):
        await fallback.call(failing(error))
    assert set(fallback.snapshot().values()) == {0}


async def test_a_caller_who_left_wants_no_stand_in() -> None:
    """Whatever the work then fails with."""
    context = make_context()
    context.cut = Cut.CALLER
    with pytest.raises(UpstreamReset):
        await in_context(context, Fallback("prices", [FixedAnswer(0)]).call(failing(AWAY)))


async def test_the_cancellation_of_the_work_is_the_caller_s() -> None:
    """A task cancelled while it waits gets no stand-in."""
    fallback = Fallback("prices", [FixedAnswer(0)])
    task = asyncio.create_task(fallback.call(lambda: asyncio.sleep(60, 1)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_with_no_time_left_only_quick_sources_are_asked() -> None:
    """A function may wait, so it isn't begun; a value costs nothing."""

    async def never(key: Hashable, error: Exception) -> int:
        raise AssertionError("begun with no time left")

    fallback = Fallback("prices", [FunctionAnswer(never), FixedAnswer(3)])
    context = make_context(remaining_s=-1.0)
    assert (await in_context(context, fallback.answer(failing(AWAY)))).value == 3
    assert [each.what for each in context.notes] == ["degraded"]


async def test_a_function_is_cut_at_the_deadline() -> None:
    """It is begun while time is left, and ends with it; the next source answers."""
    ended: list[str] = []

    async def slow(key: Hashable, error: Exception) -> int:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append("cut")
            raise
        return 1

    context = make_context()
    context.deadline_s = 0.03
    fallback = Fallback("prices", [FunctionAnswer(slow), FixedAnswer(3)], clock=Clock())
    answer = await asyncio.wait_for(in_context(context, fallback.answer(failing(AWAY))), 10.0)
    assert (answer.value, ended) == (3, ["cut"])
    assert [(each.what, each.detail["reason"]) for each in context.notes] == [
        ("failed", "DEADLINE_EXCEEDED"),
        ("degraded", GONE),
    ]


async def test_a_function_in_time_leaves_no_cut_behind() -> None:
    """It answers, and nothing is set that could cancel its caller afterwards."""
    _, sweep = task_here()
    seen: list[str] = []

    async def quick(key: Hashable, error: Exception) -> int:
        seen.append(repr(sweep))
        return 1

    context = make_context()
    context.deadline_s = 60.0
    fallback = Fallback("prices", [FunctionAnswer(quick)], clock=Clock())
    assert await in_context(context, fallback.call(failing(AWAY))) == 1
    assert [*seen, repr(sweep)] == ["<Sweep 1 set>", "<Sweep 0 set>"]


async def test_a_caller_cancelled_within_the_function_is_cancelled() -> None:
    """With a deadline that is far off, and with none: nothing stands in for him."""
    for deadline_s in (60.0, None):
        begun = asyncio.Event()

        async def slow(key: Hashable, error: Exception, begun: asyncio.Event = begun) -> int:
            begun.set()
            await asyncio.sleep(60)
            return 1

        context = make_context()
        context.deadline_s = deadline_s
        fallback = Fallback("prices", [FunctionAnswer(slow), FixedAnswer(3)], clock=Clock())
        task = asyncio.ensure_future(in_context(context, fallback.call(failing(AWAY))))
        await asyncio.wait_for(begun.wait(), 10.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert fallback.covered == 0


async def test_who_asks_the_switch_himself_says_mode_and_deadline() -> None:
    """As a pipeline does: neither its own switch nor the Context is looked at."""

    async def never(key: Hashable, error: Exception) -> int:
        raise AssertionError("begun with no time left")

    switches = FixedSwitches({NAME: Mode.OFF})
    sources = [LastGoodAnswer[int](60.0), FunctionAnswer(never), FixedAnswer(3)]
    fallback = Fallback("prices", sources, switches, clock=Clock())

    async def ask(mode: Mode, work: Callable[[], Awaitable[int]], key: Hashable) -> Answer[int]:
        return await fallback.answer_within(work, key, mode=mode, deadline_s=-1.0)

    assert await ask(Mode.ON, seven, "tea") == Answer(7)
    assert (await ask(Mode.ON, failing(AWAY), "tea")).source == "cached"
    assert (await ask(Mode.ON, failing(AWAY), "milk")).source == "value"
    await ask(Mode.OFF, seven, "milk")
    assert (await ask(Mode.ON, failing(AWAY), "milk")).source == "value"
    for mode in (Mode.OFF, Mode.SHADOW):
        with pytest.raises(UpstreamReset):
            await ask(mode, failing(AWAY), "tea")


async def test_a_say_on_each_failure_narrows_what_is_covered() -> None:
    """It is never asked about the caller's own errors, which go up whatever it says."""
    asked: list[Exception] = []

    def covers(error: Exception) -> bool:
        asked.append(error)
        return isinstance(error, TimeoutError)

    fallback = Fallback("prices", [FixedAnswer(0)], covers=covers)
    assert await fallback.call(failing(TimeoutError())) == 0
    for error in (AWAY, ServiceError(Code.NOT_FOUND, "NO_SUCH_ITEM", "no")):
        with pytest.raises(ServiceError):
            await fallback.call(failing(error))
    assert [type(each) for each in asked] == [TimeoutError, UpstreamReset]
    assert fallback.snapshot() == {"covered": 1, "uncovered": 0, "would_cover": 0}


async def test_a_call_without_a_key_has_no_last_good_answer() -> None:
    """Nothing is kept under the mark for it, and None is a key like any other."""
    fallback = Fallback("prices", [LastGoodAnswer[int](60.0), FixedAnswer(0)])
    await fallback.call(seven, UNKEYED)
    assert await fallback.call(failing(AWAY), UNKEYED) == 0
    await fallback.call(seven)
    assert await fallback.call(failing(AWAY)) == 7


async def test_an_answer_says_whether_it_stands_in() -> None:
    """And instead of what."""
    fallback = Fallback("prices", [FixedAnswer(0)])
    real, other = await fallback.answer(seven), await fallback.answer(failing(AWAY))
    assert (real.is_degraded, real.reason) == (False, "")
    assert (other.is_degraded, other.reason) == (True, GONE)


async def test_further_exceptions_are_covered_when_named() -> None:
    """Those of a client library, say."""
    assert (
        await Fallback("db", [FixedAnswer(0)], also=(LookupError,)).call(failing(KeyError())) == 0
    )


async def test_a_stand_in_is_noted_and_observed() -> None:
    """Source, age and the reason it covers reach ``squall explain`` and the observer."""
    heard: list[tuple[str, str, str, dict[str, Any]]] = []

    class Ear:
        def on_decision(self, policy: str, what: str, scope: str, detail: Any) -> None:
            heard.append((policy, what, scope, dict(detail)))

    fallback = Fallback("prices", [FixedAnswer(0)], scope="shop>prices", observer=Ear())
    context = make_context()
    await in_context(context, fallback.call(failing(AWAY)))
    detail = {"source": "value", "reason": "UPSTREAM_UNREACHABLE", "age_s": 0.0}
    assert [(each.policy, each.what, each.detail) for each in context.notes] == [
        (NAME, "degraded", {"upstream": "prices", **detail})
    ]
    assert heard == [(NAME, "degraded", "shop>prices", detail)]


async def test_shadow_counts_and_covers_nothing() -> None:
    """Good answers are kept meanwhile, so that turning it on finds some."""
    switches = FixedSwitches({NAME: Mode.SHADOW})
    fallback = Fallback("prices", [LastGoodAnswer[int](60.0)], switches)
    await fallback.call(seven)
    with pytest.raises(UpstreamReset):
        await fallback.call(failing(AWAY))
    assert fallback.snapshot() == {"covered": 0, "uncovered": 0, "would_cover": 1}

    switches.set(NAME, Mode.ON)
    assert await fallback.call(failing(AWAY)) == 7
    fallback.reset(0.0)
    assert set(fallback.snapshot().values()) == {0}


async def test_off_does_nothing_at_all() -> None:
    """No cover, no count, nothing kept."""
    source = LastGoodAnswer[int](60.0)
    fallback = Fallback("prices", [source], FixedSwitches({NAME: Mode.OFF}))
    await fallback.call(seven)
    with pytest.raises(UpstreamReset):
        await fallback.call(failing(AWAY))
    assert (len(source.kept), set(fallback.snapshot().values())) == (0, {0})


def test_no_sources_is_an_error() -> None:
    """A fallback that has nothing is none."""
    with pytest.raises(ValueError, match="no sources"):
        Fallback[int]("prices", [])
