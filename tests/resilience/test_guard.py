"""Guard: a policy around plain functions and blocks, settled once and by cause."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from resilience import context as request_context
from resilience.context import Cut
from resilience.errors import (
    Code,
    DeadlineExpired,
    LimitExceeded,
    Rejected,
    ServiceError,
    UpstreamTimeout,
)
from resilience.guard import guard
from resilience.outcome import Judge
from resilience.policy.bulkhead import Bulkhead
from resilience.policy.contract import Criticality, Mode, Outcome, Request
from resilience.policy.switch import SwitchedGate
from tests.resilience.fakes import FakeGate, make_context
from tests.resilience.flights import turns


def test_a_plain_function_passes_the_gate() -> None:
    """It answers as it did, with its own name and signature, and settles OK."""
    gate = FakeGate()

    @guard(gate)
    def double(number: int, *, plus: int = 0) -> int:
        """Return twice the number."""
        assert gate.in_flight == 1
        return 2 * number + plus

    assert double(3, plus=1) == 7
    assert (gate.outcomes, gate.in_flight) == ([Outcome.OK], 0)
    assert (double.__name__, double.__doc__) == ("double", "Return twice the number.")
    assert str(inspect.signature(double)) == "(number: int, *, plus: int = 0) -> int"


async def test_an_async_function_passes_the_gate() -> None:
    """The permit is held until the answer, not only until the coroutine is made."""
    gate = FakeGate()

    @guard(gate)
    async def double(number: int) -> int:
        await asyncio.sleep(0)
        assert gate.in_flight == 1
        return 2 * number

    assert inspect.iscoroutinefunction(double)
    made = double(3)
    assert gate.in_flight == 0
    assert await made == 6
    assert (gate.outcomes, gate.in_flight) == ([Outcome.OK], 0)


def test_a_refusal_is_an_error_and_nothing_is_begun() -> None:
    """The error is the one that an edge answers with, and names the scope."""

    @guard(FakeGate(refuse=True), scope="shop>prices")
    def never() -> None:
        raise AssertionError("begun")

    with pytest.raises(LimitExceeded) as caught:
        never()
    assert caught.value.metadata == {"decision": "limiter; shop>prices; 6/5"}
    assert (caught.value.code, caught.value.started) == (Code.UNAVAILABLE, False)


@pytest.mark.parametrize(
    ("error", "breaker", "limiter"),
    [
        (ValueError("a bug"), Outcome.FAILED, Outcome.FAILED),
        (TimeoutError(), Outcome.FAILED, Outcome.OVERLOADED),
        (ServiceError(Code.NOT_FOUND, "NO_SUCH_ITEM", "no"), Outcome.OK, Outcome.OK),
        (ServiceError(Code.UNAVAILABLE, "AWAY", "no"), Outcome.FAILED, Outcome.FAILED),
        (
            UpstreamTimeout(Code.DEADLINE_EXCEEDED, "UPSTREAM_TIMEOUT", "late"),
            Outcome.FAILED,
            Outcome.OVERLOADED,
        ),
        (Rejected(Code.UNAVAILABLE, "BREAKER_OPEN", "no"), Outcome.IGNORED, Outcome.IGNORED),
        (KeyError("ignored"), Outcome.IGNORED, Outcome.IGNORED),
        (KeyboardInterrupt(), Outcome.IGNORED, Outcome.IGNORED),
        (asyncio.CancelledError(), Outcome.IGNORED, Outcome.IGNORED),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else value.value,
)
def test_an_error_goes_up_and_is_settled_by_cause(
    error: BaseException, breaker: Outcome, limiter: Outcome
) -> None:
    """The same ending teaches a breaker and a limiter different things."""
    for judge, expected in ((Judge.BREAKER, breaker), (Judge.LIMITER, limiter)):
        gate = FakeGate()
        with (
            pytest.raises(type(error)),
            guard(gate, judge=judge, ignored=(KeyError,)).permit(),
        ):
            raise error
        assert gate.outcomes == [expected]


@pytest.mark.parametrize(
    ("cut", "expected"),
    [(Cut.DEADLINE, Outcome.FAILED), (Cut.CALLER, Outcome.IGNORED), (None, Outcome.IGNORED)],
)
def test_a_cancellation_is_judged_by_who_cut(cut: Cut | None, expected: Outcome) -> None:
    """Our own deadline is a verdict on the other side; a caller who left is none."""
    gate, context = FakeGate(), make_context()
    context.cut = cut
    token = request_context.enter(context)
    with pytest.raises(asyncio.CancelledError), guard(gate).permit():
        raise asyncio.CancelledError
    request_context.leave(token)
    assert gate.outcomes == [expected]


def test_an_error_of_its_own_is_judged_by_itself_also_after_a_cut() -> None:
    """What the function raised counts, whoever had cut the request meanwhile."""
    gate, context = FakeGate(), make_context()
    context.cut = Cut.CALLER
    token = request_context.enter(context)
    with pytest.raises(ValueError, match="mine"), guard(gate).permit():
        raise ValueError("mine")
    request_context.leave(token)
    assert gate.outcomes == [Outcome.FAILED]


async def test_blocks_hold_a_permit() -> None:
    """``with`` and ``async with`` alike."""
    gate = FakeGate()
    guarded = guard(gate)
    with guarded.permit():
        async with guarded.permit():
            assert gate.in_flight == 2
    assert gate.outcomes == [Outcome.OK, Outcome.OK]


async def test_a_block_is_for_one_use() -> None:
    """A second entry would lose the first permit."""
    gate = FakeGate()
    block = guard(gate).permit()
    with block, pytest.raises(RuntimeError, match="for one use"):
        block.__enter__()
    with pytest.raises(RuntimeError, match="for one use"):
        await block.__aenter__()
    assert gate.outcomes == [Outcome.OK]


async def test_an_async_function_waits_where_a_queue_has_room() -> None:
    """Ten calls through one slot all answer, one at a time."""
    queue = Bulkhead(1, 9)
    most = 0

    @guard(queue)
    async def work() -> None:
        nonlocal most
        most = max(most, queue.in_flight)
        await asyncio.sleep(0)

    await asyncio.gather(*(work() for _ in range(10)))
    assert (most, queue.in_flight, queue.waiting) == (1, 0, 0)


async def test_a_plain_function_does_not_wait() -> None:
    """A queue with room to wait in refuses it when no slot is free, and keeps no place."""
    queue = Bulkhead(1, 9)
    guarded = guard(queue)
    async with guarded.permit():
        with pytest.raises(LimitExceeded) as caught, guarded.permit():
            raise AssertionError("begun")
    assert (caught.value.reason, caught.value.retry_after_s) == ("BULKHEAD_FULL", 1.0)
    assert (queue.in_flight, queue.waiting) == (0, 0)


async def test_a_plain_block_s_end_wakes_who_waits() -> None:
    """A place given back by plain code goes to the next waiter."""
    queue = Bulkhead(1, 1)
    guarded = guard(queue)

    async def wait() -> str:
        async with guarded.permit():
            return "in"

    with guarded.permit():
        waiter = asyncio.create_task(wait())
        await turns(lambda: queue.waiting)
    assert await asyncio.wait_for(waiter, 10) == "in"


async def test_a_wait_ends_at_the_context_s_deadline() -> None:
    """The request that the queue sees carries the Context's deadline."""
    queue = Bulkhead(1, 1)
    guarded = guard(queue)
    with guarded.permit():
        token = request_context.enter(make_context(remaining_s=0.02))
        with pytest.raises(DeadlineExpired):
            async with guarded.permit():
                raise AssertionError("begun")
        request_context.leave(token)
    assert (queue.in_flight, queue.waiting) == (0, 0)


