"""Retry plan: what to try next for one call, and when to stop.

A retry is worth its cost when it goes somewhere else, soon, and rarely. So: another endpoint first
(``exclude``), full jitter, a budget shared by all calls to the dependency, and never past the
deadline. It stops at once on push-back (the other side asked for less), on a failure that happened
deeper down (its own caller has retried already), and when the work may have begun and is not
idempotent.

    back-off before retry N: uniform in [0, min(cap, (2^N - 1) × base))

Source: Envoy router_filter.rst (base 25 ms, cap 250 ms, full jitter; the total timeout includes
the retries); gRPC A6 (push-back, at most 5 attempts); AWS Builders' Library, "Timeouts, retries,
and backoff with jitter".
Not handled: hedging, which is to join this plan: ``next`` then returns a second Try while the
first is under way, out of the same cap and the same budget.
"""

import random
from dataclasses import dataclass

from resilience.policy.budget import Budget
from resilience.policy.contract import AttemptResult, GiveUp, Outcome, Try, WaitUntil

MAX_ATTEMPTS = 3  # the first included; Envoy makes 2 by default, gRPC allows at most 5
BACKOFF_BASE_S = 0.025  # Envoy: base interval 25 ms, so 0-24, 0-74, 0-174 ms
BACKOFF_CAP_S = 0.25  # Envoy: ten times the base


@dataclass(frozen=True, slots=True)
class RetrySettings:
    """How often and how soon.

    Args:
        max_attempts: Attempts in all, the first included, >= 1.
        base_s: Back-off unit, seconds.
        cap_s: Longest back-off, seconds.
    """

    max_attempts: int = MAX_ATTEMPTS
    base_s: float = BACKOFF_BASE_S
    cap_s: float = BACKOFF_CAP_S

    def backoff_s(self, retry: int, rng: random.Random) -> float:
        """Draw the wait before that retry (1 is the first), full jitter."""
        return rng.random() * min(self.cap_s, ((1 << retry) - 1) * self.base_s)


class RetryPlan:
    """A Plan: one call's attempts in sequence.

    Args:
        settings: How often and how soon.
        budget: Shared by all calls to the dependency.
        rng: Draws the jitter.
        idempotent: Whether running the call twice does no harm.
        deadline_s: Absolute; no retry starts at or after it. None means none.

    Invariant: holds at most one retry of the budget, and none once closed.
    """

    __slots__ = (
        "_attempts",
        "_budget",
        "_closed",
        "_deadline_s",
        "_end",
        "_holds_retry",
        "_idempotent",
        "_rng",
        "_settings",
        "_start_s",
        "_tried",
    )

    def __init__(
        self,
        settings: RetrySettings,
        budget: Budget,
        rng: random.Random,
        *,
        idempotent: bool,
        deadline_s: float | None,
    ) -> None:
        self._settings = settings
        self._budget = budget
        self._rng = rng
        self._idempotent = idempotent
        self._deadline_s = deadline_s
        self._attempts = 0
        self._tried: list[str] = []
        self._start_s = 0.0  # not before this time
        self._end: GiveUp | None = None
        self._holds_retry = False
        self._closed = False
        budget.on_call_start()

    def next(self, now_s: float) -> Try | WaitUntil | GiveUp:
        """Say what to do now; after a Try, report with ``on_result`` before asking again."""
        if self._end is not None:
            return self._end
        if self._deadline_s is not None and now_s >= self._deadline_s:
            return self._give_up("DEADLINE_EXCEEDED")
        if now_s < self._start_s:
            return WaitUntil(self._start_s)
        self._attempts += 1
        return Try(tuple(self._tried))

    def on_result(self, result: AttemptResult, now_s: float) -> None:
        """Take in how the attempt ended, and decide whether another follows."""
        if result.endpoint:
            self._tried.append(result.endpoint)
        self._return_retry()
        reason = self._reason_to_stop(result)
        if reason:
            self._give_up(reason)
            return
        start_s = now_s + self._settings.backoff_s(self._attempts, self._rng)
        if self._deadline_s is not None and start_s >= self._deadline_s:
            self._give_up("DEADLINE_EXCEEDED")
        elif not self._budget.try_start_retry():
            self._give_up("RETRY_BUDGET_SPENT")
        else:
            self._holds_retry = True
            self._start_s = start_s

    def close(self) -> None:
        """End the call and give back what it holds; a second time does nothing."""
        if not self._closed:
            self._closed = True
            self._return_retry()
            self._budget.on_call_end()

    def _reason_to_stop(self, result: AttemptResult) -> str:
        """Name why this result ends the call; "" when another attempt may follow."""
        if result.outcome in (Outcome.OK, Outcome.IGNORED):
            return "DONE"
        if result.outcome is Outcome.OVERLOADED or result.retry_after_s is not None:
            return "PUSHED_BACK"
        if result.deeper:
            return "FAILED_DEEPER"
        if result.started and not self._idempotent:
            return "NOT_IDEMPOTENT"
        if self._attempts >= self._settings.max_attempts:
            return "ATTEMPTS_SPENT"
        return ""

    def _give_up(self, reason: str) -> GiveUp:
        self._end = GiveUp(reason)
        return self._end

    def _return_retry(self) -> None:
        if self._holds_retry:
            self._holds_retry = False
            self._budget.on_retry_end()

    def __repr__(self) -> str:
        state = self._end.reason if self._end else "open"
        return f"<RetryPlan attempt {self._attempts}/{self._settings.max_attempts} {state}>"
