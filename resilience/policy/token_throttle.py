"""gRPC's retry throttle: no retries while more than one attempt in eleven fails.

Why: a share of the calls lets retries through for as long as an outage lasts. This one shuts: five
failures in a row and nobody retries until answers have earned it back, a tenth of a token each. So
it costs a failing dependency next to nothing, and is slow to trust again: from no tokens at all it
takes 51 answers before the first retry.

    failed or pushed back: tokens = max(0, tokens - 1);   answered: min(max, tokens + 0.1)
    a retry, or a hedge, starts only while tokens > max / 2

Source: gRFC A6 (grpc/proposal:A6-client-retries.md), "Throttling Retry Attempts and Hedged RPCs"
and "Validation of retryThrottling" (maxTokens 1 to 1000, three decimals of tokenRatio). So tokens
are counted in thousandths, and a hundred answers earn exactly ten.
Differs: what counts as a failure is named by cause, not by status code; an error of the caller's
own making neither earns nor costs (as in A6), nor does a call that its caller cut short.
Not handled: time; a dependency that nobody calls stays as it was last seen.
"""

from resilience.policy.budget import UNTIMED_S, CountingBudget
from resilience.policy.contract import Snapshot

MAX_TOKENS = 10  # A6: "maxTokens": 10
TOKEN_RATIO = 0.1  # A6: "tokenRatio": 0.1
MILLI = 1000  # A6: decimals of tokenRatio beyond the third are ignored
MAX_MAX_TOKENS = 1000  # A6: maxTokens in (0, 1000]


class TokenThrottle(CountingBudget):
    """A Budget that shuts while failures prevail. Every call is O(1) and needs no time.

    Args:
        max_tokens: Tokens at rest, 1..1000; half of them may be lost before it shuts.
        token_ratio: Tokens earned per call answered, 0.001..max_tokens; three decimals count.

    Invariant: 0 <= tokens <= max_tokens; a retry starts only while tokens > max_tokens / 2.
    """

    __slots__ = ("_earned", "_max", "_tokens")

    def __init__(self, max_tokens: int = MAX_TOKENS, token_ratio: float = TOKEN_RATIO) -> None:
        if not 1 <= max_tokens <= MAX_MAX_TOKENS:
            raise ValueError(f"max_tokens={max_tokens} must be 1 to {MAX_MAX_TOKENS}")
        if not 1 / MILLI <= token_ratio <= max_tokens:
            raise ValueError(f"token_ratio={token_ratio} must be 0.001 to max_tokens={max_tokens}")
        super().__init__()
        self._max = max_tokens * MILLI
        self._earned = round(token_ratio * MILLI)
        self._tokens = self._max

    @property
    def tokens(self) -> float:
        """What is left, 0..max_tokens."""
        return self._tokens / MILLI

    def on_call_end(self, *, answered: bool = False) -> None:
        """Count a call out; one that was answered earns."""
        super().on_call_end()
        if answered:
            self._tokens = min(self._max, self._tokens + self._earned)

    def on_failure(self) -> None:
        """Lose a token."""
        self._tokens = max(0, self._tokens - MILLI)

    def has_room(self, now_s: float = UNTIMED_S) -> bool:
        """Whether more than half of the tokens are left."""
        return self._tokens * 2 > self._max

    def reset(self, now_s: float) -> None:
        """Forget the counters and fill up; what is under way stays counted."""
        super().reset(now_s)
        self._tokens = self._max

    def snapshot(self) -> Snapshot:
        """Return the figures for a page."""
        return {**super().snapshot(), "tokens": self.tokens, "max_tokens": self._max / MILLI}
