"""Retry plan: what to try next for one call, when, beside what, and when to stop.

A retry is worth its cost when it goes somewhere else, soon, and rarely. So: another endpoint first
(``exclude``), full jitter, a budget shared by all calls to the dependency, and never past the
deadline. It stops at once on push-back (the other side asked for less), on a failure that happened
deeper down (its own caller has retried already), and when the work may have begun and is not
idempotent.

    back-off before retry N: uniform in [0, min(cap, (2^N - 1) × base)); other steps: ``backoff``

A hedge is the same attempt, sent early: with ``hedge_delay_s`` a second Try comes while the first
is under way, out of the same cap and the same budget:

| what comes in               | nothing else under way     | others under way                 |
|-----------------------------|----------------------------|----------------------------------|
| ``hedge_delay_s`` of time   |                            | another Try beside them          |
| a good answer               | done                       | done; the runner cancels them    |
| a failure to try again      | a Try after the back-off   | a Try at once                    |
| push-back "in n seconds"    | a Try in n, if honoured    | the next Try in n, if honoured   |
| push-back, deeper, refused  | give up                    | no further Try; wait for them    |

Push-back is honoured only with ``honour_pushback``: a limiter that asks for less is believed. A
negative one, A6's "don't retry", never is.

Source: Envoy router_filter.rst (base 25 ms, cap 250 ms, full jitter; the total timeout includes
the retries); gRFC A6 (push-back, at most 5 attempts, the summary of hedging logic); AWS Builders'
Library, "Timeouts, retries, and backoff with jitter"; Dean & Barroso, "The Tail at Scale" (2013).
Differs from A6: there a method is retried *or* hedged, and hedges that have all failed are not
retried; here both share one cap, so a hedged call may still be retried after a back-off.
Not handled: which of two attempts under way ended (a budget holds at most as many retries as
attempts are under way, so for a moment it may count one too many, never too few).
"""

import math
import random
from dataclasses import dataclass

from resilience.policy.backoff import (
    BACKOFF_BASE_S,
    BACKOFF_CAP_S,
    BACKOFF_MULTIPLIER,
    Growth,
    Jitter,
    decorrelated_s,
    envoy_step_s,
    equal_jitter_s,
    exponential_step_s,
    full_jitter_s,
)
from resilience.policy.budget import UNTIMED_S, Budget
from resilience.policy.contract import AttemptResult, GiveUp, Outcome, Try, WaitUntil

MAX_ATTEMPTS = 3  # the first included; Envoy makes 2 by default, gRPC allows at most 5
MAX_PUSHBACK_S = 300.0  # Envoy: the longest Retry-After its rate-limited back-off believes
ANYWHERE = Try(())  # most calls need no other: the hot path makes none
DONE = GiveUp("DONE")
RESULT_ONLY = WaitUntil(math.inf)  # only a result can change anything
_OK, _FAILED = Outcome.OK, Outcome.FAILED  # see Outcome
_OVERLOADED, _IGNORED = Outcome.OVERLOADED, Outcome.IGNORED


