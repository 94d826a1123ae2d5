"""Retry budget: let retries be at most a fixed share of the calls under way.

Why: when a dependency fails, retries multiply its load just when it can carry least. Counting what
is under way, not what was sent lately, needs no clock, and shrinks at once when calls hang.

    a retry starts only while  retries under way < max(3, 0.2 × calls under way)

Source: Envoy's retry budget (circuit_breaker.proto: budget_percent 20, min_retry_concurrency 3).
A call that is being retried counts as a call too, so a dependency that fails all of it sees up to
1 / (1 - 0.2) = 1.25 attempts a call, not 1.2.
Two more budgets keep the same Protocol: ``finagle_budget`` (a share of recent calls) and
``token_throttle`` (gRPC: no retries while failures outnumber successes).
Off (``SwitchedBudget``): every call retries as often as its plan says, and an outage that has lost
its cause goes on: the drill `metastable`.
Not handled: one budget per method (make one each).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol

from resilience.policy.contract import Mode, Snapshot

RETRY_RATIO = 0.2  # Envoy: budget_percent 20 % of active and pending requests
MIN_RETRY_CONCURRENCY = 3  # Envoy: min_retry_concurrency; lets an idle client retry at all
UNTIMED_S = float("nan")  # "no time given": a budget that needs one fails loudly on it


class Budget(Protocol):
    """What a plan asks of a retry budget: bracket each call, and each retry in it.

    Times may be left out where the budget needs none (``RetryBudget``, ``TokenThrottle``).
    """

    def on_call_start(self, now_s: float = UNTIMED_S) -> None:
        """Count a call in."""

    def on_call_end(self, *, answered: bool = False) -> None:
        """Count a call out; ``answered`` when it ended well."""

    def on_failure(self) -> None:
        """Hear of an attempt that failed or was pushed back."""

    def try_start_retry(self, now_s: float = UNTIMED_S) -> bool:
        """Take one retry; False means give up now."""

    def on_retry_end(self) -> None:
        """Hand a retry back."""

    def snapshot(self) -> Snapshot:
        """Return the figures for a page."""


class CountingBudget(ABC):
    """What every budget counts; a kind of budget adds ``has_room``. Every call is O(1)."""

    __slots__ = ("calls", "refused", "retries", "spent")

    def __init__(self) -> None:
        self.calls = 0  # under way
        self.retries = 0  # under way, waiting for their back-off included
        self.spent = 0  # ever started
        self.refused = 0

    def on_call_start(self, now_s: float = UNTIMED_S) -> None:
        """Count a call in."""
        self.calls += 1

    def on_call_end(self, *, answered: bool = False) -> None:
        """Count a call out, whatever became of it."""
        assert self.calls > 0, "more calls ended than began"
        self.calls -= 1

    def on_failure(self) -> None:
        """Hear of an attempt that failed; most kinds learn nothing from it."""
        return

    @abstractmethod
    def has_room(self, now_s: float = UNTIMED_S) -> bool:
        """Whether a retry could start now."""

    def try_start_retry(self, now_s: float = UNTIMED_S) -> bool:
        """Take one retry; False means give up now. Hand it back with ``on_retry_end``."""
        if not self.has_room(now_s):
            self.refused += 1
            return False
        self.start_retry(now_s)
        return True

    def start_retry(self, now_s: float = UNTIMED_S) -> None:
        """Count a retry in without asking whether there is room."""
        self.retries += 1
        self.spent += 1

    def on_retry_end(self) -> None:
        """Hand a retry back."""
        assert self.retries > 0, "more retries ended than began"
        self.retries -= 1

    def reset(self, now_s: float) -> None:
        """Forget the counters; what is under way stays counted."""
        self.spent = 0
        self.refused = 0

    def snapshot(self) -> Snapshot:
        """Return the figures for a page."""
        return {
            "calls": self.calls,
            "retries": self.retries,
            "spent": self.spent,
            "refused": self.refused,
        }

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.retries} retries in {self.calls} calls>"


class RetryBudget(CountingBudget):
    """Envoy's: a share of what is under way. Every call is O(1) and needs no time.

    Args:
        ratio: Retries under way per call under way, 0..1.
        min_concurrency: Retries always allowed at once, >= 0.

    Invariant: a retry starts only while retries < max(min_concurrency, ratio × calls).
    """

    __slots__ = ("min_concurrency", "ratio")

    def __init__(
        self, ratio: float = RETRY_RATIO, min_concurrency: int = MIN_RETRY_CONCURRENCY
    ) -> None:
        if not 0.0 <= ratio <= 1.0 or min_concurrency < 0:
            raise ValueError(
                f"ratio={ratio} must be 0 to 1 and min_concurrency={min_concurrency} >= 0"
            )
        super().__init__()
        self.ratio = ratio
        self.min_concurrency = min_concurrency

    def has_room(self, now_s: float = UNTIMED_S) -> bool:
        """Whether a retry could start now."""
        return self.retries < max(self.min_concurrency, self.ratio * self.calls)

    def snapshot(self) -> Snapshot:
        """Return the figures for a page; ``room`` is how many retries may be under way."""
        room = max(self.min_concurrency, int(self.ratio * self.calls))
        return {**super().snapshot(), "room": room}


class SwitchedBudget:
    """A budget with a switch: on refuses, shadow counts what it would refuse, off is no limit.

    What is under way stays counted in every position, so the switch may move at any time.

    Args:
        budget: Counts, and refuses while the switch is on.
        mode: Asked at each retry.
    """

    __slots__ = ("_mode", "budget", "would_refuse")

    def __init__(self, budget: CountingBudget, mode: Callable[[], Mode]) -> None:
        self.budget = budget
        self._mode = mode
        self.would_refuse = 0

    def on_call_start(self, now_s: float = UNTIMED_S) -> None:
        """Count a call in."""
        self.budget.on_call_start(now_s)

    def on_call_end(self, *, answered: bool = False) -> None:
        """Count a call out; ``answered`` when it ended well."""
        self.budget.on_call_end(answered=answered)

    def on_failure(self) -> None:
        """Hear of an attempt that failed or was pushed back."""
        self.budget.on_failure()

    def try_start_retry(self, now_s: float = UNTIMED_S) -> bool:
        """Take one retry; False means give up now, and only an enforced budget says so."""
        mode = self._mode()
        if mode is Mode.ON:
            return self.budget.try_start_retry(now_s)
        self.would_refuse += mode is Mode.SHADOW and not self.budget.has_room(now_s)
        self.budget.start_retry(now_s)
        return True

    def on_retry_end(self) -> None:
        """Hand a retry back."""
        self.budget.on_retry_end()

    def reset(self, now_s: float) -> None:
        """Forget the counters; what is under way stays counted."""
        self.budget.reset(now_s)
        self.would_refuse = 0

    def snapshot(self) -> Snapshot:
        """Return the budget's figures and what it would have refused in shadow."""
        return {**self.budget.snapshot(), "would_refuse": self.would_refuse}

    def __repr__(self) -> str:
        return f"<SwitchedBudget {self._mode().value} {self.budget!r}>"
