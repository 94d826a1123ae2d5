"""Retry budget: a share of what is under way, with a floor."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.policy import budget
from resilience.policy.budget import UNTIMED_S, CountingBudget, RetryBudget, SwitchedBudget
from resilience.policy.contract import Mode
from tests.golden import transcript


def test_defaults_are_those_of_envoy() -> None:
    """20 per cent of what is under way, at least 3."""
    assert (budget.RETRY_RATIO, budget.MIN_RETRY_CONCURRENCY) == (0.2, 3)
    assert (RetryBudget().ratio, RetryBudget().min_concurrency) == (0.2, 3)


def test_an_idle_client_may_retry_three_at_once() -> None:
    """The floor lets single calls retry at all; the fourth is refused and counted."""
    spent = RetryBudget()
    spent.on_call_start()

    assert [spent.try_start_retry() for _ in range(4)] == [True, True, True, False]
    assert spent.snapshot() == {"calls": 1, "retries": 3, "room": 3, "spent": 3, "refused": 1}
    spent.on_retry_end()
    assert spent.try_start_retry()


def test_a_busy_client_may_retry_a_fifth() -> None:
    """A hundred calls under way carry twenty retries."""
    busy = RetryBudget()
    for _ in range(100):
        busy.on_call_start()

    assert sum(busy.try_start_retry() for _ in range(50)) == 20
    assert repr(busy) == "<RetryBudget 20 retries in 100 calls>"


def test_reset_forgets_counters_and_keeps_what_is_under_way() -> None:
    """A permit out is a permit out."""
    spent = RetryBudget()
    spent.on_call_start()
    spent.try_start_retry()
    spent.reset(0.0)

    assert (spent.calls, spent.retries, spent.spent, spent.refused) == (1, 1, 0, 0)


def test_ending_what_never_began_is_an_assertion_error() -> None:
    """Unbalanced use is a bug of the caller."""
    with pytest.raises(AssertionError, match="calls"):
        RetryBudget().on_call_end()
    with pytest.raises(AssertionError, match="retries"):
        RetryBudget().on_retry_end()


@given(st.lists(st.sampled_from(["start", "end", "retry", "retry end"]), max_size=200))
def test_a_retry_never_starts_above_the_share_or_the_floor(steps: list[str]) -> None:
    """Whatever the order, at each start retries stay within max(3, 20 %)."""
    spent = RetryBudget()
    for step in steps:
        if step == "start":
            spent.on_call_start()
        elif step == "end" and spent.calls:
            spent.on_call_end()
        elif step == "retry" and spent.try_start_retry():
            assert spent.retries <= max(3, 0.2 * spent.calls + 1)
        elif step == "retry end" and spent.retries:
            spent.on_retry_end()


def switched(*modes: Mode) -> SwitchedBudget:
    """Make one whose switch stands so, one position after the other."""
    positions = iter(modes)
    return SwitchedBudget(RetryBudget(), lambda: next(positions))


def test_a_budget_switched_off_refuses_nobody() -> None:
    """Ten retries of one call, where the floor is three; nothing is said to be refused."""
    free = switched(*[Mode.OFF] * 10)
    free.on_call_start()

    assert all(free.try_start_retry() for _ in range(10))
    figures = free.snapshot()
    assert (figures["retries"], figures["refused"], figures["would_refuse"]) == (10, 0, 0)


def test_a_budget_in_shadow_counts_what_it_would_refuse() -> None:
    """Two of five are over the floor of three, and start all the same."""
    shadow = switched(*[Mode.SHADOW] * 5)
    shadow.on_call_start()

    assert all(shadow.try_start_retry() for _ in range(5))
    assert shadow.snapshot()["would_refuse"] == 2
    shadow.reset(0.0)
    assert (shadow.would_refuse, shadow.budget.retries) == (0, 5)


def test_the_switch_may_move_while_retries_are_under_way() -> None:
    """Retries begun while it was off are handed back, and count while they last."""
    moved = switched(Mode.OFF, Mode.OFF, Mode.OFF, Mode.ON, Mode.ON)
    moved.on_call_start()

    assert [moved.try_start_retry() for _ in range(4)] == [True, True, True, False]
    moved.on_retry_end()
    assert moved.try_start_retry()
    for _ in range(3):
        moved.on_retry_end()
    moved.on_call_end()
    assert (moved.budget.calls, moved.budget.retries) == (0, 0)


@pytest.mark.parametrize(
    ("ratio", "floor", "words"),
    [(-0.1, 3, "ratio=-0.1"), (1.1, 3, "0 to 1"), (0.2, -1, "min_concurrency=-1 >= 0")],
)
def test_impossible_settings_are_refused(ratio: float, floor: int, words: str) -> None:
    """The message names the value and the range."""
    with pytest.raises(ValueError, match=words):
        RetryBudget(ratio, floor)


def test_the_bounds_themselves_are_allowed() -> None:
    """No retries at all, or as many as calls."""
    none, all_of_them = RetryBudget(0.0, 0), RetryBudget(1.0, 0)
    for each in (none, all_of_them):
        each.on_call_start()

    assert (none.try_start_retry(), all_of_them.try_start_retry()) == (False, True)


def test_a_budget_of_one_s_own_says_when_there_is_room() -> None:
    """The base counts; it has no opinion of its own."""

    class Never(CountingBudget):
        def has_room(self, now_s: float = UNTIMED_S) -> bool:
            return False

    never = SwitchedBudget(Never(), lambda: Mode.ON)
    assert not never.try_start_retry(0.0)
    assert repr(never) == "<SwitchedBudget on <Never 0 retries in 0 calls>>"
    with pytest.raises(TypeError, match="has_room"):
        CountingBudget()  # type: ignore[abstract] # which the type checker refuses too


@pytest.mark.golden
def test_an_outage_as_envoy_s_budget_sees_it() -> None:
    """Calls that hang make room, calls that end take it away."""
    shared = RetryBudget()
    lines = ["20 % of the calls under way, at least 3: what all callers may retry together", ""]

    def tell(what: str) -> None:
        started = 0
        while shared.try_start_retry():
            started += 1
        lines.append(f"{what:34}  {started:2} more retries start, {shared.retries:2} under way")

    tell("nothing under way")
    for _ in range(10):
        shared.on_call_start()
    tell("10 calls under way")
    for _ in range(40):
        shared.on_call_start()
    tell("50 calls under way")
    for _ in range(4):
        shared.on_retry_end()
    tell("4 retries ended")
    for _ in range(45):
        shared.on_call_end()
    for _ in range(8):
        shared.on_retry_end()
    tell("45 calls and 8 retries ended")
    transcript.check("retry_budget", lines)
