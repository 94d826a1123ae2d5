"""GCRA: a token bucket that remembers one time instead of a count.

Why: the whole state is the *theoretical arrival time* (TAT) of the next request if all came evenly
spaced. A request conforms when it isn't earlier than that by more than the burst allows:

    interval = cost / rate
    passes when TAT + interval - burst / rate <= now;  then TAT = max(TAT, now) + interval

One number is what a shared store can swap atomically, and the time to come back needs no division:
it is where the inequality begins to hold. What it admits is what the token bucket admits, as
tokens = burst - max(0, TAT - now) * rate; a test holds the two to it.
Source: ITU-T I.371, annex A (virtual scheduling algorithm); throttled/throttled:rate.go, whose
table of cases is a test here.
Unlike both an IGNORED request hands its time back, and costs may be fractions.
Not handled: clocks that run backwards (such a time counts as that of the last
request let in).
"""

from resilience.policy.contract import Outcome, Permit, Rejection, Request, Snapshot
from resilience.policy.rate import POLICY_NAME, RATE_EXCEEDED, SLACK_S, check_above_zero
from resilience.policy.token_bucket import BURST_S

_IGNORED = Outcome.IGNORED  # see Outcome


class Gcra:
    """A Gate: the generic cell rate algorithm. Every call is O(1).

    Args:
        rate_rps: Requests of cost 1 a second, > 0.
        burst: How many may come at once after a pause, > 0; None means a second's worth, at least
            1. A request that costs more can never pass.
        name: What decisions are reported under.

    Raises:
        ValueError: When a figure is not above 0.

    Invariant: TAT - now <= burst / rate after each admission, give or take ``SLACK_S``.
    """

    __slots__ = (
        "_generation",
        "_interval_s",
        "_latest_s",
        "_rejected",
        "_tat_s",
        "_tolerance_s",
        "burst",
        "name",
        "rate_rps",
    )

    def __init__(
        self, rate_rps: float, burst: float | None = None, *, name: str = POLICY_NAME
    ) -> None:
        check_above_zero(rate_rps=rate_rps)
        burst = max(1.0, rate_rps * BURST_S) if burst is None else burst
        check_above_zero(burst=burst)
        self.rate_rps = rate_rps
        self.burst = burst
        self.name = name
        self._interval_s = 1.0 / rate_rps
        self._tolerance_s = burst / rate_rps
        self._generation = 0
        self._rejected = 0
        self._tat_s = float("-inf")
        self._latest_s = float("-inf")

    def admit(self, request: Request, now_s: float) -> Permit | Rejection:
        """Move the theoretical arrival time on by the request's cost, or refuse."""
        cost = request.cost
        if now_s < self._latest_s:
            now_s = self._latest_s
        tat_s = self._tat_s
        if tat_s < now_s:
            tat_s = now_s
        tat_s += cost * self._interval_s
        early_s = tat_s - self._tolerance_s - now_s
        if early_s > SLACK_S:
            return self._refuse(cost, early_s)
        self._tat_s = tat_s
        self._latest_s = now_s
        return Permit(self._generation, now_s, cost)

    def settle(self, permit: Permit, outcome: Outcome, now_s: float) -> None:
        """Hand an IGNORED request's time back; any other outcome changes nothing."""
        permit.mark_settled()
        if outcome is _IGNORED and permit.generation == self._generation:
            self._latest_s = max(self._latest_s, now_s)
            self._tat_s = max(self._tat_s, self._latest_s) - permit.cost * self._interval_s

    def tokens(self, now_s: float) -> float:
        """Return how much could pass at once at a time, 0..burst."""
        ahead_s = self._tat_s - max(now_s, self._latest_s)
        return self.burst if ahead_s <= 0.0 else max(0.0, self.burst - ahead_s * self.rate_rps)

    def fresh_s(self) -> float:
        """Return when a whole burst may pass if nothing more comes; -inf when nothing ever did."""
        return self._tat_s

    def heir(self) -> "Gcra":
        """Make one that lets through what this one would, and counts on its own from here."""
        heir = Gcra(self.rate_rps, self.burst, name=self.name)
        heir._tat_s, heir._latest_s = self._tat_s, self._latest_s
        return heir

    def reset(self, now_s: float) -> None:
        """Forget what has passed; what is in flight hands nothing back any more."""
        self._generation += 1
        self._rejected = 0
        self._latest_s = max(self._latest_s, now_s)
        self._tat_s = self._latest_s

    def snapshot(self) -> Snapshot:
        """Return what could pass at once when the last request was let in or handed back."""
        return {
            "tokens": round(self.tokens(self._latest_s), 6),
            "burst": self.burst,
            "rate_rps": self.rate_rps,
            "rejected": self._rejected,
        }

    def _refuse(self, cost: float, early_s: float) -> Rejection:
        self._rejected += 1
        wait_s = None if cost > self.burst else early_s
        taken = (early_s + self._tolerance_s) * self.rate_rps  # this request included
        return Rejection(self.name, RATE_EXCEEDED, wait_s, taken, self.burst)

    def __repr__(self) -> str:
        return f"<Gcra {self.tokens(self._latest_s):g} of {self.burst:g}, {self.rate_rps:g}/s>"