@dataclass(frozen=True, slots=True)
class RetrySettings:
    """How often and how soon.

    Args:
        max_attempts: Attempts in all, the first and hedges included, >= 1.
        base_s: Back-off unit, seconds, >= 0.
        cap_s: Longest back-off, seconds, >= 0.
        jitter: How much of a back-off is chance.
        growth: How it grows from retry to retry.
        multiplier: Of exponential growth, >= 1.
        honour_pushback: Whether to come back when the other side says, instead of giving up.
        max_pushback_s: The longest such wait, seconds, >= 0; a longer one ends the call.
    """

    max_attempts: int = MAX_ATTEMPTS
    base_s: float = BACKOFF_BASE_S
    cap_s: float = BACKOFF_CAP_S
    jitter: Jitter = Jitter.FULL
    growth: Growth = Growth.ENVOY
    multiplier: float = BACKOFF_MULTIPLIER
    honour_pushback: bool = False
    max_pushback_s: float = MAX_PUSHBACK_S

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: A value is out of its range.
        """
        if self.max_attempts < 1:
            raise ValueError(f"max_attempts={self.max_attempts} must be >= 1")
        if not (0.0 <= self.base_s < math.inf and 0.0 <= self.cap_s < math.inf):
            raise ValueError(f"base_s={self.base_s} and cap_s={self.cap_s} must be >= 0, finite")
        if not 1.0 <= self.multiplier < math.inf:
            raise ValueError(f"multiplier={self.multiplier} must be >= 1, finite")
        if not 0.0 <= self.max_pushback_s < math.inf:
            raise ValueError(f"max_pushback_s={self.max_pushback_s} must be >= 0, finite")

    def backoff_s(self, retry: int, rng: random.Random, last_s: float = 0.0) -> float:
        """Draw the wait before that retry, seconds.

        Args:
            retry: Which; 1 is the first.
            rng: Draws the jitter.
            last_s: The wait before the one before; only decorrelated jitter looks at it.
        """
        if self.jitter is Jitter.DECORRELATED:
            return decorrelated_s(last_s, self.base_s, self.cap_s, rng)
        if self.growth is Growth.ENVOY:
            step_s = envoy_step_s(retry, self.base_s, self.cap_s)
        else:
            step_s = exponential_step_s(retry, self.base_s, self.cap_s, self.multiplier)
        if self.jitter is Jitter.FULL:
            return full_jitter_s(step_s, rng)
        return equal_jitter_s(step_s, rng) if self.jitter is Jitter.EQUAL else step_s


class RetryPlan:
    """A Plan: one call's attempts, in sequence or, with a hedge delay, side by side.

    Args:
        settings: How often and how soon.
        budget: Shared by all calls to the dependency.
        rng: Draws the jitter.
        idempotent: Whether running the call twice does no harm; nothing else is hedged.
        deadline_s: Absolute; no retry starts at or after it. None means none.
        hedge_delay_s: How long an attempt may be under way before another joins it, >= 0; None
            sends one at a time.
        now_s: For a budget that needs the time.

    ``answered`` is set by whoever runs the plan once an attempt has answered well.
    Invariants: never more than ``max_attempts`` tries; holds at most one retry of the budget for
    each attempt that is under way or due, and none once closed.
    """

    __slots__ = (
        "_attempts",
        "_backoffs",
        "_budget",
        "_closed",
        "_deadline_s",
        "_due",
        "_end",
        "_hedge_delay_s",
        "_held",
        "_idempotent",
        "_in_flight",
        "_last_try_s",
        "_last_wait_s",
        "_rng",
        "_settings",
        "_start_s",
        "_tried",
        "answered",
    )

    def __init__(
        self,
        settings: RetrySettings,
        budget: Budget,
        rng: random.Random,
        *,
        idempotent: bool,
        deadline_s: float | None,
        hedge_delay_s: float | None = None,
        now_s: float = UNTIMED_S,
    ) -> None:
        self._settings = settings
        self._budget = budget
        self._rng = rng
        self._idempotent = idempotent
        self._deadline_s = deadline_s
        self._hedge_delay_s = hedge_delay_s if idempotent else None
        self._attempts = 0
        self._in_flight = 0
        self._held = 0  # retries of the budget
        self._tried: tuple[str, ...] = ()
        self._due = True  # an attempt has been decided on
        self._start_s = -math.inf  # and starts not before this time
        self._last_try_s = 0.0
        self._backoffs = 0  # since the call began, or since the last push-back
        self._last_wait_s = 0.0
        self._end: GiveUp | None = None  # no further attempt; what is under way may go on
        self._closed = False
        self.answered = False
        budget.on_call_start(now_s)

    def next(self, now_s: float) -> Try | WaitUntil | GiveUp:
        """Say what to do now.

        Without hedging, after a Try report with ``on_result`` before asking again. With it ask on:
        ``WaitUntil`` infinity means that only a result can change anything. ``GiveUp`` never
        comes while an attempt is under way, unless one has ended the call for all of them.
        """
        if self._end is not None:
            return RESULT_ONLY if self._in_flight and self._end is not DONE else self._end
        if self._deadline_s is not None and now_s >= self._deadline_s:
            return self._stop("DEADLINE_EXCEEDED")
        if not self._due:
            return self._hedge(now_s)
        if now_s < self._start_s:
            return WaitUntil(self._start_s)
        return self._try(now_s)

    def on_result(self, result: AttemptResult, now_s: float) -> None:
        """Take in how an attempt ended, and decide whether another follows."""
        self._in_flight -= 1
        if result.endpoint:
            self._tried = (*self._tried, result.endpoint)
        self._return_retries(self._in_flight + self._due)
        outcome = result.outcome
        if outcome is _FAILED or outcome is _OVERLOADED:
            self._budget.on_failure()
        elif outcome is _OK or self._in_flight == 0:
            self._end = DONE
            return
        if self._end is not None:
            return
        reason = self._reason_to_stop(result)
        if reason:
            self._stop(reason)
        elif not self._due:
            self._plan_attempt(result, now_s)

    def close(self) -> None:
        """End the call and give back what it holds; a second time does nothing."""
        if not self._closed:
            self._closed = True
            if self._held:
                self._return_retries(0)
            self._budget.on_call_end(answered=self.answered)

    def _try(self, now_s: float) -> Try:
        self._attempts += 1
        self._in_flight += 1
        self._due = False
        self._last_try_s = now_s
        return Try(self._tried) if self._tried else ANYWHERE

    def _hedge(self, now_s: float) -> Try | WaitUntil:
        """Send another attempt beside a slow one, if it is time and there is room."""
        delay_s = self._hedge_delay_s
        if delay_s is None or self._attempts >= self._settings.max_attempts:
            return RESULT_ONLY
        start_s = self._last_try_s + delay_s
        if self._deadline_s is not None and start_s >= self._deadline_s:
            return RESULT_ONLY
        if now_s < start_s:
            return WaitUntil(start_s)
        if not self._budget.try_start_retry(now_s):
            self._hedge_delay_s = None  # a failure may still ask for a retry later
            return RESULT_ONLY
        self._held += 1
        return self._try(now_s)

    def _reason_to_stop(self, result: AttemptResult) -> str:
        """Name why no attempt follows this result; "" when another may."""
        if result.outcome is _IGNORED:
            return "REFUSED"
        wait_s, settings = result.retry_after_s, self._settings
        if wait_s is None:
            if result.outcome is _OVERLOADED:
                return "PUSHED_BACK"
        elif not (settings.honour_pushback and 0.0 <= wait_s <= settings.max_pushback_s):
            return "PUSHED_BACK"
        if result.deeper:
            return "FAILED_DEEPER"
        if result.started and not self._idempotent:
            return "NOT_IDEMPOTENT"
        if self._attempts >= settings.max_attempts:
            return "ATTEMPTS_SPENT"
        return ""

    def _plan_attempt(self, result: AttemptResult, now_s: float) -> None:
        """Decide on another attempt, unless it would be too late or the budget is spent."""
        start_s = now_s + self._wait_s(result)
        if self._deadline_s is not None and start_s >= self._deadline_s:
            self._stop("DEADLINE_EXCEEDED")
        elif not self._budget.try_start_retry(now_s):
            self._stop("RETRY_BUDGET_SPENT")
        else:
            self._held += 1
            self._due = True
            self._start_s = start_s

    def _wait_s(self, result: AttemptResult) -> float:
        """Return how long to wait before the attempt after this result."""
        if result.retry_after_s is not None:
            self._backoffs, self._last_wait_s = 0, 0.0  # A6: then the back-off begins anew
            return result.retry_after_s
        if self._in_flight:
            return 0.0  # A6: a failure cuts the next hedge's delay short
        self._backoffs += 1
        self._last_wait_s = self._settings.backoff_s(self._backoffs, self._rng, self._last_wait_s)
        return self._last_wait_s

    def _stop(self, reason: str) -> WaitUntil | GiveUp:
        """Start no further attempt; return what that means now."""
        self._end = GiveUp(reason)
        return RESULT_ONLY if self._in_flight else self._end

    def _return_retries(self, keep: int) -> None:
        while self._held > keep:
            self._held -= 1
            self._budget.on_retry_end()

    def __repr__(self) -> str:
        state = self._end.reason if self._end else "open"
        return f"<RetryPlan attempt {self._attempts}/{self._settings.max_attempts} {state}>"
