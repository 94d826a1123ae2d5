"""Finagle's budget: a share of the calls of ten seconds, and a trickle for who calls seldom."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from resilience.policy import finagle_budget
from resilience.policy.budget import SwitchedBudget
from resilience.policy.contract import Mode
from resilience.policy.finagle_budget import FinagleBudget
from tests.golden import transcript


def start_calls(budget: FinagleBudget, count: int, now_s: float) -> None:
    """Begin and end so many calls at once."""
    for _ in range(count):
        budget.on_call_start(now_s)
        budget.on_call_end(answered=True)


def retries_allowed(budget: FinagleBudget, now_s: float) -> int:
    """Take retries until one is refused; hand them all back."""
    taken = 0
    while budget.try_start_retry(now_s):
        budget.on_retry_end()
        taken += 1
    return taken


def test_defaults_are_those_of_finagle() -> None:
    """20 per cent, 10 a second, 10 s."""
    assert (finagle_budget.RETRY_RATIO, finagle_budget.MIN_RETRIES_PER_S) == (0.2, 10.0)
    assert (finagle_budget.TTL_S, finagle_budget.SLICES, finagle_budget.DEPOSIT) == (10.0, 10, 1000)
    budget = FinagleBudget()
    assert (budget.ratio, budget.min_retries_per_s, budget.ttl_s) == (0.2, 10.0, 10.0)


@pytest.mark.paper
def test_a_quiet_client_has_ten_seconds_of_ten_a_second() -> None:
    """Finagle's RetryBudget.apply: reserve = minRetriesPerSec × ttl."""
    assert retries_allowed(FinagleBudget(), 0.0) == 100


@pytest.mark.paper
@pytest.mark.parametrize(("ratio", "calls", "allowed"), [(0.2, 100, 20), (0.1, 10, 1), (2.0, 3, 6)])
def test_calls_earn_their_share_of_retries(ratio: float, calls: int, allowed: int) -> None:
    """RetryBudget.scala's own examples: 0.1 earns 1 of 10 calls, 2.0 earns 2 of each."""
    budget = FinagleBudget(ratio, 0.0)
    start_calls(budget, calls, 0.0)

    assert retries_allowed(budget, 0.0) == allowed
    assert budget.refused == 1


def test_four_calls_earn_nothing_and_the_fifth_a_retry() -> None:
    """A balance of just one is enough, a hair less is not."""
    budget = FinagleBudget(0.2, 0.0)
    start_calls(budget, 4, 0.0)
    assert not budget.has_room(0.0)
    start_calls(budget, 1, 0.0)

    assert budget.has_room(0.0)
    assert budget.balance(0.0) == 1.0


def test_without_a_share_only_the_trickle_is_left() -> None:
    """A ratio of 0 earns nothing; without a trickle too, nobody retries at all."""
    budget = FinagleBudget(0.0, 2.0, 5.0)
    start_calls(budget, 1000, 0.0)
    assert retries_allowed(budget, 0.0) == 10

    assert retries_allowed(FinagleBudget(0.0, 0.0), 0.0) == 0


def test_what_calls_earned_expires_after_the_ttl() -> None:
    """Ten slices of a second: what was earned at 0 s counts until 9.9 and not at 10."""
    budget = FinagleBudget(0.2, 0.0)
    start_calls(budget, 10, 0.0)
    assert budget.balance(9.9) == 2.0

    assert budget.balance(10.0) == 0.0


def test_retries_outlive_the_calls_that_paid_for_them() -> None:
    """Spent late, they weigh on the reserve until they expire themselves: Finagle's arithmetic."""
    budget = FinagleBudget(0.2, 1.0)
    start_calls(budget, 100, 0.0)
    for _ in range(20):
        assert budget.try_start_retry(9.0)
    assert budget.balance(9.0) == 10.0

    assert budget.balance(10.0) == -10.0
    assert not budget.try_start_retry(10.0)
    assert budget.balance(19.0) == 10.0


def test_a_forced_retry_makes_no_debt() -> None:
    """With the switch off a hundred retries start, and turning it on finds a balance of 0."""
    switch = [Mode.OFF]
    budget = FinagleBudget(0.2, 0.0)
    switched = SwitchedBudget(budget, lambda: switch[0])
    switched.on_call_start(0.0)
    assert all(switched.try_start_retry(0.0) for _ in range(100))
    assert (budget.balance(0.0), budget.retries) == (0.0, 100)

    switch[0] = Mode.ON
    assert not switched.try_start_retry(0.0)


