"""Token bucket: so many a second on average, and a burst of what was saved up.

Why: traffic comes in clumps. The bucket holds up to ``burst`` tokens and earns ``rate`` a second; a
request takes its cost or is refused, so in any span of t seconds at most

    burst + rate * t

pass, and as many more as were handed back in it. A full bucket is a client that was quiet.
Source: RFC 2697, section 3 (bucket sizes, conforming without marking); golang.org/x/time/rate,
whose Limiter starts full and counts lazily, without a timer; so does this one.
Unlike both an IGNORED request hands its tokens back, up to a full bucket.
Not handled: borrowing from the future (a request waits: ``pacer``); one rate over several
processes (``token_lease``); clocks that run backwards (such a time counts
as that of the last request let in).
"""

from resilience.policy.contract import Outcome, Permit, Rejection, Request, Snapshot
from resilience.policy.rate import POLICY_NAME, RATE_EXCEEDED, SLACK_S, check_above_zero

BURST_S = 1.0  # what a second earns, as Envoy's max_tokens equal to tokens_per_fill at 1 s
_IGNORED = Outcome.IGNORED  # see Outcome


class TokenBucket:
    """A Gate: tokens are earned by time and spent by requests. Every call is O(1).

    Args:
        rate_rps: Tokens earned a second, > 0.
        burst: Tokens a full bucket holds, > 0; None means a second's worth, at least 1. A request
            that costs more can never pass and is refused without a time to come back.
        name: What decisions are reported under.

    Raises:
        ValueError: When a figure is not above 0.

    Invariant: 0 <= tokens <= burst, give or take ``SLACK_S``; only time that goes on adds to them,
    at ``rate_rps``, and what is handed back.
    """

    __slots__ = (
        "_generation",
        "_latest_s",
        "_rejected",
        "_slack",
        "_tokens",
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
        self._slack = rate_rps * SLACK_S
        self._generation = 0
        self._rejected = 0
        self._tokens = burst
        self._latest_s = float("-inf")  # when _tokens was right; the first call finds it full

    def admit(self, request: Request, now_s: float) -> Permit | Rejection:
        """Take the request's cost out of the bucket, or refuse."""
        cost = request.cost
        tokens = self._tokens
        latest_s = self._latest_s
        if now_s > latest_s:
            burst = self.burst
            tokens += (now_s - latest_s) * self.rate_rps
            if tokens > burst:
                tokens = burst
        else:
            now_s = latest_s
        if tokens < cost - self._slack:
            return self._refuse(cost, tokens)
        self._tokens = tokens - cost
        self._latest_s = now_s
        return Permit(self._generation, now_s, cost)

    def settle(self, permit: Permit, outcome: Outcome, now_s: float) -> None:
        """Hand an IGNORED request's tokens back; any other outcome changes nothing."""
        permit.mark_settled()
        if outcome is _IGNORED and permit.generation == self._generation:
            self._tokens = min(self.burst, self.tokens(now_s) + permit.cost)
            self._latest_s = max(self._latest_s, now_s)

    def tokens(self, now_s: float) -> float:
        """Return what the bucket holds at a time, 0..burst."""
        elapsed_s = now_s - self._latest_s
        if elapsed_s <= 0.0:
            return self._tokens
        return min(self.burst, self._tokens + elapsed_s * self.rate_rps)

    def fresh_s(self) -> float:
        """Return when the bucket is full if nobody takes more; -inf when nobody ever did."""
        return self._latest_s + (self.burst - self._tokens) / self.rate_rps

    def heir(self) -> "TokenBucket":
        """Make a bucket that holds what this one does, and counts on its own from here."""
        heir = TokenBucket(self.rate_rps, self.burst, name=self.name)
        heir._tokens, heir._latest_s = self._tokens, self._latest_s
        return heir

    def reset(self, now_s: float) -> None:
        """Fill the bucket; what is in flight hands nothing back any more."""
        self._generation += 1
        self._rejected = 0
        self._tokens = self.burst
        self._latest_s = max(self._latest_s, now_s)

    def snapshot(self) -> Snapshot:
        """Return the bucket as the last request let in, or handed back, left it."""
        return {
            "tokens": round(self._tokens, 6),
            "burst": self.burst,
            "rate_rps": self.rate_rps,
            "rejected": self._rejected,
        }

    def _refuse(self, cost: float, tokens: float) -> Rejection:
        self._rejected += 1
        wait_s = None if cost > self.burst else (cost - tokens) / self.rate_rps
        taken = self.burst - tokens + cost
        return Rejection(self.name, RATE_EXCEEDED, wait_s, taken, self.burst)

    def __repr__(self) -> str:
        return f"<TokenBucket {self._tokens:g} of {self.burst:g}, {self.rate_rps:g}/s>"
