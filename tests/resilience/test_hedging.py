"""Hedging in the client pipeline: who wins, who is cancelled, and that nothing stays behind."""

import asyncio
from collections.abc import Callable

import pytest

from resilience.errors import BreakerOpen, Code, DeadlineExpired, UpstreamReset, UpstreamStatus
from resilience.policy.backoff import Jitter
from resilience.policy.budget import RetryBudget
from resilience.policy.bulkhead import Bulkhead
from resilience.policy.contract import Mode, Outcome, Request
from resilience.policy.hedge import HedgeSettings
from resilience.policy.retry import RetrySettings
from resilience.policy.token_throttle import TokenThrottle
from tests.resilience.cancel_at import Victim, cancel_at_every_await, cancel_at_every_turn
from tests.resilience.fakes import make_context
from tests.resilience.pipeline_world import QUICK, World, broken, inside

AT_ONCE = HedgeSettings(delay_s=0.0)
NEVER = HedgeSettings(delay_s=50.0)
MEASURED = HedgeSettings(min_samples=1, min_delay_s=0.0)


def world_of(hedging: HedgeSettings = AT_ONCE, **modes: Mode) -> World:
    """Make a world of three endpoints with room for all of them."""
    world = World("a", "b", "c", hedging=hedging, bulkhead=Bulkhead(5))
    for policy, mode in modes.items():
        world.switches.set(policy, mode)
    return world


def by_endpoint(world: World, **endings: object) -> Callable[..., object]:
    """Make a ``send`` whose endpoints hang, fail or answer, each after a turn of the loop."""

    async def send(endpoint: str, timeout_s: float | None) -> object:
        world.sent.append((endpoint, timeout_s))
        ending = endings[endpoint]
        if ending == "hang":
            await asyncio.sleep(60)
        await asyncio.sleep(0)
        if isinstance(ending, Exception):
            raise ending
        return ending

    return send


async def call(world: World, *, idempotent: bool = True, **endings: object) -> object:
    """Call through the world's pipeline."""
    send = by_endpoint(world, **endings)
    return await world.pipeline.call(send, idempotent=idempotent)  # type: ignore[arg-type]


async def test_a_hedge_answers_for_one_that_hangs() -> None:
    """The loser is cancelled and teaches nothing; the hedge is counted as sent and won."""
    world = world_of()
    assert await call(world, a="hang", b="answer", c="hang") == "answer"

    assert world.picker.finished[-1][1] is Outcome.IGNORED
    assert ("a", Outcome.IGNORED) in world.picker.finished
    assert ("b", Outcome.OK) in world.picker.finished
    assert world.hedge is not None
    assert (world.hedge.sent, world.hedge.won) == (2, 1)
    assert world.observer.of("hedge") == ["hedges", "hedges"]
    world.assert_balanced()


async def test_each_of_them_goes_to_another_endpoint() -> None:
    """A6: those under way are avoided, not only those that failed."""
    world = world_of()
    await call(world, a="hang", b="hang", c="answer")

    assert [endpoint for endpoint, _ in world.sent] == ["a", "b", "c"]


async def test_an_answer_in_time_needs_no_hedge() -> None:
    """Nothing is sent twice, and no task is left."""
    world = world_of(NEVER)
    assert await call(world, a="answer") == "answer"

    assert (len(world.sent), world.budget.spent) == (1, 0)
    world.assert_balanced()


async def test_only_idempotent_calls_are_hedged() -> None:
    """The switch is not even asked."""
    world = world_of()
    assert await call(world, idempotent=False, a="answer") == "answer"

    assert len(world.sent) == 1


async def test_a_failure_leaves_the_others_to_answer() -> None:
    """Two fail at once, the third answers."""
    world = world_of()
    assert await call(world, a=broken(), b=broken(), c="answer") == "answer"

    assert sorted(world.picker.finished)[-1] == ("c", Outcome.OK)
    world.assert_balanced()


