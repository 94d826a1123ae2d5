"""Fallback as a stage of the client pipeline: what it covers, until when, and who is told."""

import asyncio
from collections.abc import Hashable
from typing import Any

import pytest

from resilience.context import Cut
from resilience.errors import BreakerOpen, Code, ServiceError, UpstreamReset
from resilience.fallback_sources import UNKEYED, Answer
from resilience.pipeline_fallback import NO_VALUE, FallbackSettings
from resilience.pipeline_settings import PipelineSettings, build_pipeline
from resilience.policy.contract import Mode, Request
from resilience.policy.hedge import HedgeSettings
from resilience.policy.retry import RetrySettings
from tests.resilience.fakes import FakePicker, make_context
from tests.resilience.fallback_world import LONG_S, World
from tests.resilience.pipeline_world import broken, inside

NOT_FOUND = ServiceError(Code.NOT_FOUND, "NO_SUCH_ITEM", "no such item")


async def test_a_good_answer_passes_unmarked() -> None:
    """It is the real one, and nothing is noted or counted."""
    world, context = World(), make_context()
    with inside(context):
        assert await world.answer("real") == Answer("real")
        assert await world.call("real") == "real"
    assert not (await world.answer("real")).is_degraded
    assert (world.observer.of("fallback"), set(world.figures().values())) == ([], {0})
    assert [note.policy for note in context.notes] == ["attempt", "attempt"]


async def test_retries_come_first() -> None:
    """What one of three attempts answers needs no stand-in; what none does gets one."""
    world = World()
    assert await world.answer(broken(), broken(), "real") == Answer("real")
    assert world.sent == ["a", "b", "c"]
    answer = await world.answer(broken())
    assert (answer.value, answer.is_degraded, answer.reason) == (
        "instead",
        True,
        "UPSTREAM_RESET",
    )
    assert len(world.sent) == 6


async def test_a_stand_in_is_told_to_explain_and_to_the_observer() -> None:
    """The last note says degraded, by which source and instead of what."""
    world, context = World(retry=None), make_context()
    with inside(context):
        assert await world.call(broken()) == "instead"
    note = context.notes[-1]
    assert (note.policy, note.what) == ("fallback", "degraded")
    assert note.detail == {
        "upstream": "prices",
        "source": "value",
        "reason": "UPSTREAM_RESET",
        "age_s": 0.0,
    }
    assert world.observer.of("fallback") == ["degraded"]
    assert world.observer.scopes == {"shop>prices"}
    assert world.figures()["covered"] == 1


async def test_a_refusal_by_the_breaker_is_covered_and_nothing_is_sent() -> None:
    """It is what a fallback is made for."""
    world = World()
    world.gate.refuse = True
    answer = await world.answer("real")
    assert (answer.value, answer.reason, world.sent) == ("instead", "LIMIT_EXCEEDED", [])


async def test_a_bad_request_and_a_bug_go_up() -> None:
    """Whoever asked for what isn't there is told so, and a bug is no outage."""
    world = World(FallbackSettings(value=0, covers=lambda error: True))
    with pytest.raises(ServiceError, match="no such item"):
        await world.call(NOT_FOUND)
    with pytest.raises(ZeroDivisionError):
        await world.call(ZeroDivisionError())
    assert set(world.figures().values()) == {0}


async def test_the_caller_s_own_cancellation_goes_up() -> None:
    """Cancelled while its attempt hangs, and after it was marked as left."""
    world = World()
    calling = asyncio.ensure_future(world.call("hang"))
    await asyncio.wait_for(world.under_way.wait(), 10.0)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling

    context = make_context()
    context.cut = Cut.CALLER
    with inside(context), pytest.raises(UpstreamReset):
        await world.call(broken())
    assert set(world.figures().values()) == {0}


async def test_which_failures_are_covered_is_for_the_settings_to_say() -> None:
    """Named classes besides those of the model, and a say on each."""
    world = World(FallbackSettings(value=0, also=(LookupError,)), retry=None)
    assert await world.call(KeyError("tea")) == 0

    picky = World(FallbackSettings(value=0, covers=lambda error: isinstance(error, BreakerOpen)))
    with pytest.raises(UpstreamReset):
        await picky.call(broken())
    assert set(picky.figures().values()) == {0}
    picky.gate.refuse = True
    assert await picky.call("real") == 0


async def test_sources_are_asked_in_order() -> None:
    """The last good answer, else the function, else the value."""

    async def guess(key: Hashable, error: Exception) -> str:
        if key == "milk":
            raise LookupError(key)
        return f"guessed {key} after {type(error).__name__}"

    world = World(FallbackSettings(last_good_s=LONG_S, function=guess, value=None), retry=None)
    await world.call("fresh", key="tea")
    tea, bread = [await world.answer(broken(), key=key) for key in ("tea", "bread")]
    milk = await world.answer(broken(), key="milk")
    assert (tea.value, tea.source) == ("fresh", "cached")
    assert 0.0 <= tea.age_s < LONG_S
    assert (bread.value, bread.source) == ("guessed bread after UpstreamReset", "function")
    assert (milk.value, milk.source) == (None, "value")
    assert world.observer.of("fallback") == ["degraded", "degraded", "failed", "degraded"]


