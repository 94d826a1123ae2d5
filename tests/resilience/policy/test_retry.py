"""Retry plan: what is tried again, when, where, and why it stops."""

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.policy import retry
from resilience.policy.backoff import Growth, Jitter
from resilience.policy.budget import RetryBudget
from resilience.policy.contract import AttemptResult, GiveUp, Outcome, Try, WaitUntil
from resilience.policy.finagle_budget import FinagleBudget
from resilience.policy.retry import RetryPlan, RetrySettings
from resilience.policy.token_throttle import TokenThrottle

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
    """Base 25 ms, cap 250 ms, full jitter; three attempts; push-back goes up."""
    assert (retry.MAX_ATTEMPTS, retry.MAX_PUSHBACK_S) == (3, 300.0)
    assert RetrySettings() == RetrySettings(
        max_attempts=3,
        base_s=0.025,
        cap_s=0.25,
        jitter=Jitter.FULL,
        growth=Growth.ENVOY,
        multiplier=2.0,
        honour_pushback=False,
        max_pushback_s=300.0,
    )


@pytest.mark.parametrize(
    ("jitter", "wait_s"),
    [(Jitter.NONE, 1.0), (Jitter.FULL, 0.5), (Jitter.EQUAL, 0.75), (Jitter.DECORRELATED, 2.0)],
)
def test_a_half_drawn_is_another_wait_with_each_jitter(jitter: Jitter, wait_s: float) -> None:
    """The first step is 1 s: all of it, half, three quarters, and midway from 1 to 3 s."""
    settings = RetrySettings(base_s=1.0, cap_s=9.0, jitter=jitter, growth=Growth.EXPONENTIAL)

    assert settings.backoff_s(1, Half()) == wait_s


@pytest.mark.parametrize(
    ("name", "bad", "good"),
    [
        ("max_attempts", 0, 1),
        ("base_s", -0.001, 0.0),
        ("base_s", math.inf, 9e9),
        ("cap_s", -0.001, 0.0),
        ("cap_s", math.nan, 9e9),
        ("multiplier", 0.99, 1.0),
        ("multiplier", math.inf, 9e9),
        ("max_pushback_s", -1.0, 0.0),
        ("max_pushback_s", math.inf, 9e9),
    ],
)
def test_impossible_settings_are_refused(name: str, bad: float, good: float) -> None:
    """The message names the value; the bound itself is allowed."""
    with pytest.raises(ValueError, match=f"{name}={bad}".replace("+", ".")):
        RetrySettings(**{name: bad})  # type: ignore[arg-type]

    assert getattr(RetrySettings(**{name: good}), name) == good  # type: ignore[arg-type]


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


HONOUR = RetrySettings(honour_pushback=True, max_pushback_s=10.0)


def test_push_back_that_names_a_time_is_honoured_when_asked_to() -> None:
    """A6: in exactly n seconds, without jitter, as one of the attempts."""
    budget = RetryBudget()
    plan = make_plan(budget, HONOUR)
    plan.next(0.0)
    plan.on_result(AttemptResult("a", Outcome.OVERLOADED, False, retry_after_s=2.0), 1.0)
    assert (plan.next(1.0), budget.retries) == (WaitUntil(3.0), 1)
    assert plan.next(3.0) == Try(("a",))
    plan.on_result(AttemptResult("b", Outcome.OVERLOADED, False, retry_after_s=0.0), 3.0)
    assert plan.next(3.0) == Try(("a", "b"))
    plan.on_result(AttemptResult("c", Outcome.OVERLOADED, False, retry_after_s=1.0), 4.0)

    assert plan.next(4.0) == GiveUp("ATTEMPTS_SPENT")


@pytest.mark.paper
def test_after_an_honoured_push_back_the_back_off_begins_anew() -> None:
    """A6, summary 5.1: the delay resets to the initial back-off, 12.5 ms of at most 25."""
    plan = make_plan(settings=replace(HONOUR, max_attempts=9))
    plan.next(0.0)
    plan.on_result(FAILED, 0.0)
    plan.next(1.0)
    plan.on_result(FAILED, 1.0)
    assert plan.next(1.0) == WaitUntil(1.0375)
    plan.next(2.0)
    plan.on_result(AttemptResult("a", Outcome.FAILED, retry_after_s=1.0), 2.0)
    plan.next(3.0)
    plan.on_result(FAILED, 3.0)

    assert plan.next(3.0) == WaitUntil(3.0125)