async def test_when_all_have_failed_the_last_error_goes_up() -> None:
    """Named for whose failure it was; the cap holds for hedges and retries together."""
    world = world_of()
    with pytest.raises(UpstreamReset) as caught:
        await call(world, a=broken(), b=broken(), c=broken())

    assert caught.value.metadata == {"upstream": "video"}
    assert len(world.sent) == 3
    assert world.observer.of("retry") == ["gave-up"]
    world.assert_balanced()


async def test_a_call_that_failed_before_its_hedge_is_retried() -> None:
    """One plan: with nobody else under way the failure is an ordinary one."""
    world = world_of(NEVER)
    assert await call(world, a=broken(), b="answer") == "answer"

    assert world.observer.of("retry") == ["retries"]
    assert world.observer.of("hedge") == []


async def test_a_retry_with_nobody_under_way_waits_out_its_back_off() -> None:
    """The plan names a time, and that is waited for."""
    attempts = RetrySettings(base_s=0.001, cap_s=0.001, jitter=Jitter.NONE)
    world = World("a", "b", hedging=NEVER, attempts=attempts)
    assert await call(world, a=broken(), b="answer") == "answer"

    assert [endpoint for endpoint, _ in world.sent] == ["a", "b"]
    world.assert_balanced()


@pytest.mark.parametrize(("mode", "told"), [(Mode.OFF, []), (Mode.SHADOW, ["shadow-retried"])])
async def test_retries_may_be_off_while_hedges_are_on(mode: Mode, told: list[str]) -> None:
    """A slow call is hedged, a failed one isn't tried again."""
    world = world_of(retry=mode)
    assert await call(world, a="hang", b="answer", c="hang") == "answer"
    calm = world_of(NEVER, retry=mode)
    with pytest.raises(UpstreamReset):
        await call(calm, a=broken(), b="answer")

    assert calm.observer.of("retry") == told
    calm.assert_balanced()


async def test_the_caller_s_own_error_cancels_the_others() -> None:
    """Not found here is not found there: A6's fatal status."""
    world = world_of()
    missing = UpstreamStatus(Code.NOT_FOUND, "NOT_FOUND", "no such video")
    with pytest.raises(UpstreamStatus):
        await call(world, a=missing, b="hang", c="hang")

    assert ("b", Outcome.IGNORED) in world.picker.finished
    world.assert_balanced()


async def test_a_refused_hedge_does_not_end_the_attempt_it_was_to_help() -> None:
    """The breaker closes its door between them; the first one answers all the same."""
    world = world_of()
    gate = asyncio.Event()

    async def send(endpoint: str, timeout_s: float | None) -> str:
        world.breaker.refuse = True
        await gate.wait()
        return endpoint

    world.hedge.settings = HedgeSettings(delay_s=0.01)  # type: ignore[union-attr]
    asyncio.get_running_loop().call_later(0.03, gate.set)
    assert await world.pipeline.call(send, idempotent=True) == "a"

    assert world.breaker.outcomes == [Outcome.OK]
    assert world.hedge is not None
    assert world.hedge.won == 0
    world.assert_balanced()


async def test_a_refusal_of_all_goes_up_as_it_is() -> None:
    """Nothing was sent; the error is the breaker's."""
    world = world_of()
    world.breaker.refuse = True
    with pytest.raises(BreakerOpen):
        await call(world, a="answer")

    assert (world.sent, world.budget.spent) == ([], world.budget.spent)
    world.assert_balanced()


async def test_a_spent_budget_sends_no_hedge() -> None:
    """Hedges come out of the retry budget; without one the call just waits."""
    world = World("a", "b", hedging=AT_ONCE, bulkhead=Bulkhead(5), budget=RetryBudget(0.0, 0))
    assert await call(world, a="answer", b="hang") == "answer"

    assert (len(world.sent), world.budget.refused) == (1, 1)
    world.assert_balanced()


async def test_the_deadline_ends_all_of_them() -> None:
    """Each attempt is cut at it; the error is the deadline's."""
    world = world_of()
    context = make_context(remaining_s=0.1)
    with inside(context), pytest.raises(DeadlineExpired):
        await call(world, a="hang", b="hang", c="hang")

    assert world.breaker.outcomes[0] is Outcome.FAILED
    assert Outcome.OK not in world.breaker.outcomes
    world.assert_balanced()