async def test_a_last_good_answer_stands_in_for_its_own_key_alone() -> None:
    """The call's, else the request's; a call without either keeps none and gets none."""
    world = World(FallbackSettings(last_good_s=LONG_S), retry=None)
    await world.call("of the request", request=Request(key="tea"))
    assert await world.call(broken(), request=Request(key="tea")) == "of the request"
    await world.call("of the call", request=Request(key="tea"), key="milk")
    assert await world.call(broken(), key="milk") == "of the call"

    await world.call("of nobody")
    with pytest.raises(UpstreamReset):
        await world.call(broken())
    assert world.figures() == {"covered": 2, "uncovered": 1, "would_cover": 0}


async def test_a_function_of_a_call_without_key_is_told_so() -> None:
    """It gets a mark of its own, which nobody's key can be."""
    keys: list[Hashable] = []

    async def function(key: Hashable, error: Exception) -> int:
        keys.append(key)
        return 1

    await World(FallbackSettings(function=function)).call(broken())
    assert (keys, repr(UNKEYED)) == ([UNKEYED], "UNKEYED")


async def test_in_shadow_it_is_counted_and_the_error_goes_up() -> None:
    """Nobody is told of a degraded answer, since there was none; turned on, it covers."""
    settings = FallbackSettings(last_good_s=LONG_S)
    world = World(settings, {"fallback": Mode.SHADOW})
    await world.call("fresh", key="tea")
    with pytest.raises(UpstreamReset) as caught:
        await world.call(broken(), key="tea")
    assert caught.value.metadata["upstream"] == "prices"
    assert world.figures() == {"covered": 0, "uncovered": 0, "would_cover": 1}
    assert world.observer.of("fallback") == []

    world.switches.set("fallback", Mode.ON)
    assert await world.call(broken(), key="tea") == "fresh"


async def test_off_keeps_nothing_and_covers_nothing() -> None:
    """Turned on later, it has nothing to show."""
    world = World(FallbackSettings(last_good_s=LONG_S), {"fallback": Mode.OFF})
    await world.call("fresh", key="tea")
    with pytest.raises(UpstreamReset):
        await world.call(broken(), key="tea")
    assert set(world.figures().values()) == {0}
    world.switches.set("fallback", Mode.ON)
    with pytest.raises(UpstreamReset):
        await world.call(broken(), key="tea")


async def test_it_stands_around_hedged_calls_too() -> None:
    """All of them fail, and one stand-in answers."""
    world = World(hedge=HedgeSettings(delay_s=0.0), retry=RetrySettings(2, base_s=0.0, cap_s=0.0))
    assert await world.call(broken()) == "instead"
    assert world.figures()["covered"] == 1


async def test_the_budget_has_its_retries_back_while_a_function_runs() -> None:
    """What stands in is no retry of the call, and no call under way."""
    seen: list[object] = []

    async def function(key: Hashable, error: Exception) -> int:
        figures = world.pipeline.snapshot()["retry"]
        seen.append((figures["calls"], figures["retries"]))
        return 1

    world = World(FallbackSettings(function=function))
    await world.call(broken())
    assert seen == [(0, 0)]


async def test_a_pipeline_without_fallback_answers_unmarked() -> None:
    """``answer`` works there as well, and errors go up."""
    world = World()
    bare = build_pipeline("bare", PipelineSettings(retry=None), FakePicker("a"))
    assert await bare.answer(world.send("real"), idempotent=True) == Answer("real")
    assert "fallback" not in bare.policies
    with pytest.raises(UpstreamReset):
        await bare.answer(world.send(broken()), idempotent=True)


def test_pipelines_of_one_object_keep_answers_of_their_own() -> None:
    """What one dependency said never stands in for another."""
    settings = PipelineSettings(fallback=FallbackSettings(last_good_s=LONG_S))
    one, other = (build_pipeline(name, settings, FakePicker("a")) for name in ("one", "other"))
    assert one.policies["fallback"] is not other.policies["fallback"]
    assert repr(one.policies["fallback"]) == "<Fallback one [cached] covered 0>"


def test_defaults_and_bounds() -> None:
    """Nothing by default, 1,024 keys; no fallback in a pipeline unless asked for."""
    settings = FallbackSettings(value=None)
    assert (settings.last_good_s, settings.function, settings.max_keys) == (None, None, 1024)
    assert (settings.also, settings.covers, PipelineSettings().fallback) == ((), None, None)
    assert FallbackSettings(last_good_s=0.1, max_keys=1).value is NO_VALUE


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "nothing could stand in: give last_good_s, a function or a value"),
        ({"last_good_s": 0.0}, "last_good_s=0.0 must be None or above 0"),
        ({"last_good_s": float("inf")}, "last_good_s=inf"),
        ({"value": 0, "max_keys": 0}, "max_keys=0 must be >= 1"),
    ],
)
def test_impossible_settings_are_refused(arguments: dict[str, Any], words: str) -> None:
    """The message names the value and the range."""
    with pytest.raises(ValueError, match=words):
        FallbackSettings(**arguments)
