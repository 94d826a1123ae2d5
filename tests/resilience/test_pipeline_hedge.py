"""What a hedge may never be: of a call not idempotent, late, beyond the budget, or left behind."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import pytest

from resilience.errors import DeadlineExpired
from resilience.policy.budget import RetryBudget
from resilience.policy.bulkhead import Bulkhead
from resilience.policy.contract import Mode, Outcome, Request
from resilience.policy.hedge import HEDGE_MIN_SAMPLES, HedgeSettings
from resilience.policy.retry import RetrySettings
from tests.resilience.fakes import make_context
from tests.resilience.pipeline_world import World, inside

AT_ONCE = HedgeSettings(delay_s=0.0)
LONG_S = 60.0  # nothing here takes so long unless it hangs
SOON_S = 0.2  # a deadline that is waited for, and long enough for an attempt to begin
LIMIT_S = 10.0  # of a wait for what is about to come


class Sending:
    """Attempts that hang until told to answer, and what became of each."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.cancelled: list[str] = []
        self.may_answer: dict[str, asyncio.Event] = {}
        self._news = asyncio.Event()

    async def send(self, endpoint: str, timeout_s: float | None) -> str:
        """Hang until the endpoint may answer."""
        self.began.append(endpoint)
        self._news.set()
        try:
            await self.may_answer.setdefault(endpoint, asyncio.Event()).wait()
        except asyncio.CancelledError:
            self.cancelled.append(endpoint)
            raise
        return endpoint

    def let(self, endpoint: str) -> None:
        """Let it answer, now and from now on."""
        self.may_answer.setdefault(endpoint, asyncio.Event()).set()

    async def until_began(self, count: int) -> None:
        """Wait until so many attempts have begun."""
        async with asyncio.timeout(LIMIT_S):
            while len(self.began) < count:
                self._news.clear()
                await self._news.wait()


async def turns(count: int = 50) -> None:
    """Let everything that could happen at once happen."""
    for _ in range(count):
        await asyncio.sleep(0)


def hedging_world(hedging: HedgeSettings = AT_ONCE, **how: Any) -> World:
    """Make a world of three endpoints with room, two attempts a call."""
    settings: Mapping[str, Any] = {
        "bulkhead": Bulkhead(100),
        "attempts": RetrySettings(2, base_s=0.0, cap_s=0.0),
        **how,
    }
    return World("a", "b", "c", hedging=hedging, **settings)


def begin(world: World, sending: Sending, **how: Any) -> "asyncio.Future[str]":
    """Begin a call."""
    return asyncio.ensure_future(world.pipeline.call(sending.send, **{"idempotent": True, **how}))


async def test_a_hedge_waits_for_the_measured_percentile() -> None:
    """Among answers of a minute none is sent at once; among answers of no time one is."""
    for took_s, sent in ((LONG_S, 1), (0.0, 2)):
        world, sending = hedging_world(HedgeSettings()), Sending()
        assert world.hedge is not None
        for _ in range(HEDGE_MIN_SAMPLES):
            world.hedge.observe(took_s, time.monotonic())
        calling = begin(world, sending)
        await sending.until_began(sent)
        await turns()
        assert sending.began == ["a", "b"][:sent]
        sending.let("a")
        assert await calling == "a"
        world.assert_balanced()


async def test_too_few_answers_measure_nothing() -> None:
    """One less than a hundred, all of no time, and the call is on its own."""
    world, sending = hedging_world(HedgeSettings()), Sending()
    assert world.hedge is not None
    for _ in range(HEDGE_MIN_SAMPLES - 1):
        world.hedge.observe(0.0, time.monotonic())
    calling = begin(world, sending)
    await sending.until_began(1)
    await turns()
    sending.let("a")
    assert (await calling, sending.began, world.hedge.sent) == ("a", ["a"], 0)


async def test_the_second_try_goes_to_another_endpoint() -> None:
    """However often it is asked, never where the first one hangs."""
    world, sending = hedging_world(), Sending()
    sending.let("b")
    for _ in range(5):
        assert await begin(world, sending) == "b"
    assert sending.began == ["a", "b"] * 5


@pytest.mark.parametrize("retry", list(Mode))
async def test_a_call_that_is_not_idempotent_is_never_hedged(retry: Mode) -> None:
    """However slow it is, and however the retries stand; nor is it counted in shadow."""
    world, sending = hedging_world(retry=retry), Sending()
    calling = begin(world, sending, idempotent=False)
    await sending.until_began(1)
    await turns()
    assert sending.began == ["a"]
    sending.let("a")
    assert await calling == "a"
    assert world.hedge is not None
    assert (world.hedge.sent, world.hedge.would_send) == (0, 0)

    world.switches.set("hedge", Mode.SHADOW)
    assert await begin(world, sending, idempotent=False) == "a"
    assert world.hedge.would_send == 0