@pytest.mark.parametrize(
    ("retry_after_s", "settings", "reason"),
    [
        (1.0, RetrySettings(), "PUSHED_BACK"),
        (-1.0, HONOUR, "PUSHED_BACK"),
        (10.5, HONOUR, "PUSHED_BACK"),
        (math.inf, HONOUR, "PUSHED_BACK"),
        (None, HONOUR, "PUSHED_BACK"),
        (5.0, HONOUR, "DEADLINE_EXCEEDED"),
    ],
)
def test_push_back_that_ends_the_call(
    retry_after_s: float | None, settings: RetrySettings, reason: str
) -> None:
    """Not asked for, "don't retry", too long, without a time, at or after the deadline."""
    budget = RetryBudget()
    plan = make_plan(budget, settings, deadline_s=5.0)
    plan.next(0.0)
    plan.on_result(AttemptResult("a", Outcome.OVERLOADED, False, retry_after_s), 0.0)

    assert (plan.next(0.0), budget.spent) == (GiveUp(reason), 0)


def test_the_longest_push_back_is_honoured_and_needs_idempotency_too() -> None:
    """Ten seconds of ten; work that may have begun is not done twice for a friendly word."""
    for started, step in ((False, WaitUntil(10.0)), (True, GiveUp("NOT_IDEMPOTENT"))):
        plan = make_plan(settings=HONOUR, idempotent=False)
        plan.next(0.0)
        plan.on_result(AttemptResult("a", Outcome.FAILED, started, retry_after_s=10.0), 0.0)
        assert plan.next(0.0) == step


def test_decorrelated_waits_follow_one_another() -> None:
    """The plan remembers the last wait: one half between 1 and 3, then between 1 and 6."""
    settings = RetrySettings(base_s=1.0, cap_s=60.0, jitter=Jitter.DECORRELATED)
    plan = make_plan(settings=settings)
    plan.next(0.0)
    plan.on_result(FAILED, 0.0)
    assert plan.next(0.0) == WaitUntil(2.0)
    plan.next(2.0)
    plan.on_result(FAILED, 2.0)

    assert plan.next(2.0) == WaitUntil(2.0 + 3.5)


def test_the_throttle_hears_of_each_failed_attempt_and_of_the_answer() -> None:
    """gRPC's throttle: two failures and an answer leave 8.1 of 10; a caller's leaving nothing."""
    throttle = TokenThrottle()
    plan = RetryPlan(RetrySettings(), throttle, Half(), idempotent=True, deadline_s=None)
    for outcome in (Outcome.FAILED, Outcome.OVERLOADED):
        plan.next(9.0)
        plan.on_result(AttemptResult("a", outcome), 9.0)
    plan.answered = True
    plan.close()
    assert throttle.tokens == 8.1
    for outcome in (Outcome.IGNORED, Outcome.OK):
        other = RetryPlan(RetrySettings(), throttle, Half(), idempotent=True, deadline_s=None)
        other.next(9.0)
        other.on_result(AttemptResult("a", outcome), 9.0)
        other.close()

    assert throttle.tokens == 8.1


def test_a_budget_that_needs_the_time_is_given_it() -> None:
    """Finagle's, of five calls a retry and no trickle: the fifth call may retry."""
    budget = FinagleBudget(0.2, 0.0)
    ends = []
    for second in range(5):
        now_s = float(second)
        plan = RetryPlan(
            RetrySettings(), budget, Half(), idempotent=True, deadline_s=None, now_s=now_s
        )
        plan.next(now_s)
        plan.on_result(FAILED, now_s)
        ends.append(isinstance(plan.next(now_s), WaitUntil))
        plan.close()

    assert ends == [False, False, False, False, True]


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
