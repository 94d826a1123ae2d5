"""Sliding window: at most so many in any minute, by a weighted counter or by an exact log.

Why: "100 a minute" counted from the full minute lets 200 through around its turn. Two cures, as two
gates that say the same of a steady stream:

- ``SlidingWindow`` keeps two numbers. It assumes that the window before was evenly filled, and
  counts of it the share that a window ending now still covers:

      estimate = previous * (1 - elapsed / window) + current;  passes when estimate + cost <= limit

  Where the assumption is wrong, at most 2 * limit pass in a window: a limit in the last instant of
  one, another by the end of the next. Cloudflare counted 0.003 % of requests decided wrongly.
- ``SlidingLog`` remembers each request for a window. Never more than the limit in any window; costs
  memory for as many requests as the limit allows.

Source: Cloudflare, "How we built rate limiting capable of scaling to millions of domains" (2017);
alisaifee/limits:limits/resources/redis/lua_scripts/acquire_sliding_window.lua.
Unlike ``limits`` the estimate isn't rounded down, which there admits one too many; windows begin at
multiples of their length, not at the first request; an IGNORED request is taken out again.
Not handled: clocks that run backwards (such a time counts as the latest seen).
"""

from collections import deque

from resilience.policy.contract import Outcome, Permit, Rejection, Request, Snapshot
from resilience.policy.rate import POLICY_NAME, RATE_EXCEEDED, SLACK_S, check_above_zero

WINDOW_S = 60.0  # "a minute", as in Cloudflare's article
_ROUNDING = 1e-9  # share of the limit: what sums of many fractions may be off by
_IGNORED = Outcome.IGNORED  # see Outcome


class SlidingWindow:
    """A Gate that counts two windows and weighs the older. Every call is O(1).

    Args:
        limit: Sum of costs in a window, > 0; a request that costs more never passes.
        window_s: Seconds, > 0.
        name: What decisions are reported under.

    Raises:
        ValueError: When a figure is not above 0.

    Invariant: at most ``limit`` passes in a window that begins at a multiple of ``window_s``, and
    at most twice that in any other.
    """

    __slots__ = (
        "_current",
        "_generation",
        "_latest_s",
        "_number",
        "_previous",
        "_rejected",
        "limit",
        "name",
        "window_s",
    )

    def __init__(
        self, limit: float, window_s: float = WINDOW_S, *, name: str = POLICY_NAME
    ) -> None:
        check_above_zero(limit=limit, window_s=window_s)
        self.limit = limit
        self.window_s = window_s
        self.name = name
        self._generation = 0
        self._rejected = 0
        self._latest_s = float("-inf")
        self._number = float("-inf")  # of the window being filled, counted from time 0
        self._current = 0.0
        self._previous = 0.0

    def admit(self, request: Request, now_s: float) -> Permit | Rejection:
        """Count the request in if the estimate leaves room for its cost."""
        if now_s < self._latest_s:
            now_s = self._latest_s
        self._latest_s = now_s
        number, elapsed_s = divmod(now_s, self.window_s)
        if number > self._number:
            self._turn(number)
        cost = request.cost
        estimate = self._previous * (1.0 - elapsed_s / self.window_s) + self._current
        if estimate + cost > self.limit * (1.0 + _ROUNDING):
            return self._refuse(cost, estimate, now_s)
        self._current += cost
        return Permit(self._generation, now_s, cost)

    def settle(self, permit: Permit, outcome: Outcome, now_s: float) -> None:
        """Take an IGNORED request out of the window it was counted in, if that is remembered."""
        permit.mark_settled()
        if outcome is not _IGNORED or permit.generation != self._generation:
            return
        number = permit.issued_s // self.window_s
        if number == self._number:
            self._current = max(0.0, self._current - permit.cost)
        elif number == self._number - 1.0:
            self._previous = max(0.0, self._previous - permit.cost)

    def fresh_s(self) -> float:
        """Return when both windows are empty if nothing more comes; -inf when they are."""
        if self._current > 0.0:
            return (self._number + 2.0) * self.window_s
        return (self._number + 1.0) * self.window_s if self._previous > 0.0 else float("-inf")

    def heir(self) -> "SlidingWindow":
        """Make one that has counted what this one has, and counts on its own from here."""
        heir = SlidingWindow(self.limit, self.window_s, name=self.name)
        heir._latest_s, heir._number = self._latest_s, self._number
        heir._current, heir._previous = self._current, self._previous
        return heir

    def reset(self, now_s: float) -> None:
        """Forget both windows; what is in flight is taken out of none any more."""
        self._generation += 1
        self._rejected = 0
        self._current = 0.0
        self._previous = 0.0

    def snapshot(self) -> Snapshot:
        """Return both counts as they were at the last request."""
        return {
            "current": round(self._current, 6),
            "previous": round(self._previous, 6),
            "limit": self.limit,
            "window_s": self.window_s,
            "rejected": self._rejected,
        }

    def _turn(self, number: float) -> None:
        self._previous = self._current if number == self._number + 1.0 else 0.0
        self._current = 0.0
        self._number = number

    def _refuse(self, cost: float, estimate: float, now_s: float) -> Rejection:
        self._rejected += 1
        wait_s = None if cost > self.limit else self._passes_s(cost) - now_s + SLACK_S
        return Rejection(self.name, RATE_EXCEEDED, wait_s, estimate + cost, self.limit)

    def _passes_s(self, cost: float) -> float:
        """Return when the cost fits, if nothing else comes: in this window, or in the next."""
        room = self.limit - self._current - cost
        if room >= 0.0:
            return (self._number + 1.0 - room / self._previous) * self.window_s
        return (self._number + 2.0 - (self.limit - cost) / self._current) * self.window_s

    def __repr__(self) -> str:
        counts = f"{self._current:g} after {self._previous:g}"
        return f"<SlidingWindow {counts}, {self.limit:g} in {self.window_s:g} s>"