async def test_a_deadline_already_spent_sends_nothing() -> None:
    """As without hedging."""
    world = world_of()
    with pytest.raises(DeadlineExpired) as caught:
        await world.pipeline.call(
            by_endpoint(world, a="answer"),  # type: ignore[arg-type]
            Request(deadline_s=0.0),
            idempotent=True,
        )

    assert (caught.value.started, world.sent) == (False, [])


async def test_the_delay_is_learned_from_answers_and_from_calls_cut_short() -> None:
    """Without a hundred answers nothing is hedged; losers count as at least this long."""
    world = world_of(MEASURED)
    await call(world, a="answer")
    assert (len(world.sent), world.pipeline.snapshot()["hedge"]["samples"]) == (1, 1)
    await call(world, a="hang", b="answer", c="hang")

    samples = world.pipeline.snapshot()["hedge"]["samples"]
    assert isinstance(samples, int)
    assert samples >= 3


@pytest.mark.parametrize(("mode", "would_send"), [(Mode.SHADOW, 1), (Mode.OFF, 0)])
async def test_in_shadow_it_is_counted_and_not_sent(mode: Mode, would_send: int) -> None:
    """An answer that took longer than the delay would have been hedged."""
    world = world_of(hedge=mode)
    assert await call(world, a="answer") == "answer"

    assert world.hedge is not None
    assert (world.hedge.would_send, world.hedge.sent, len(world.sent)) == (would_send, 0, 1)


async def test_the_throttle_counts_a_hedged_answer_once() -> None:
    """A failure costs one, the answer earns a tenth, the loser nothing."""
    throttle = TokenThrottle()
    world = World("a", "b", "c", hedging=AT_ONCE, bulkhead=Bulkhead(5), budget=throttle)
    assert await call(world, a=broken(), b="hang", c="answer") == "answer"

    assert throttle.tokens == 9.1


async def test_a_send_that_cancels_itself_is_a_cancellation() -> None:
    """As without hedging: it goes up, and the others end."""
    world = world_of()

    async def send(endpoint: str, timeout_s: float | None) -> None:
        if endpoint == "b":
            raise asyncio.CancelledError
        await asyncio.sleep(60)

    with pytest.raises(asyncio.CancelledError):
        await world.pipeline.call(send, idempotent=True)
    world.assert_balanced()


def hedged_victim(**endings: object) -> Callable[[], Victim]:
    """Begin a hedged call anew for each step it is cancelled at."""

    def begin() -> Victim:
        world = World(
            "a",
            "b",
            "c",
            hedging=AT_ONCE,
            bulkhead=Bulkhead(1, 5),
            attempts=RetrySettings(4, base_s=0.0, cap_s=0.0),
        )
        send = by_endpoint(world, **endings)
        calling = world.pipeline.call(send, idempotent=True)  # type: ignore[arg-type, var-annotated]
        return Victim(calling, world.assert_balanced)

    return begin


@pytest.mark.parametrize(
    "endings",
    [
        {"a": "answer", "b": "hang", "c": "hang"},
        {"a": broken(), "b": broken(), "c": "answer"},
        {"a": broken(), "b": broken(), "c": broken()},
    ],
)
async def test_cancelling_at_any_step_leaks_nothing(endings: dict[str, object]) -> None:
    """No permit, place, endpoint, retry or task, wherever the caller leaves."""
    assert await cancel_at_every_await(hedged_victim(**endings)) >= 2
    assert await cancel_at_every_turn(hedged_victim(**endings)) >= 3


async def test_a_pipeline_without_hedging_makes_no_task() -> None:
    """The first attempt runs in the caller's own task, and so do its retries."""
    world, seen = World(attempts=QUICK), set()

    async def send(endpoint: str, timeout_s: float | None) -> int:
        seen.add(asyncio.current_task())
        if len(world.sent) == 0:
            world.sent.append((endpoint, timeout_s))
            raise broken()
        return 1

    await world.pipeline.call(send, idempotent=True)
    assert seen == {asyncio.current_task()}
