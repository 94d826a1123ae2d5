"""Client pipeline: the order of its stages, what each refusal costs, who teaches whom what."""

import asyncio

import pytest

from resilience.errors import (
    BreakerOpen,
    LimitExceeded,
    Rejected,
    ServiceError,
    UpstreamReset,
)
from resilience.pipeline import ClientPipeline
from resilience.policy.bulkhead import Bulkhead
from resilience.policy.contract import Mode, Outcome
from resilience.policy.retry import RetrySettings
from resilience.switches import FixedSwitches
from tests.resilience.fakes import FakePicker, make_context
from tests.resilience.pipeline_world import World, broken, inside


async def test_an_answer_comes_back_and_teaches_ok() -> None:
    """One attempt, everything given back."""
    world = World()

    assert await world.call("answer") == "answer"
    assert world.sent == [("a", None)]
    assert world.breaker.outcomes == [Outcome.OK]
    assert world.picker.finished == [("a", Outcome.OK)]
    world.assert_balanced()


async def test_an_open_breaker_ends_the_call_and_costs_no_retry() -> None:
    """Nothing is picked, sent or retried; the error says who refused and why."""
    world = World()
    world.breaker.refuse = True
    context = make_context()
    with inside(context), pytest.raises(BreakerOpen) as caught:
        await world.call("answer")

    assert (world.sent, world.budget.spent) == ([], 0)
    assert caught.value.metadata["decision"] == "breaker; gateway>video; 6/5"
    assert [(note.policy, note.what) for note in context.notes] == [("breaker", "rejected")]
    world.assert_balanced()


async def test_a_breaker_that_opens_between_attempts_ends_the_call() -> None:
    """The refusal is raised, with what failed before as its cause."""
    world = World()

    async def send(endpoint: str, timeout_s: float | None) -> None:
        world.breaker.refuse = True
        raise broken()

    with pytest.raises(BreakerOpen) as caught:
        await world.pipeline.call(send, idempotent=True)
    assert isinstance(caught.value.__cause__, UpstreamReset)
    world.assert_balanced()


async def test_a_breaker_in_shadow_notes_and_lets_through() -> None:
    """The call goes on, and explain shows what would have happened."""
    world, context = World(breaker=Mode.SHADOW), make_context()
    world.breaker.refuse = True
    with inside(context):
        assert await world.call("answer") == "answer"

    assert context.notes[0].what == "shadow-rejected"


async def test_a_full_bulkhead_ends_the_call_and_refunds_the_breaker() -> None:
    """To the breaker a call refused elsewhere never was."""
    world = World(bulkhead=Bulkhead(1))
    hanging = asyncio.ensure_future(world.call("hang"))
    await asyncio.sleep(0)
    with pytest.raises(LimitExceeded) as caught:
        await world.call("answer")
    hanging.cancel()
    await asyncio.gather(hanging, return_exceptions=True)

    assert caught.value.reason == "BULKHEAD_FULL"
    assert world.breaker.outcomes == [Outcome.IGNORED, Outcome.IGNORED]
    assert world.budget.spent == 0
    world.assert_balanced()


async def test_no_endpoint_left_is_a_refusal_with_a_time_to_come_back() -> None:
    """Nobody there: 503, nothing started, no failure for the breaker."""
    world, context = World(), make_context()
    world.picker.endpoints = ()
    with inside(context), pytest.raises(Rejected) as caught:
        await world.call("answer")

    assert (caught.value.reason, caught.value.started) == ("NO_ENDPOINT", False)
    assert caught.value.retry_after_s == 1.0
    assert context.notes[0].detail["reason"] == "NO_ENDPOINT"
    assert world.breaker.outcomes == [Outcome.IGNORED]


async def test_policies_are_shown_and_reset_by_name() -> None:
    """What a page lists and a drill resets."""
    world = World()
    assert sorted(world.pipeline.policies) == ["breaker", "bulkhead", "retry"]
    for policy in world.pipeline.policies.values():
        policy.reset(0.0)

    assert world.breaker.resets == 1
    assert world.pipeline.snapshot()["bulkhead"]["limit"] == 2
    assert repr(world.pipeline) == "<ClientPipeline video [breaker, bulkhead, retry]>"


async def test_a_pipeline_of_nothing_but_a_picker_works() -> None:
    """Every guard is optional."""
    pipeline = ClientPipeline("bare", FakePicker("a"), FixedSwitches())

    async def send(endpoint: str, timeout_s: float | None) -> str:
        return endpoint

    assert await pipeline.call(send, idempotent=True) == "a"


async def test_a_foreign_error_passes_as_it_is() -> None:
    """A bug in ``send`` is not dressed up."""
    world = World(retry=Mode.OFF)
    with pytest.raises(ZeroDivisionError):
        await world.call(ZeroDivisionError())

    assert world.breaker.outcomes == [Outcome.FAILED]
    assert not issubclass(ZeroDivisionError, ServiceError)


async def test_the_observer_hears_of_each_attempt() -> None:
    """How each ended, in order."""
    world = World()
    await world.call(broken(), "answer")

    assert world.observer.of("attempt") == ["failed", "ok"]


async def test_without_a_random_of_its_own_a_pipeline_draws_its_back_off_all_the_same() -> None:
    """Who gives none gets one that is seeded by the system."""
    retry = RetrySettings(base_s=0.001, cap_s=0.001)
    pipeline = ClientPipeline("bare", FakePicker("a", "b"), FixedSwitches(), retry=retry)

    async def send(endpoint: str, timeout_s: float | None) -> str:
        if endpoint == "a":
            raise broken()
        return endpoint

    assert await pipeline.call(send, idempotent=True) == "b"


def test_the_bulkhead_s_size_may_change_where_there_is_one() -> None:
    """Without one the error says so."""
    world = World()
    world.pipeline.set_max_concurrent(7)
    assert world.bulkhead.limit == 7

    bare = ClientPipeline("bare", FakePicker("a"), FixedSwitches())
    with pytest.raises(TypeError, match="has no bulkhead whose size"):
        bare.set_max_concurrent(7)
