"""The fallback stage in time: it ends with the call's deadline, and with its caller."""

import asyncio
from collections.abc import Hashable

import pytest

from resilience.errors import DeadlineExpired
from resilience.pipeline_fallback import FallbackSettings
from resilience.policy.contract import Mode, Request
from tests.resilience.cancel_at import Victim, cancel_at_every_await, cancel_at_every_turn
from tests.resilience.fakes import make_context
from tests.resilience.fallback_world import LONG_S, World
from tests.resilience.pipeline_world import broken, inside


@pytest.mark.parametrize("whose", ["context", "request", "pipeline"])
async def test_a_function_may_not_outlive_the_deadline(whose: str) -> None:
    """It is cut at it, whoever set it, and what needs no time answers after all."""
    ended: list[str] = []

    async def slow(key: Hashable, error: Exception) -> str:
        try:
            await asyncio.sleep(LONG_S)
        except asyncio.CancelledError:
            ended.append("cut")
            raise
        return "too late"

    world = World(
        FallbackSettings(function=slow, value="quick"),
        clock=lambda: 0.0,  # it stands: however slow the machine, the function is begun
        timeout_s=0.05 if whose == "pipeline" else None,
    )
    context = make_context()
    context.deadline_s = 0.05 if whose == "context" else None
    request = Request(deadline_s=0.05) if whose == "request" else None
    with inside(context):
        answer = await asyncio.wait_for(world.answer(broken(), request=request), 10.0)
    assert (answer.value, ended) == ("quick", ["cut"])
    told = [note for note in context.notes if note.policy == "fallback"]
    assert [(note.what, note.detail["reason"]) for note in told] == [
        ("failed", "DEADLINE_EXCEEDED"),
        ("degraded", "UPSTREAM_RESET"),
    ]


async def test_a_call_that_took_all_its_time_gets_only_what_needs_none() -> None:
    """A function isn't begun; without a value the deadline's own error goes up."""

    async def never(key: Hashable, error: Exception) -> int:
        raise AssertionError("begun with no time left")

    both = World(FallbackSettings(function=never, value=3), timeout_s=0.02)
    answer = await both.answer("hang")
    assert (answer.value, answer.reason) == (3, "DEADLINE_EXCEEDED")
    alone = World(FallbackSettings(function=never), timeout_s=0.02)
    with pytest.raises(DeadlineExpired):
        await alone.call("hang")
    assert alone.figures()["uncovered"] == 1


async def test_with_deadlines_off_a_function_has_all_the_time() -> None:
    """No time is enforced, so none is on it either."""

    async def function(key: Hashable, error: Exception) -> int:
        await asyncio.sleep(0.03)
        return 1

    world = World(FallbackSettings(function=function), {"deadline": Mode.OFF}, timeout_s=0.01)
    assert await world.call(broken()) == 1


async def test_a_caller_who_leaves_during_a_function_gets_his_cancellation() -> None:
    """It isn't taken for the deadline's, which is far off."""
    begun = asyncio.Event()

    async def slow(key: Hashable, error: Exception) -> int:
        begun.set()
        await asyncio.sleep(LONG_S)
        return 1

    world = World(FallbackSettings(function=slow, value=0), timeout_s=LONG_S)
    calling = asyncio.ensure_future(world.call(broken()))
    await asyncio.wait_for(begun.wait(), 10.0)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert world.observer.of("fallback") == []


def victim() -> Victim:
    """Begin a call whose attempts fail, and whose function waits a while."""

    async def function(key: Hashable, error: Exception) -> int:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return 1

    world = World(FallbackSettings(function=function), timeout_s=LONG_S)

    def check() -> None:
        figures = world.pipeline.snapshot()
        assert (figures["retry"]["calls"], figures["retry"]["retries"]) == (0, 0)
        assert (world.gate.in_flight, figures["bulkhead"]["in_flight"]) == (0, 0)

    return Victim(world.call(broken(), broken(), broken()), check)


async def test_cancelling_at_any_step_leaks_nothing() -> None:
    """No permit, place or retry, wherever the caller leaves."""
    assert await cancel_at_every_await(victim) >= 5
    assert await cancel_at_every_turn(victim) >= 5
