"""Retry budget: let retries be at most a fixed share of the calls under way.

Why: when a dependency fails, retries multiply its load just when it can carry least. Counting what
is under way, not what was sent lately, needs no clock, and shrinks at once when calls hang.
Source: Envoy's retry budget (circuit_breaker.proto: budget_percent 20, min_retry_concurrency 3).
Off (``SwitchedBudget``): every call retries as often as its plan says, and an outage that has lost
its cause goes on: the drill `metastable`.
Not handled: a share of recent calls (Finagle: 20 % and 10 a second) and a token bucket (gRPC A6):
each would be a class of these four methods.
"""

from collections.abc import Callable
from typing import Protocol

from resilience.policy.contract import Mode, Snapshot

RETRY_RATIO = 0.2  # Envoy: budget_percent 20 % of active and pending requests
MIN_RETRY_CONCURRENCY = 3  # Envoy: min_retry_concurrency; lets an idle client retry at all


class Budget(Protocol):
    """What a plan asks of a retry budget: bracket each call, and each retry in it."""

    def on_call_start(self) -> None:
        """Count a call in."""

    def on_call_end(self) -> None:
        """Count a call out."""

    def try_start_retry(self) -> bool:
        """Take one retry; False means give up now."""

    def on_retry_end(self) -> None:
        """Hand a retry back."""

    def snapshot(self) -> Snapshot:
        """Return the figures for a page."""


class RetryBudget:
    """Count calls and retries under way. Every call is O(1).

    Args:
        ratio: Retries under way per call under way, 0..1.
        min_concurrency: Retries always allowed at once.

    Invariant: a retry starts only while retries < max(min_concurrency, ratio × calls).
    """

    __slots__ = ("calls", "min_concurrency", "ratio", "refused", "retries", "spent")

    def __init__(
        self, ratio: float = RETRY_RATIO, min_concurrency: int = MIN_RETRY_CONCURRENCY
    ) -> None:
        self.ratio = ratio
        self.min_concurrency = min_concurrency
        self.calls = 0  # under way
        self.retries = 0  # under way, waiting for their back-off included
        self.spent = 0  # ever started
        self.refused = 0

    def on_call_start(self) -> None:
        """Count a call in."""
        self.calls += 1

    def on_call_end(self) -> None:
        """Count a call out, whatever became of it."""
        assert self.calls > 0, "more calls ended than began"
        self.calls -= 1

    def has_room(self) -> bool:
        """Whether a retry could start now."""
        return self.retries < max(self.min_concurrency, self.ratio * self.calls)

    def try_start_retry(self) -> bool:
        """Take one retry; False means give up now. Hand it back with ``on_retry_end``."""
        if not self.has_room():
            self.refused += 1
            return False
        self.start_retry()
        return True

    def start_retry(self) -> None:
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
            "room": max(self.min_concurrency, int(self.ratio * self.calls)),
            "spent": self.spent,
            "refused": self.refused,
        }

    def __repr__(self) -> str:
        return f"<RetryBudget {self.retries} retries in {self.calls} calls>"


class SwitchedBudget:
    """A RetryBudget with a switch: on refuses, shadow counts what it would refuse, off is no limit.

    What is under way stays counted in every position, so the switch may move at any time.

    Args:
        budget: Counts, and refuses while the switch is on.
        mode: Asked at each retry.
    """

    __slots__ = ("_mode", "budget", "would_refuse")

    def __init__(self, budget: RetryBudget, mode: Callable[[], Mode]) -> None:
        self.budget = budget
        self._mode = mode
        self.would_refuse = 0

    def on_call_start(self) -> None:
        """Count a call in."""
        self.budget.on_call_start()

    def on_call_end(self) -> None:
        """Count a call out."""
        self.budget.on_call_end()

    def try_start_retry(self) -> bool:
        """Take one retry; False means give up now, and only an enforced budget says so."""
        mode = self._mode()
        if mode is Mode.ON:
            return self.budget.try_start_retry()
        self.would_refuse += mode is Mode.SHADOW and not self.budget.has_room()
        self.budget.start_retry()
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