def test_a_missing_time_is_an_error_and_not_a_standstill() -> None:
    """Whoever forgets ``now_s`` hears of it at once."""
    with pytest.raises(ValueError, match="NaN"):
        FinagleBudget().on_call_start()


def test_reset_forgets_the_window_and_keeps_what_is_under_way() -> None:
    """A retry out is a retry out."""
    budget = FinagleBudget()
    budget.on_call_start(0.0)
    budget.try_start_retry(0.0)
    budget.reset(1.0)

    assert (budget.calls, budget.retries, budget.spent, budget.refused) == (1, 1, 0, 0)
    assert budget.snapshot()["balance"] == 100.0
    assert repr(budget) == "<FinagleBudget 1 retries in 1 calls>"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((-0.1,), "ratio=-0.1 must be 0 to 1000"),
        ((1000.5,), "ratio=1000.5 must be 0 to 1000"),
        ((0.2, -1.0), "min_retries_per_s=-1.0 >= 0"),
        ((0.2, 10.0, 0.9), "ttl_s=0.9 must be 1 to 60"),
        ((0.2, 10.0, 60.5), "ttl_s=60.5 must be 1 to 60"),
    ],
)
def test_impossible_settings_are_refused(arguments: tuple[float, ...], words: str) -> None:
    """Finagle's own bounds; the message names the value and the range."""
    with pytest.raises(ValueError, match=words):
        FinagleBudget(*arguments)


def test_the_bounds_themselves_are_allowed() -> None:
    """0 and 1000, 1 s and 60 s."""
    FinagleBudget(0.0, 0.0, 1.0)
    assert retries_allowed(FinagleBudget(1000.0, 0.0, 60.0), 0.0) == 0


class Spending(RuleBasedStateMachine):
    """Any order of calls, retries and time."""

    def __init__(self) -> None:
        super().__init__()
        self.budget = FinagleBudget(0.25, 1.0, 4.0)
        self.now_s = 0.0
        self.calls_at: list[float] = []
        self.retries_at: list[float] = []

    @rule(step_s=st.sampled_from([0.1, 0.4, 1.0, 5.0]))
    def wait(self, step_s: float) -> None:
        self.now_s += step_s

    @rule(count=st.integers(1, 20))
    def call(self, count: int) -> None:
        start_calls(self.budget, count, self.now_s)
        self.calls_at += [self.now_s] * count

    @rule()
    def retry(self) -> None:
        had_room = self.budget.has_room(self.now_s)
        assert self.budget.try_start_retry(self.now_s) is had_room
        if had_room:
            self.retries_at.append(self.now_s)
            self.budget.on_retry_end()

    @invariant()
    def no_more_than_the_share_and_the_reserve(self) -> None:
        """Counted anew from the times themselves, over the slices still remembered."""
        first = int(self.now_s // 0.4) - 9
        calls = sum(int(at_s // 0.4) >= first for at_s in self.calls_at)
        retries = sum(int(at_s // 0.4) >= first for at_s in self.retries_at)
        assert self.budget.balance(self.now_s) == calls / 4 - retries + 4
        late = [at_s for at_s in self.retries_at if at_s == self.now_s]
        assert not late or retries <= calls / 4 + 4
        assert self.budget.retries == 0


Spending.TestCase.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
TestSpending = Spending.TestCase


@pytest.mark.golden
def test_a_minute_of_finagle_s_budget() -> None:
    """A quiet start, a busy time, an outage, and what is left after it."""
    budget = FinagleBudget(0.2, 1.0)
    lines = ["20 % of the calls of 10 s, and 1 a second: what a client may retry", ""]

    def tell(now_s: float, what: str) -> None:
        lines.append(f"{now_s:4.0f} s  {what:42}  balance {budget.balance(now_s):6.1f}")

    tell(0, "nobody has called")
    for second in range(5):
        start_calls(budget, 50, second)
    tell(4, "50 calls a second for 5 s, all answered")
    for second in range(5, 9):
        start_calls(budget, 50, second)
        started = sum(budget.try_start_retry(second) for _ in range(50))
        tell(second, f"50 calls, all fail: {started} of 50 retry")
    tell(15, "nobody calls: what had paid expires first")
    tell(18, "and then the retries")
    transcript.check("finagle_budget", lines)
