"""Warm-up: a rate limit that starts low after a pause and climbs to the full rate.

Why: a service that has been idle has cold caches, pools and compilers; the full rate at once would
knock it over. A bucket measures coldness: it fills with ``rate`` tokens a second while traffic is
below a third of the rate, and loses one for each request. The more it holds above its warning
line, the slower requests may come:

    warning = period * rate / (cold_factor - 1)
    full    = warning + 2 * period * rate / (1 + cold_factor)
    slope   = (cold_factor - 1) / rate / (full - warning)
    allowed = 1 / ((tokens - warning) * slope + 1 / rate)   above the line; else rate

A full bucket allows rate / cold_factor; full load takes ``period`` to bring it down to the line.
Source: alibaba/Sentinel:.../flow/controller/WarmUpController.java, after Guava's SmoothWarmingUp;
the last second is seen through two halves as there (StatisticSlot's sampleCount 2).
Unlike Sentinel:
- figures aren't cut to integers, which made a rate below 3 allow nothing at all; so a second that
  had to refuse somebody doesn't fill the bucket either (there 3 of 3.33 count as a full third);
- a second in which nothing has passed lets one request in, whatever the allowance: with one below
  1 nothing would ever pass, and so nothing warm up;
- a bucket exactly at the line fills like one below: there an idle service stayed warm for ever;
- an IGNORED request is taken out of the second it was counted in.
Not handled: pacing of what is allowed (``pacer``); clocks that run backwards (such a time counts as
the latest seen).
"""

from math import inf, nextafter

from resilience.policy.contract import Outcome, Permit, Rejection, Request, Snapshot
from resilience.policy.rate import POLICY_NAME, RATE_EXCEEDED, SLACK_S, check_above_zero

COLD_FACTOR = 3.0  # Sentinel: csp.sentinel.flow.cold.factor
PERIOD_S = 10.0  # Sentinel: FlowRule.warmUpPeriodSec
HALF_S = 0.5  # Sentinel: two samples of a second
_IGNORED = Outcome.IGNORED  # see Outcome


