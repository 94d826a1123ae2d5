"""Client pipeline: whose time runs out, and what that teaches."""

import asyncio
import time

import pytest

from resilience.attempt import CLOCK_GRAIN_S
from resilience.errors import (
    Code,
    DeadlineExpired,
    ServiceError,
    UpstreamTimeout,
)
from resilience.policy.bulkhead import Bulkhead
from resilience.policy.contract import Mode, Outcome, Request
from tests.resilience.fakes import make_context
from tests.resilience.pipeline_world import World, broken, inside


async def test_a_try_that_takes_too_long_is_cut_and_tried_elsewhere() -> None:
    """The per-try timeout is a failure of that endpoint and no end of the call."""
    world = World(per_try_timeout_s=0.02)

    assert await world.call("hang", "answer") == "answer"
    assert world.sent == [("a", 0.02), ("b", 0.02)]
    assert world.picker.finished == [("a", Outcome.FAILED), ("b", Outcome.OK)]


async def test_a_try_cut_with_nothing_left_to_try_is_a_timeout_of_the_upstream() -> None:
    """504 with a reason of its own, not the deadline's."""
    world = World(per_try_timeout_s=0.01, retry=Mode.OFF)
    with pytest.raises(UpstreamTimeout) as caught:
        await world.call("hang")

    assert (caught.value.reason, caught.value.code) == ("UPSTREAM_TIMEOUT", Code.DEADLINE_EXCEEDED)


async def test_the_deadline_cuts_the_call_and_counts_against_the_dependency() -> None:
    """Our own budget ran out: for a breaker that is a failure."""
    world, context = World(), make_context(remaining_s=0.02)
    with inside(context), pytest.raises(DeadlineExpired) as caught:
        await world.call("hang")

    assert caught.value.started is True
    assert caught.value.metadata["decision"] == "deadline; gateway>video"
    assert [note.policy for note in context.notes] == ["deadline", "attempt", "retry"]
    assert len(world.sent) == 1
    timeout_s = world.sent[0][1]
    assert timeout_s is not None
    assert 0 < timeout_s <= 0.02
    assert world.breaker.outcomes == [Outcome.FAILED]
    world.assert_balanced()


async def test_a_transport_that_gives_up_at_the_deadline_is_the_deadline() -> None:
    """gRPC's own timer may fire first; the caller sees the same error."""
    world = World()

    async def send(endpoint: str, timeout_s: float | None) -> None:
        time.sleep(0.02)  # noqa: ASYNC251  the loop is held, so that our own timer can't be first
        raise UpstreamTimeout(Code.DEADLINE_EXCEEDED, "UPSTREAM_TIMEOUT", "x")

    request = Request(deadline_s=time.monotonic() + 0.01)
    with pytest.raises(DeadlineExpired):
        await world.pipeline.call(send, request, idempotent=True)


async def test_a_spent_deadline_sends_nothing() -> None:
    """Work whose deadline has passed is not started."""
    world = World()
    with pytest.raises(DeadlineExpired) as caught:
        await world.call("answer", deadline_s=time.monotonic() - 1)

    assert (caught.value.started, world.sent) == (False, [])
    world.assert_balanced()


async def test_with_deadlines_off_none_is_enforced_nor_passed_on() -> None:
    """The control arm of a drill: neither the Context's nor the part's own counts."""
    world, context = World(deadline=Mode.OFF), make_context(remaining_s=-1.0)
    with inside(context):
        assert await world.call("answer", deadline_s=time.monotonic() - 1) == "answer"

    assert world.sent == [("a", None)]


async def test_the_earlier_of_two_deadlines_counts() -> None:
    """A part's own deadline shortens the page's."""
    world, context = World(), make_context(remaining_s=10.0)
    with inside(context):
        await world.call("answer", deadline_s=time.monotonic() + 1.0)

    assert world.sent[0][1] is not None
    assert world.sent[0][1] <= 1.0


async def test_a_wait_in_the_bulkhead_ends_at_the_deadline() -> None:
    """Waiting spends the call's time; what never started says so."""
    world = World(bulkhead=Bulkhead(1, 5))
    hanging = asyncio.ensure_future(world.call("hang"))
    await asyncio.sleep(0)
    with pytest.raises(DeadlineExpired) as caught:
        await world.call("answer", deadline_s=time.monotonic() + 0.02)
    hanging.cancel()
    await asyncio.gather(hanging, return_exceptions=True)

    assert (caught.value.started, len(world.sent)) == (False, 1)
    world.assert_balanced()


async def test_in_the_last_moment_before_the_deadline_nothing_begins() -> None:
    """A timer may fire that early: what it cut is not followed by a retry for nobody."""
    context = make_context()
    for left_s, sent in ((2 * CLOCK_GRAIN_S, 1), (CLOCK_GRAIN_S, 0)):
        world = World(clock=lambda: 100.0)
        context.deadline_s = 100.0 + left_s
        with inside(context), pytest.raises(ServiceError):
            await world.call(broken(), idempotent=False)
        assert len(world.sent) == sent
        world.assert_balanced()
