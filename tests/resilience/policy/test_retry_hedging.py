"""Hedging in the retry plan: a second try beside the first, from the same cap and budget."""

import math
import random
from collections.abc import Iterator

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from resilience.policy.budget import RetryBudget
from resilience.policy.contract import AttemptResult, GiveUp, Outcome, Try, WaitUntil
from resilience.policy.retry import DONE, RESULT_ONLY, RetryPlan, RetrySettings
from tests.golden import transcript

FAILED = AttemptResult("a", Outcome.FAILED)
HONOUR = RetrySettings(max_attempts=4, honour_pushback=True)


def hedged(
    budget: RetryBudget | None = None,
    settings: RetrySettings | None = None,
    *,
    idempotent: bool = True,
    deadline_s: float | None = None,
    delay_s: float = 0.5,
) -> RetryPlan:
    """Make a plan that hedges after half a second."""
    return RetryPlan(
        settings or RetrySettings(),
        budget or RetryBudget(),
        random.Random(1),
        idempotent=idempotent,
        deadline_s=deadline_s,
        hedge_delay_s=delay_s,
    )


@pytest.mark.paper
def test_each_delay_without_an_answer_sends_one_more_up_to_the_cap() -> None:
    """A6, "Hedging Policy": one at 0, two at 0.5, three at 1; then only results count."""
    plan = hedged()
    assert plan.next(0.0) == Try(())
    assert plan.next(0.0) == WaitUntil(0.5)
    assert plan.next(0.5) == Try(())
    assert plan.next(0.6) == WaitUntil(1.0)
    assert plan.next(1.0) == Try(())

    assert plan.next(9.0) == RESULT_ONLY == WaitUntil(math.inf)


def test_a_good_answer_ends_the_call_for_those_still_under_way() -> None:
    """The runner hears GiveUp with others under way, and cancels them."""
    plan = hedged()
    plan.next(0.0)
    plan.next(0.5)
    plan.on_result(AttemptResult("b", Outcome.OK), 0.6)

    assert plan.next(0.6) is DONE


def test_only_an_idempotent_call_is_hedged() -> None:
    """Two of it would do harm."""
    plan = hedged(idempotent=False)
    plan.next(0.0)

    assert plan.next(9.0) == RESULT_ONLY


@pytest.mark.paper
def test_a_failure_sends_the_next_at_once_and_the_delay_counts_from_there() -> None:
    """A6, summary 2.2: the next hedge immediately, later ones resume at hedgingDelay."""
    plan = hedged(settings=RetrySettings(max_attempts=4))
    plan.next(0.0)
    plan.next(0.5)
    plan.on_result(FAILED, 0.7)
    assert plan.next(0.7) == Try(("a",))

    assert plan.next(0.7) == WaitUntil(1.2)


def test_the_last_one_under_way_is_retried_after_a_back_off() -> None:
    """With nobody else under way a failure is an ordinary failure."""
    plan = hedged()
    plan.next(0.0)
    plan.on_result(FAILED, 0.1)

    step = plan.next(0.1)
    assert isinstance(step, WaitUntil)
    assert 0.1 < step.t_s < 0.125
    assert plan.next(0.125) == Try(("a",))


@pytest.mark.paper
def test_push_back_in_n_seconds_moves_the_next_hedge() -> None:
    """A6, summary 5.2: the next in n, later ones at n + hedgingDelay."""
    plan = hedged(settings=HONOUR)
    plan.next(0.0)
    plan.next(0.5)
    plan.on_result(AttemptResult("a", Outcome.OVERLOADED, False, 2.0), 0.6)
    assert plan.next(0.6) == WaitUntil(2.6)
    plan.on_result(FAILED, 0.8)
    assert plan.next(0.8) == WaitUntil(2.6)
    assert isinstance(plan.next(2.6), Try)

    assert plan.next(2.6) == WaitUntil(3.1)


@pytest.mark.paper
@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (AttemptResult("a", Outcome.OVERLOADED, False, -1.0), "PUSHED_BACK"),
        (AttemptResult("a", Outcome.OVERLOADED, False), "PUSHED_BACK"),
        (AttemptResult("a", Outcome.FAILED, deeper=True), "FAILED_DEEPER"),
        (AttemptResult("", Outcome.IGNORED, False), "REFUSED"),
    ],
)
def test_what_forbids_further_hedges_lets_the_others_finish(
    result: AttemptResult, reason: str
) -> None:
    """A6, summary 4.2: no more are sent; the one under way may still answer."""
    for answers in (True, False):
        plan = hedged(settings=HONOUR)
        plan.next(0.0)
        plan.next(0.5)
        plan.on_result(result, 0.6)
        assert plan.next(9.0) == RESULT_ONLY
        plan.on_result(AttemptResult("b", Outcome.OK) if answers else FAILED, 9.0)
        assert plan.next(9.0) == (DONE if answers else GiveUp(reason))


def test_a_spent_budget_forbids_the_hedge_and_not_a_later_retry() -> None:
    """The first attempt goes on; when it fails, the budget is asked anew."""
    budget = RetryBudget()
    for _ in range(3):
        budget.try_start_retry()
    plan = hedged(budget)
    plan.next(0.0)
    assert plan.next(0.5) == RESULT_ONLY
    assert plan.next(0.6) == RESULT_ONLY
    assert budget.refused == 1
    budget.on_retry_end()
    plan.on_result(FAILED, 0.7)

    assert isinstance(plan.next(0.7), WaitUntil)


