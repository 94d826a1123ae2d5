"""Finagle's retry budget: retries are a share of the calls of the last ten seconds, plus a trickle.

Why not only what is under way (``budget.RetryBudget``): where calls are short, few are under way at
once, and a fifth of few is the floor. A share of *recent* calls follows the traffic whatever the
calls take, and keeps a short outage from spending what a long one will need.

    balance = 0.2 × calls - retries, both over the last 10 s, + 10/s × 10 s
    a retry starts only while balance >= 1

Source: twitter/finagle:finagle-core/.../service/RetryBudget.scala (20 %, 10 a second, ttl 10 s) and
twitter/util:util-core/.../TokenBucket.scala (leaky bucket of ten windows with a reserve);
finagle.github.io/blog/2016/02/08/retry-budgets. Counted as there, in whole units: a call pays in
1,000 and a retry costs 1,000 / ratio, so no rounding gathers.
What follows from the reserve, here as there: a quiet client may send all 100 retries of it at once.
Calls expire as retries do: what was saved before a lull of ten seconds is gone.
Differs: a retry started without asking (the switch is off or in shadow) is paid for only as far as
the balance goes, so that turning the switch on again begins at nothing and not in debt.
Not handled: smoothing the reserve over the window; calls that hang (prefer Envoy's there).
"""

from resilience.policy.budget import UNTIMED_S, CountingBudget
from resilience.policy.contract import Snapshot
from resilience.policy.window import RollingWindow

TTL_S = 10.0  # Finagle: DefaultTtl
MIN_RETRIES_PER_S = 10.0  # Finagle: minRetriesPerSec
RETRY_RATIO = 0.2  # Finagle: percentCanRetry
SLICES = 10  # twitter-util: WindowedAdder of ten
DEPOSIT = 1000  # Finagle: ScaleFactor; units that one call pays in

MIN_TTL_S, MAX_TTL_S = 1.0, 60.0  # Finagle: require(ttl >= 1 second && ttl <= 60 seconds)
MAX_RATIO = 1000.0  # Finagle: percentCanRetry must not be greater than its scale


class FinagleBudget(CountingBudget):
    """A Budget over recent calls; each call of it is O(1) and needs the time.

    Args:
        ratio: Retries earned per call, 0..1000; 0 leaves only the trickle.
        min_retries_per_s: Retries a second for who calls seldom, >= 0.
        ttl_s: How long a call counts, and a retry with it, 1..60 s.

    Invariant: in any ``ttl_s`` at most ratio × calls + min_retries_per_s × ttl_s retries start, to
    the grain of a tenth of it.
    """

    __slots__ = ("_deposit", "_price", "_reserve", "_window", "min_retries_per_s", "ratio", "ttl_s")

    def __init__(
        self,
        ratio: float = RETRY_RATIO,
        min_retries_per_s: float = MIN_RETRIES_PER_S,
        ttl_s: float = TTL_S,
    ) -> None:
        if not 0.0 <= ratio <= MAX_RATIO or min_retries_per_s < 0.0:
            raise ValueError(
                f"ratio={ratio} must be 0 to 1000 and min_retries_per_s={min_retries_per_s} >= 0"
            )
        if not MIN_TTL_S <= ttl_s <= MAX_TTL_S:
            raise ValueError(f"ttl_s={ttl_s} must be 1 to 60 seconds")
        super().__init__()
        self.ratio = ratio
        self.min_retries_per_s = min_retries_per_s
        self.ttl_s = ttl_s
        self._deposit = DEPOSIT if ratio else 0
        self._price = round(DEPOSIT / ratio) if ratio else 1
        self._reserve = int(min_retries_per_s * ttl_s) * self._price
        self._window = RollingWindow(SLICES, ttl_s / SLICES)  # its count: units in less units out

    def on_call_start(self, now_s: float = UNTIMED_S) -> None:
        """Count a call in, and pay in for it."""
        self.calls += 1
        self._window.add(self._deposit, 0.0, now_s)

    def has_room(self, now_s: float = UNTIMED_S) -> bool:
        """Whether the balance pays for one more retry."""
        return self._units(now_s) >= self._price

    def start_retry(self, now_s: float = UNTIMED_S) -> None:
        """Pay for a retry, as far as the balance goes, and count it in."""
        units = min(self._price, max(0, self._units(now_s)))
        self._window.add(-units, 0.0, now_s)
        super().start_retry(now_s)

    def balance(self, now_s: float) -> float:
        """How many retries could start now; below 0 when what paid for some has expired."""
        return self._units(now_s) / self._price

    def reset(self, now_s: float) -> None:
        """Forget the counters and the window; what is under way stays counted."""
        super().reset(now_s)
        self._window.reset()

    def snapshot(self) -> Snapshot:
        """Return the figures for a page; the balance is that of the last call."""
        units = self._window.count + self._reserve
        return {**super().snapshot(), "balance": units / self._price}

    def _units(self, now_s: float) -> int:
        self._window.advance(now_s)
        return self._window.count + self._reserve