class AskedGate(FakeGate):
    """A gate that remembers what it was asked about."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Request] = []

    def admit(self, request: Request, now_s: float) -> Any:
        self.asked.append(request)
        return super().admit(request, now_s)


def test_the_request_comes_from_the_context_or_the_arguments() -> None:
    """Tenant, criticality and deadline; or whatever ``request_of`` makes of the call."""
    gate = AskedGate()
    context = make_context(remaining_s=60.0)
    context.tenant, context.criticality = "ann", Criticality.SHEDDABLE
    token = request_context.enter(context)
    with guard(gate).permit():
        pass
    request_context.leave(token)

    @guard(gate, request_of=lambda item, count=1: Request(count, key=item))
    def buy(item: str, count: int = 1) -> None:
        """Do nothing."""

    buy("tea", count=3)
    guard(gate).permit(Request(tenant="bob")).__enter__()
    with guard(gate).permit():
        pass
    first, second, third, fourth = gate.asked
    assert (first.tenant, first.criticality) == ("ann", Criticality.SHEDDABLE)
    assert first.deadline_s == context.deadline_s
    assert (second.key, second.cost) == ("tea", 3)
    assert third.tenant == "bob"
    assert (fourth.tenant, fourth.deadline_s) == ("", None)


def test_shadow_lets_pass_and_tells() -> None:
    """A switched gate works as any other; what it would have refused is noted."""
    context = make_context()
    token = request_context.enter(context)
    gate = SwitchedGate(FakeGate(refuse=True), lambda: Mode.SHADOW)
    with guard(gate, scope="shop").permit():
        pass
    request_context.leave(token)
    assert [(each.policy, each.what) for each in context.notes] == [("limiter", "shadow-rejected")]
    assert gate.would_reject == 1


def test_a_refusal_is_noted_and_observed() -> None:
    """``squall explain`` and the observer hear of it."""
    heard: list[tuple[str, str, str]] = []

    class Ear:
        def on_decision(self, policy: str, what: str, scope: str, detail: Any) -> None:
            heard.append((policy, what, scope))

    context = make_context()
    token = request_context.enter(context)
    with pytest.raises(LimitExceeded), guard(FakeGate(refuse=True), observer=Ear()).permit():
        raise AssertionError("begun")
    request_context.leave(token)
    assert [(each.policy, each.what) for each in context.notes] == [("limiter", "rejected")]
    assert heard == [("limiter", "rejected", "limiter")]


def test_generators_are_refused() -> None:
    """Their body would run after the permit was settled."""

    def numbers() -> Iterator[int]:
        yield 1

    async def numbers_async() -> AsyncIterator[int]:
        yield 1

    with pytest.raises(TypeError, match="numbers is a generator"):
        guard(FakeGate())(numbers)
    with pytest.raises(TypeError, match="numbers_async is a generator"):
        guard(FakeGate())(numbers_async)


def test_what_is_no_policy_is_refused() -> None:
    """At once, not at the first call."""
    with pytest.raises(TypeError, match="neither admit nor offer"):
        guard(7)  # type: ignore[arg-type]


def test_repr_names_scope_and_policy() -> None:
    """As everything with state has it."""
    guarded = guard(Bulkhead(2), scope="shop>search")
    assert repr(guarded) == "<Guard shop>search <Bulkhead 0/2, waiting 0>>"
    assert repr(guard(Bulkhead(2))) == "<Guard bulkhead <Bulkhead 0/2, waiting 0>>"
