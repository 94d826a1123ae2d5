"""Client pipeline: the order of its stages, what each refusal costs, who teaches whom what."""

import asyncio
import random
import time

import pytest

from resilience.context import Context, Cut, enter, leave
from resilience.errors import (
    BreakerOpen,
    Code,
    DeadlineExpired,
    LimitExceeded,
    Rejected,
    ServiceError,
    UpstreamReset,
    UpstreamStatus,
    UpstreamTimeout,
)
from resilience.pipeline import ClientPipeline
from resilience.policy.budget import RetryBudget
from resilience.policy.bulkhead import Bulkhead
from resilience.policy.contract import Mode, Outcome, Request
from resilience.policy.retry import RetrySettings
from resilience.switches import FixedSwitches
from tests.resilience.fakes import FakeGate, FakePicker, make_context

QUICK = RetrySettings(base_s=0.0, cap_s=0.0)


class World:
    """A pipeline with everything around it in reach."""

    def __init__(
        self,
        *endpoints: str,
        per_try_timeout_s: float | None = None,
        bulkhead: Bulkhead | None = None,
        **modes: Mode,
    ) -> None:
        self.switches = FixedSwitches(modes)
        self.picker = FakePicker(*(endpoints or ("a", "b")))
        self.breaker = FakeGate("breaker")
        self.bulkhead = bulkhead or Bulkhead(2)
        self.budget = RetryBudget()
        self.pipeline = ClientPipeline(
            "video",
            self.picker,
            self.switches,
            breaker=self.breaker,
            bulkhead=self.bulkhead,
            budget=self.budget,
            retry=QUICK,
            per_try_timeout_s=per_try_timeout_s,
            scope="gateway>video",
            rng=random.Random(1),
        )
        self.sent: list[tuple[str, float | None]] = []

    def answer(self, *endings: object) -> object:
        """Make a ``send`` that ends its attempts like this, in turn; the last one repeats."""
        remaining = list(endings)

        async def send(endpoint: str, timeout_s: float | None) -> object:
            self.sent.append((endpoint, timeout_s))
            ending = remaining.pop(0) if len(remaining) > 1 else remaining[0]
            if ending == "hang":
                await asyncio.sleep(60)
            await asyncio.sleep(0)
            if isinstance(ending, BaseException):
                raise ending
            return ending

        return send

    async def call(self, *endings: object, idempotent: bool = True, **request: float) -> object:
        return await self.pipeline.call(
            self.answer(*endings),  # type: ignore[arg-type]
            Request(**request) if request else None,  # type: ignore[arg-type]
            idempotent=idempotent,
        )

    def assert_balanced(self) -> None:
        """Nothing taken is still out."""
        assert self.breaker.in_flight == 0
        assert (self.bulkhead.in_flight, self.bulkhead.waiting) == (0, 0)
        assert (self.budget.calls, self.budget.retries) == (0, 0)
        assert +self.picker.active == {}


def broken() -> UpstreamReset:
    """Make the error of a connection that broke."""
    return UpstreamReset(Code.BAD_GATEWAY, "UPSTREAM_RESET", "broke")


def inside(context: Context) -> "_Inside":
    """Make a context current for a with block."""
    return _Inside(context)


class _Inside:
    def __init__(self, context: Context) -> None:
        self._token = enter(context)

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        leave(self._token)


async def test_an_answer_comes_back_and_teaches_ok() -> None:
    """One attempt, everything given back."""
    world = World()

    assert await world.call("answer") == "answer"
    assert world.sent == [("a", None)]
    assert world.breaker.outcomes == [Outcome.OK]
    assert world.picker.finished == [("a", Outcome.OK)]
    world.assert_balanced()


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


async def test_cancelling_at_any_step_leaks_nothing() -> None:
    """Cancelled at its n-th turn for every n, the call gives back all it took."""
    for turns in range(40):
        world = World(bulkhead=Bulkhead(1, 5), per_try_timeout_s=5.0)
        blocker = asyncio.ensure_future(world.call(broken(), broken(), "answer"))
        victim = asyncio.ensure_future(world.call(broken(), broken(), "answer"))
        for _ in range(turns):
            await asyncio.sleep(0)
        victim.cancel()
        await asyncio.gather(victim, blocker, return_exceptions=True)
        world.assert_balanced()
        assert blocker.result() == "answer"


async def test_cancelling_a_backoff_gives_the_retry_back() -> None:
    """The budget holds waiting retries too, and only as long as they wait."""
    world = World()
    world.pipeline._retry = RetrySettings(base_s=60.0, cap_s=60.0)
    calling = asyncio.ensure_future(world.call(broken()))
    for _ in range(10):
        await asyncio.sleep(0)
    assert world.budget.retries == 1
    calling.cancel()
    await asyncio.gather(calling, return_exceptions=True)

    world.assert_balanced()


async def test_a_foreign_error_passes_as_it_is() -> None:
    """A bug in ``send`` is not dressed up."""
    world = World(retry=Mode.OFF)
    with pytest.raises(ZeroDivisionError):
        await world.call(ZeroDivisionError())

    assert world.breaker.outcomes == [Outcome.FAILED]
    assert not issubclass(ZeroDivisionError, ServiceError)


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