class LoggedPermit(Permit):
    """A permit that is its own entry in the log; ``counted`` is 0 once it is out of the sum."""

    __slots__ = ("counted",)

    counted: float


class SlidingLog:
    """A Gate that remembers every request of the window. O(1) amortised a call.

    Saying when to come back looks at as many entries as have to leave first.

    Args:
        limit: Sum of costs in any window, > 0; a request that costs more never passes.
        window_s: Seconds, > 0.
        name: What decisions are reported under.

    Raises:
        ValueError: When a figure is not above 0.

    Invariant: what passed and was not handed back in any ``window_s`` costs at most ``limit``.
    """

    __slots__ = (
        "_generation",
        "_latest_s",
        "_log",
        "_rejected",
        "_total",
        "limit",
        "name",
        "window_s",
    )

    def __init__(
        self, limit: float, window_s: float = WINDOW_S, *, name: str = POLICY_NAME
    ) -> None:
        check_above_zero(limit=limit, window_s=window_s)
        self.limit = limit
        self.window_s = window_s
        self.name = name
        self._generation = 0
        self._rejected = 0
        self._latest_s = float("-inf")
        self._log: deque[LoggedPermit] = deque()
        self._total = 0.0

    def admit(self, request: Request, now_s: float) -> Permit | Rejection:
        """Log the request if the window has room for its cost."""
        if now_s < self._latest_s:
            now_s = self._latest_s
        self._latest_s = now_s
        log = self._log
        while log and now_s - log[0].issued_s >= self.window_s - SLACK_S:
            oldest = log.popleft()
            self._total -= oldest.counted
            oldest.counted = 0.0
        if not log:
            self._total = 0.0  # clears what rounding left
        cost = request.cost
        if self._total + cost > self.limit * (1.0 + _ROUNDING):
            return self._refuse(cost, now_s)
        permit = LoggedPermit(self._generation, now_s, cost)
        permit.counted = cost
        log.append(permit)
        self._total += cost
        return permit

    def settle(self, permit: Permit, outcome: Outcome, now_s: float) -> None:
        """Take an IGNORED request's cost out of the log."""
        permit.mark_settled()
        if outcome is not _IGNORED or permit.generation != self._generation:
            return
        assert isinstance(permit, LoggedPermit), "a permit of another policy"
        self._total -= permit.counted
        permit.counted = 0.0
        while self._log and self._log[-1].counted == 0.0:
            self._log.pop()

    def fresh_s(self) -> float:
        """Return when the log is empty if nothing more comes; -inf when it is."""
        return self._log[-1].issued_s + self.window_s if self._log else float("-inf")

    def heir(self) -> "SlidingLog":
        """Make one that has logged what this one has, and logs on its own from here. O(logged)."""
        heir = SlidingLog(self.limit, self.window_s, name=self.name)
        heir._latest_s, heir._total = self._latest_s, self._total
        for each in self._log:
            copied = LoggedPermit(each.generation, each.issued_s, each.cost)
            copied.counted = each.counted
            heir._log.append(copied)
        return heir

    def reset(self, now_s: float) -> None:
        """Forget the log; what is in flight is taken out of nothing any more."""
        self._generation += 1
        self._rejected = 0
        self._log.clear()
        self._total = 0.0

    def snapshot(self) -> Snapshot:
        """Return the log's size and sum as they were at the last request."""
        return {
            "logged": len(self._log),
            "total": round(self._total, 6),
            "limit": self.limit,
            "window_s": self.window_s,
            "rejected": self._rejected,
        }

    def _refuse(self, cost: float, now_s: float) -> Rejection:
        self._rejected += 1
        wait_s: float | None = None
        if cost <= self.limit:
            surplus = self._total + cost - self.limit * (1.0 + _ROUNDING)
            for each in self._log:
                surplus -= each.counted
                wait_s = each.issued_s + self.window_s - now_s
                if surplus <= 0.0:
                    break
        taken = self._total + cost
        return Rejection(self.name, RATE_EXCEEDED, wait_s, taken, self.limit)

    def __repr__(self) -> str:
        return f"<SlidingLog {self._total:g} of {self.limit:g} in {self.window_s:g} s>"