@pytest.mark.parametrize("delay_s", [SOON_S, LONG_S])
async def test_no_hedge_is_sent_at_or_past_the_deadline(delay_s: float) -> None:
    """Its time comes with the deadline or later: the call ends alone."""
    world, sending = hedging_world(HedgeSettings(delay_s=delay_s), timeout_s=SOON_S), Sending()
    with pytest.raises(DeadlineExpired):
        await begin(world, sending)
    assert (sending.began, sending.cancelled) == (["a"], ["a"])
    assert world.breaker.outcomes == [Outcome.FAILED]
    world.assert_balanced()


async def test_the_deadline_cuts_the_hedge_with_the_rest() -> None:
    """Both end at it, and nothing begins after it."""
    world, sending = hedging_world(), Sending()
    context = make_context(remaining_s=SOON_S)
    with inside(context), pytest.raises(DeadlineExpired):
        await begin(world, sending)
    assert sorted(sending.began) == sorted(sending.cancelled)
    world.assert_balanced()


async def test_hedges_of_all_calls_together_stay_within_the_budget() -> None:
    """Of twenty slow calls a fifth is hedged; the others wait for their only attempt."""
    world, sending = hedging_world(budget=RetryBudget(0.2, 1)), Sending()
    callings = [begin(world, sending) for _ in range(20)]
    await sending.until_began(24)
    await turns()
    assert (len(sending.began), world.budget.retries) == (24, 4)
    assert world.budget.refused == 16

    sending.let("b")
    await asyncio.gather(*callings[:4])
    await turns()
    assert (world.budget.calls, world.budget.retries) == (16, 0)
    sending.let("a")
    await asyncio.gather(*callings)
    world.assert_balanced()


async def test_an_empty_budget_sends_none() -> None:
    """The call waits for its only attempt."""
    world, sending = hedging_world(budget=RetryBudget(0.0, 0)), Sending()
    calling = begin(world, sending)
    await sending.until_began(1)
    await turns()
    sending.let("a")
    assert (await calling, sending.began, world.budget.refused) == ("a", ["a"], 1)


@pytest.mark.parametrize("winner", ["a", "b"])
async def test_the_loser_is_cancelled_and_gives_back_what_it_held(winner: str) -> None:
    """When the answer is there so are both slots, and the loser taught nothing."""
    world, sending = hedging_world(bulkhead=Bulkhead(2)), Sending()
    calling = begin(world, sending)
    await sending.until_began(2)
    assert (world.bulkhead.in_flight, world.breaker.in_flight) == (2, 2)
    sending.let(winner)
    assert await calling == winner

    loser = "b" if winner == "a" else "a"
    assert sending.cancelled == [loser]
    assert sorted(world.picker.finished) == sorted([(winner, Outcome.OK), (loser, Outcome.IGNORED)])
    assert sorted(each.value for each in world.breaker.outcomes) == ["ignored", "ok"]
    world.assert_balanced()


async def test_a_caller_who_leaves_takes_both_with_him() -> None:
    """Both are cancelled before he is told, and nobody is blamed."""
    world, sending = hedging_world(), Sending()
    calling = begin(world, sending)
    await sending.until_began(2)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert sorted(sending.cancelled) == ["a", "b"]
    assert world.breaker.outcomes == [Outcome.IGNORED, Outcome.IGNORED]
    world.assert_balanced()


async def test_a_full_bulkhead_sends_no_hedge_and_the_call_goes_on() -> None:
    """A hedge holds a slot like any attempt; without one the first is left to answer."""
    world, sending = hedging_world(bulkhead=Bulkhead(1)), Sending()
    calling = begin(world, sending)
    await sending.until_began(1)
    await turns()
    assert (sending.began, world.bulkhead.in_flight) == (["a"], 1)
    sending.let("a")
    assert await calling == "a"
    world.assert_balanced()


async def test_a_request_s_own_deadline_binds_hedges_too() -> None:
    """Not only that of the Context or the pipeline."""
    world, sending = hedging_world(HedgeSettings(delay_s=SOON_S)), Sending()
    now_s = time.monotonic()
    with pytest.raises(DeadlineExpired):
        await begin(world, sending, request=Request(deadline_s=now_s + SOON_S))
    assert sending.began == ["a"]
