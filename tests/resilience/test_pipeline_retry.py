"""Client pipeline: what is tried again, where, how often, and what the budget says."""

import asyncio

import pytest

from resilience.errors import (
    Code,
    UpstreamReset,
    UpstreamStatus,
    UpstreamTimeout,
)
from resilience.policy.bulkhead import Bulkhead
from resilience.policy.contract import Mode, Outcome
from tests.resilience.fakes import make_context
from tests.resilience.pipeline_world import World, broken, inside


async def test_a_failed_idempotent_call_is_tried_elsewhere() -> None:
    """The second endpoint answers; the first one's failure teaches."""
    world = World()

    assert await world.call(broken(), "answer") == "answer"
    assert [endpoint for endpoint, _ in world.sent] == ["a", "b"]
    assert world.breaker.outcomes == [Outcome.FAILED, Outcome.OK]
    assert world.budget.spent == 1
    world.assert_balanced()


async def test_a_single_endpoint_is_tried_again_rather_than_none() -> None:
    """Excluding where it failed is a wish, not a condition."""
    world = World("only")

    assert await world.call(broken(), "answer") == "answer"
    assert [endpoint for endpoint, _ in world.sent] == ["only", "only"]


async def test_three_failures_pass_the_last_one_up_and_name_the_upstream() -> None:
    """What is passed up says whose failure it was, so that nobody above retries it."""
    world = World()
    with pytest.raises(UpstreamReset) as caught:
        await world.call(broken(), broken(), broken())

    assert len(world.sent) == 3
    assert caught.value.metadata == {"upstream": "video"}
    world.assert_balanced()


async def test_a_failure_from_deeper_down_is_not_retried() -> None:
    """Only the hop directly above it may."""
    world = World()
    deeper = UpstreamStatus(Code.UNAVAILABLE, "X", "x", metadata={"upstream": "store"})
    with pytest.raises(UpstreamStatus) as caught:
        await world.call(deeper)

    assert len(world.sent) == 1
    assert caught.value.metadata["upstream"] == "store"


async def test_push_back_goes_up_unretried() -> None:
    """A limiter's refusal on the other side asks for less, not for more."""
    world = World()
    pushed = UpstreamStatus(
        Code.UNAVAILABLE, "LIMIT_EXCEEDED", "x", retry_after_s=1.0, started=False
    )
    with pytest.raises(UpstreamStatus):
        await world.call(pushed)

    assert len(world.sent) == 1
    assert world.breaker.outcomes == [Outcome.OVERLOADED]


async def test_without_idempotency_only_unstarted_work_goes_elsewhere() -> None:
    """A connection refused is tried elsewhere, one that broke is not."""
    world = World()
    assert await world.call(ConnectionRefusedError(), "answer", idempotent=False) == "answer"

    world.sent.clear()
    with pytest.raises(ConnectionResetError):
        await world.call(ConnectionResetError(), idempotent=False)
    assert len(world.sent) == 1


async def test_retry_off_tries_once_and_shadow_counts_what_it_would_have() -> None:
    """Neither sends twice; shadow says so in the notes."""
    for mode, notes in ((Mode.OFF, []), (Mode.SHADOW, ["shadow-retried"])):
        world, context = World(retry=mode), make_context()
        with inside(context), pytest.raises(UpstreamReset):
            await world.call(broken())
        assert len(world.sent) == 1
        assert [note.what for note in context.notes if note.policy == "retry"] == notes
        world.assert_balanced()


async def test_attempts_and_retries_are_noted_for_explain() -> None:
    """Each attempt with endpoint, milliseconds and outcome; the retry between them."""
    world, context = World(), make_context()
    with inside(context):
        await world.call(broken(), "answer")

    assert [(note.policy, note.what) for note in context.notes] == [
        ("attempt", "failed"),
        ("retry", "retries"),
        ("attempt", "ok"),
    ]
    assert context.notes[0].detail["upstream"] == "video"
    assert context.notes[0].detail["endpoint"] == "a"
    assert isinstance(context.notes[0].detail["ms"], float)


async def test_attempts_and_their_time_can_be_changed_while_it_runs() -> None:
    """Three tries without a limit become two of 10 ms each."""
    world = World("a", "b", "c", "d")
    with pytest.raises(UpstreamReset):
        await world.call(broken())
    assert [timeout_s for _, timeout_s in world.sent] == [None] * 3

    world.sent.clear()
    world.pipeline.set_attempts(2, 0.01)
    with pytest.raises(UpstreamTimeout):
        await world.call("hang")
    assert [timeout_s for _, timeout_s in world.sent] == [0.01] * 2
    world.assert_balanced()


@pytest.mark.parametrize(("mode", "tries"), [(Mode.ON, 13), (Mode.OFF, 20)])
async def test_without_its_budget_every_call_may_retry(mode: Mode, tries: int) -> None:
    """Ten calls fail at once: three retry under the budget, and all of them without it."""
    world = World(retry_budget=mode, bulkhead=Bulkhead(20))
    world.pipeline.set_attempts(2, None)
    together = asyncio.Barrier(10)
    sent: list[str] = []

    async def fail(endpoint: str, _: float | None) -> None:
        sent.append(endpoint)
        if len(sent) <= 10:
            await together.wait()
        else:
            await asyncio.sleep(0.01)
        raise broken()

    calls = [world.pipeline.call(fail, idempotent=True) for _ in range(10)]
    await asyncio.gather(*calls, return_exceptions=True)
    assert len(sent) == tries
    world.assert_balanced()
