"""Retry plan: what is tried again, when, where, and why it stops."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.policy import retry
from resilience.policy.budget import RetryBudget
from resilience.policy.contract import AttemptResult, GiveUp, Outcome, Try, WaitUntil
from resilience.policy.retry import RetryPlan, RetrySettings

FAILED = AttemptResult("video.1", Outcome.FAILED)


class Half(random.Random):
    """Draw one half."""

    def random(self) -> float:
        return 0.5


def make_plan(
    budget: RetryBudget | None = None,
    settings: RetrySettings | None = None,
    *,
    idempotent: bool = True,
    deadline_s: float | None = None,
) -> RetryPlan:
    """Make a plan for one call."""
    return RetryPlan(
        settings or RetrySettings(),
        budget or RetryBudget(),
        Half(),
        idempotent=idempotent,
        deadline_s=deadline_s,
    )


def test_defaults_are_those_of_envoy() -> None:
    """Base 25 ms, cap 250 ms; three attempts."""
    assert (retry.MAX_ATTEMPTS, retry.BACKOFF_BASE_S, retry.BACKOFF_CAP_S) == (3, 0.025, 0.25)
    assert RetrySettings() == RetrySettings(max_attempts=3, base_s=0.025, cap_s=0.25)


@pytest.mark.paper
def test_backoff_is_full_jitter_over_envoy_s_steps() -> None:
    """Envoy router_filter.rst: up to 25, 75, 175, then 250 ms."""
    settings = RetrySettings()

    assert [settings.backoff_s(number, Half()) for number in range(1, 6)] == pytest.approx(
        [0.5 * limit_s for limit_s in (0.025, 0.075, 0.175, 0.25, 0.25)]
    )


def test_a_failed_call_goes_elsewhere_after_its_backoff() -> None:
    """The second try excludes where the first failed, and waits 12.5 ms of at most 25."""
    plan = make_plan()
    assert plan.next(0.0) == Try(())
    plan.on_result(FAILED, 1.0)

    assert plan.next(1.0) == WaitUntil(1.0125)
    assert plan.next(1.0125) == Try(("video.1",))


def test_attempts_end() -> None:
    """Three failures end the call."""
    plan = make_plan()
    for number in range(3):
        assert isinstance(plan.next(float(number)), Try)
        plan.on_result(FAILED, float(number))

    assert plan.next(9.0) == GiveUp("ATTEMPTS_SPENT")
    assert repr(plan) == "<RetryPlan attempt 3/3 ATTEMPTS_SPENT>"


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (AttemptResult("a", Outcome.OK), "DONE"),
        (AttemptResult("a", Outcome.IGNORED), "DONE"),
        (AttemptResult("a", Outcome.OVERLOADED, started=False), "PUSHED_BACK"),
        (AttemptResult("a", Outcome.FAILED, retry_after_s=1.0), "PUSHED_BACK"),
        (AttemptResult("a", Outcome.FAILED, deeper=True), "FAILED_DEEPER"),
    ],
)
def test_what_is_never_tried_again(result: AttemptResult, reason: str) -> None:
    """Success, push-back, and failures further down end even an idempotent call."""
    plan = make_plan()
    plan.next(0.0)
    plan.on_result(result, 0.0)

    assert plan.next(0.0) == GiveUp(reason)


def test_without_idempotency_only_unstarted_work_is_tried_again() -> None:
    """A refused connection proves that nothing ran; a reset proves nothing."""
    plan = make_plan(idempotent=False)
    plan.next(0.0)
    plan.on_result(AttemptResult("a", Outcome.FAILED, started=False), 0.0)
    assert isinstance(plan.next(0.0), WaitUntil)
    assert isinstance(plan.next(1.0), Try)
    plan.on_result(FAILED, 1.0)

    assert plan.next(1.0) == GiveUp("NOT_IDEMPOTENT")


def test_a_spent_budget_ends_the_call() -> None:
    """With three retries under way elsewhere there is no fourth."""
    budget = RetryBudget()
    for _ in range(3):
        budget.try_start_retry()
    plan = make_plan(budget)
    plan.next(0.0)
    plan.on_result(FAILED, 0.0)

    assert plan.next(0.0) == GiveUp("RETRY_BUDGET_SPENT")
    plan.close()
    assert (budget.retries, budget.calls) == (3, 0)


def test_no_retry_starts_at_or_after_the_deadline() -> None:
    """A back-off that would end too late ends the call at once, and costs no budget."""
    budget = RetryBudget()
    plan = make_plan(budget, deadline_s=1.01)
    plan.next(0.0)
    plan.on_result(FAILED, 1.0)

    assert plan.next(1.0) == GiveUp("DEADLINE_EXCEEDED")
    assert budget.spent == 0


def test_a_spent_deadline_starts_nothing() -> None:
    """Not even the first attempt."""
    assert make_plan(deadline_s=1.0).next(1.0) == GiveUp("DEADLINE_EXCEEDED")


def test_closing_gives_the_budget_back_whenever_it_happens() -> None:
    """In a back-off, in a retry, twice: nothing stays behind."""
    budget = RetryBudget()
    plan = make_plan(budget)
    plan.next(0.0)
    plan.on_result(FAILED, 0.0)
    assert (budget.calls, budget.retries) == (1, 1)
    plan.close()
    plan.close()

    assert (budget.calls, budget.retries) == (0, 0)


@given(
    st.lists(
        st.tuples(st.sampled_from(list(Outcome)), st.booleans(), st.floats(0, 0.5)), max_size=8
    ),
    st.booleans(),
    st.floats(0.1, 2.0),
)
def test_attempts_deadline_and_budget_hold_for_any_course(
    course: list[tuple[Outcome, bool, float]], idempotent: bool, deadline_s: float
) -> None:
    """At most three attempts, none at or after the deadline, the budget balanced at the end."""
    budget = RetryBudget()
    plan = make_plan(budget, idempotent=idempotent, deadline_s=deadline_s)
    now_s, attempts = 0.0, 0
    for outcome, started, took_s in course:
        step = plan.next(now_s)
        if isinstance(step, WaitUntil):
            now_s = step.t_s
            step = plan.next(now_s)
        if isinstance(step, GiveUp):
            break
        assert isinstance(step, Try)
        assert now_s < deadline_s
        attempts += 1
        now_s += took_s
        plan.on_result(AttemptResult(f"e{attempts}", outcome, started), now_s)
        assert budget.retries <= 1
    plan.close()

    assert attempts <= 3
    assert (budget.calls, budget.retries) == (0, 0)