def test_no_hedge_starts_at_or_after_the_deadline() -> None:
    """Nor is one waited for; the attempt under way has the rest of the time."""
    for deadline_s, step in ((0.5, RESULT_ONLY), (0.51, WaitUntil(0.5))):
        plan = hedged(deadline_s=deadline_s)
        plan.next(0.0)
        assert plan.next(0.1) == step
    assert plan.next(0.51) == RESULT_ONLY
    plan.on_result(FAILED, 0.6)

    assert plan.next(0.6) == GiveUp("DEADLINE_EXCEEDED")


def test_a_hedge_holds_a_retry_of_the_budget_until_one_of_them_ends() -> None:
    """Three under way hold two; whoever ends, never more retries than attempts under way."""
    budget = RetryBudget()
    plan = hedged(budget, RetrySettings(max_attempts=3))
    for now_s in (0.0, 0.5, 1.0):
        plan.next(now_s)
    assert budget.retries == 2
    plan.on_result(FAILED, 1.1)
    assert budget.retries == 2
    plan.on_result(FAILED, 1.2)
    assert budget.retries == 1
    plan.close()

    assert (budget.retries, budget.calls) == (0, 0)


class Hedging(RuleBasedStateMachine):
    """Any course of time and results, as a runner would drive it."""

    def __init__(self) -> None:
        super().__init__()
        self.budget = RetryBudget(0.0, 2)
        self.plan = hedged(self.budget, RetrySettings(4, honour_pushback=True), deadline_s=6.0)
        self.now_s = 0.0
        self.attempts = 0
        self.in_flight = 0
        self.over = False

    @precondition(lambda self: not self.over)
    @rule()
    def ask(self) -> None:
        step = self.plan.next(self.now_s)
        assert self.plan.next(self.now_s - 0.001) is not None  # asking twice does no harm
        if isinstance(step, Try):
            assert self.now_s < 6.0
            self.attempts += 1
            self.in_flight += 1
        elif isinstance(step, WaitUntil):
            assert step.t_s > self.now_s
            assert self.in_flight or step.t_s < 6.0
        else:
            self.over = True
            assert self.in_flight == 0 or step is DONE

    @rule(step_s=st.sampled_from([0.01, 0.2, 0.5, 3.0]))
    def wait(self, step_s: float) -> None:
        self.now_s += step_s

    @precondition(lambda self: self.in_flight and not self.over)
    @rule(
        outcome=st.sampled_from(list(Outcome)),
        retry_after_s=st.sampled_from([None, None, -1.0, 0.3]),
        deeper=st.booleans(),
    )
    def end(self, outcome: Outcome, retry_after_s: float | None, deeper: bool) -> None:
        self.in_flight -= 1
        result = AttemptResult("e", outcome, True, retry_after_s, deeper)
        self.plan.on_result(result, self.now_s)

    @invariant()
    def bounds_hold(self) -> None:
        """The cap, the budget's limit, and one retry for each attempt under way or due."""
        assert self.attempts <= 4
        assert self.budget.retries <= min(2, self.in_flight + 1)

    def teardown(self) -> None:
        self.plan.close()
        self.plan.close()
        assert (self.budget.calls, self.budget.retries) == (0, 0)


Hedging.TestCase.settings = hypothesis_settings(
    max_examples=50, stateful_step_count=20, deadline=None
)
TestHedging = Hedging.TestCase


def said(step: Try | WaitUntil | GiveUp) -> str:
    """Say a step in words."""
    if isinstance(step, Try):
        return f"try, not at {' or '.join(step.exclude)}" if step.exclude else "try anywhere"
    if isinstance(step, GiveUp):
        return f"give up: {step.reason}"
    return "wait for a result" if step == RESULT_ONLY else f"wait until {step.t_s:.3f} s"


def told(plan: RetryPlan, times_and_results: list[float | AttemptResult]) -> Iterator[str]:
    """Drive a plan through times and results, and tell what it says."""
    now_s = 0.0
    for each in times_and_results:
        if isinstance(each, AttemptResult):
            plan.on_result(each, now_s)
            after = "" if each.retry_after_s is None else f", come back in {each.retry_after_s:g} s"
            yield f"          {each.endpoint}: {each.outcome.value}{after}"
            continue
        now_s = each
        yield f"{now_s:6.3f} s  next -> {said(plan.next(now_s))}"


@pytest.mark.golden
def test_the_plan_tells_its_story() -> None:
    """A retry, a push-back, a hedge that wins, one that fails, and a spent budget."""
    lines = ["A call that fails twice"]
    lines += told(
        RetryPlan(RetrySettings(), RetryBudget(), random.Random(1), idempotent=True, deadline_s=1),
        [0.0, FAILED, 0.0, 0.004, AttemptResult("b", Outcome.FAILED), 0.2, DONE_BY_C, 0.3],
    )
    for honour in (False, True):
        lines += ["", f"A limiter that asks for less, honour_pushback={honour}"]
        plan = RetryPlan(
            RetrySettings(honour_pushback=honour),
            RetryBudget(),
            random.Random(1),
            idempotent=True,
            deadline_s=1.0,
        )
        lines += told(plan, [0.0, PUSHED_BACK, 0.1, *([0.3] if honour else [])])
    lines += ["", "A slow one, hedged after 0.5 s; the hedge answers"]
    lines += told(hedged(), [0.0, 0.0, 0.5, 0.5, DONE_BY_C, 0.6])
    lines += ["", "The same; the hedge fails, so a third goes at once, and the first answers"]
    lines += told(hedged(), [0.0, 0.5, FAILED, 0.6, 0.6, DONE_BY_C, 0.7])
    lines += ["", "The same, while others have spent the budget"]
    lines += told(hedged(RetryBudget(0.0, 0)), [0.0, 0.5, FAILED, 0.6])
    transcript.check("retry_plan", lines)


DONE_BY_C = AttemptResult("c", Outcome.OK)
PUSHED_BACK = AttemptResult("a", Outcome.OVERLOADED, False, 0.2)