class WarmUp:
    """A Gate whose rate depends on how warm the traffic has kept it. Every call is O(1).

    Args:
        rate_rps: Requests of cost 1 a second when warm, > 0; what costs more never passes.
        period_s: Seconds of full load from cold to warm, > 0.
        cold_factor: How many times slower it begins, > 1.
        name: What decisions are reported under.

    Raises:
        ValueError: When a figure is out of its range.

    Invariant: 0 <= tokens <= full, and rate / cold_factor <= allowed <= rate.
    """

    __slots__ = (
        "_earlier",
        "_generation",
        "_half",
        "_newer",
        "_rejected",
        "_second_refused",
        "_second_total",
        "_tokens",
        "allowed_rps",
        "cold_factor",
        "full",
        "name",
        "rate_rps",
        "slope",
        "warning",
    )

    def __init__(
        self,
        rate_rps: float,
        period_s: float = PERIOD_S,
        cold_factor: float = COLD_FACTOR,
        *,
        name: str = POLICY_NAME,
    ) -> None:
        check_above_zero(rate_rps=rate_rps, period_s=period_s)
        if not 1.0 < cold_factor < inf:
            raise ValueError(f"cold_factor={cold_factor} must be a finite number above 1")
        self.rate_rps = rate_rps
        self.cold_factor = cold_factor
        self.name = name
        self.warning = period_s * rate_rps / (cold_factor - 1.0)
        self.full = self.warning + 2.0 * period_s * rate_rps / (1.0 + cold_factor)
        self.slope = (cold_factor - 1.0) / rate_rps / (self.full - self.warning)
        self._generation = 0
        self._rejected = 0
        self._half = -1  # number of the half second being filled, counted from time 0
        self._newer = 0.0  # passed in it
        self._earlier = 0.0  # passed in the half second before
        self._second_total = 0.0  # passed in the whole second being filled
        self._second_refused = False  # whether it had too little room for somebody
        self._tokens = self.full
        self.allowed_rps = self.allowed_at(self.full)

    def admit(self, request: Request, now_s: float) -> Permit | Rejection:
        """Let the request in if the last second leaves room below what is allowed now."""
        half = int(now_s // HALF_S)
        if half > self._half:
            self._turn(half)
        cost = request.cost
        passed = self._earlier + self._newer
        if passed + cost > self.allowed_rps and (passed > 0.0 or cost > self.rate_rps):
            return self._refuse(cost, passed, now_s)
        self._newer += cost
        self._second_total += cost
        # With a clock set back it counts in the half that is being filled all the same.
        return Permit(self._generation, max(now_s, self._half * HALF_S), cost)

    def settle(self, permit: Permit, outcome: Outcome, now_s: float) -> None:
        """Take an IGNORED request out of the half second it was counted in, if remembered."""
        permit.mark_settled()
        if outcome is not _IGNORED or permit.generation != self._generation:
            return
        half = int(permit.issued_s // HALF_S)
        if half == self._half:
            self._newer = max(0.0, self._newer - permit.cost)
        elif half == self._half - 1:
            self._earlier = max(0.0, self._earlier - permit.cost)
        if half // 2 == self._half // 2:
            self._second_total = max(0.0, self._second_total - permit.cost)

    def allowed_at(self, tokens: float) -> float:
        """Return the requests a second allowed with so many tokens in the bucket."""
        above = tokens - self.warning
        if above <= 0.0:
            return self.rate_rps
        # The next float up, as in Sentinel: 1 / (1 / 10) may come out below 10.
        return min(self.rate_rps, nextafter(1.0 / (above * self.slope + 1.0 / self.rate_rps), inf))

    def reset(self, now_s: float) -> None:
        """Begin cold; what is in flight is taken out of nothing any more."""
        self._generation += 1
        self._rejected = 0
        self._earlier = self._newer = self._second_total = 0.0
        self._second_refused = False
        self._tokens = self.full
        self.allowed_rps = self.allowed_at(self.full)

    def snapshot(self) -> Snapshot:
        """Return the bucket and the allowance as they were at the last request."""
        return {
            "allowed_rps": round(self.allowed_rps, 6),
            "passed": round(self._earlier + self._newer, 6),
            "tokens": round(self._tokens, 6),
            "warning": self.warning,
            "full": self.full,
            "rejected": self._rejected,
        }

    def _turn(self, half: int) -> None:
        """Begin another half second, and with every second one the bucket's next step."""
        seconds = half // 2 - self._half // 2
        if seconds > 0:
            self._tokens = self._tokens_after(seconds)
            self.allowed_rps = self.allowed_at(self._tokens)
            self._second_total = 0.0
            self._second_refused = False
        self._earlier = self._newer if half == self._half + 1 else 0.0
        self._newer = 0.0
        self._half = half

    def _tokens_after(self, seconds: int) -> float:
        """Return the bucket that many seconds on, if nothing passes but what has."""
        tokens = self._tokens
        is_next = seconds == 1  # else the second just before was empty
        passed = self._second_total if is_next else 0.0
        is_busy = passed >= self.rate_rps / self.cold_factor or (is_next and self._second_refused)
        if tokens <= self.warning or not is_busy:
            tokens = min(self.full, tokens + seconds * self.rate_rps)
        return max(0.0, tokens - passed)

    def _refuse(self, cost: float, passed: float, now_s: float) -> Rejection:
        self._rejected += 1
        wait_s: float | None = None
        if cost <= self.rate_rps:
            self._second_refused = True
            wait_s = max(0.0, self._passes_s(cost) - now_s) + SLACK_S
        return Rejection(self.name, RATE_EXCEEDED, wait_s, passed + cost, self.allowed_rps)

    def _passes_s(self, cost: float) -> float:
        """Return when the cost fits if nothing else comes: half a second on, or a whole one."""
        half = self._half + 1
        is_next_second = half % 2 == 0
        allowed = self.allowed_at(self._tokens_after(1)) if is_next_second else self.allowed_rps
        fits = self._newer == 0.0 or self._newer + cost <= allowed
        return (half if fits else half + 1) * HALF_S

    def __repr__(self) -> str:
        passed = self._earlier + self._newer
        return f"<WarmUp {passed:g} of {self.allowed_rps:g}/s, {self._tokens:g} tokens>"
