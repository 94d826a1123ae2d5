"""Client pipeline: a caller may leave at any moment, and nothing stays behind."""

import asyncio

import pytest

from resilience.context import Cut
from resilience.policy.bulkhead import Bulkhead
from resilience.policy.contract import Outcome
from resilience.policy.retry import RetrySettings
from tests.resilience.cancel_at import Victim, cancel_at_every_await, cancel_at_every_turn
from tests.resilience.fakes import make_context
from tests.resilience.pipeline_world import World, broken, inside


async def test_a_caller_who_leaves_teaches_nothing() -> None:
    """Cancelled from outside without a cause: IGNORED by all."""
    world = World()
    calling = asyncio.ensure_future(world.call("hang"))
    await asyncio.sleep(0)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling

    assert world.breaker.outcomes == [Outcome.IGNORED]
    world.assert_balanced()


async def test_a_request_cut_at_its_deadline_by_the_server_side_is_a_failure() -> None:
    """The Context says why the cancellation came."""
    world, context = World(), make_context()

    async def serve() -> None:
        with inside(context):
            await world.call("hang")

    serving = asyncio.ensure_future(serve())
    await asyncio.sleep(0)
    context.cut = Cut.DEADLINE
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving

    assert world.breaker.outcomes == [Outcome.FAILED]


def make_victim() -> Victim:
    """Begin a call that fails twice, beside one that holds the only place."""
    world = World(bulkhead=Bulkhead(1, 5), per_try_timeout_s=5.0)
    blocker = asyncio.ensure_future(world.call(broken(), broken(), "answer"))

    def check() -> None:
        world.assert_balanced()
        assert blocker.result() == "answer"

    return Victim(world.call(broken(), broken(), "answer"), check, (blocker,))


async def test_cancelling_at_any_step_leaks_nothing() -> None:
    """Cancelled at its n-th await or in the n-th turn, for every n, it gives back all it took."""
    assert await cancel_at_every_await(make_victim) > 5
    assert await cancel_at_every_turn(make_victim) > 5


async def test_cancelling_a_backoff_gives_the_retry_back() -> None:
    """The budget holds waiting retries too, and only as long as they wait."""
    world = World(attempts=RetrySettings(base_s=60.0, cap_s=60.0))
    calling = asyncio.ensure_future(world.call(broken()))
    for _ in range(10):
        await asyncio.sleep(0)
    assert world.budget.retries == 1
    calling.cancel()
    await asyncio.gather(calling, return_exceptions=True)

    world.assert_balanced()
