"""SRE breaker: refuse calls to a dependency in proportion to how many it fails to accept.

Why not open and closed: a breaker with states lets everything or nothing through, and all clients
flip together. This one keeps sending ``K`` times what the other side accepts, so it probes all the
time and needs no half-open state.

    drop = max(0, (requests - K * accepts) / (requests + 1))

It bites once the accepts of the window are fewer than 1/K of its requests: a dependency that was
well and then hangs is noticed after ``window_s * (1 - 1/K)``, 1 s with kratos' setting, a minute
with the book's. It recovers exponentially: what it lets through grows by e^x a window, where
x = K * (1 - e^-x), that is 2.4-fold for K = 1.5 and 4.9-fold for K = 2.

Source: SRE Book, ch. 21, "Client-Side Throttling", eq. 21-1; the window and the minimum are
go-kratos' (kratos@v1:pkg/net/netutil/breaker/sre_breaker.go, aegis:circuitbreaker/sre/sre.go).
Unlike those two a request counts *before* the call, as the book has it: counting afterwards hides
the calls that hang, until the first times out, and all the longer when the window is shorter than
the timeout (go-zero #3837, #5011). A refused request counts too, an IGNORED one is refunded.
The price: a burst of first calls looks like a hang until the first answers come, which is what
``min_requests`` is for.
Not handled: one breaker per method (make one each); slow calls that succeed (``state_breaker``).
"""

import random
from dataclasses import dataclass

from resilience.policy.breaker_window import AcceptWindow
from resilience.policy.contract import Outcome, Permit, Rejection, Request, Snapshot

WINDOW_S = 3.0  # kratos v1, aegis and kratos v3 alike
BOOK_WINDOW_S = 120.0  # the book remembers two minutes
BUCKETS = 10  # kratos v1, aegis and kratos v3 again
REASON = "BREAKER_OPEN"
RETRY_AFTER_S = 1.0  # a third of kratos' window: by then a third of the failures is forgotten

_OK, _IGNORED = Outcome.OK, Outcome.IGNORED  # see Outcome


@dataclass(frozen=True, slots=True)
class SreSettings:
    """How soon the breaker refuses.

    Args:
        k: Requests sent per accepted one before refusing, > 1; 2 wastes more and adapts faster.
        min_requests: Requests in the window below which nothing is refused, >= 0.
        window_s: Seconds remembered, > 0. A longer one bites later and recovers later; one shorter
            than the call's timeout forgets requests that are still on their way.

    Raises:
        ValueError: A value is out of its range.
    """

    k: float
    min_requests: int
    window_s: float = WINDOW_S

    def __post_init__(self) -> None:
        """Refuse what can't work: K of 1 would refuse for each single failure."""
        if not self.k > 1:
            raise ValueError(f"k={self.k} must be > 1")
        if self.min_requests < 0:
            raise ValueError(f"min_requests={self.min_requests} must be >= 0")
        if not self.window_s > 0:
            raise ValueError(f"window_s={self.window_s} must be > 0")


KRATOS_V1 = SreSettings(k=1.5, min_requests=100)  # pkg/net/netutil/breaker/breaker.go
AEGIS = SreSettings(k=1 / 0.6, min_requests=100)  # success 0.6; its own comment says 0.5
KRATOS_V3 = SreSettings(k=2.0, min_requests=20)  # internal/circuitbreaker/sre.go: ratio 0.5
# The book names no least number: its formula alone refuses the second call of a cold start. That of
# kratos v3, which has the same K, is taken for it.
BOOK = SreSettings(k=2.0, min_requests=20, window_s=BOOK_WINDOW_S)


class SreBreaker:
    """A Gate that throttles by the share of accepted requests. Every call is O(1).

    Args:
        rng: Whose ``random()`` decides on each request under throttling.
        settings: One of the presets above, or your own.
    """

    name = "breaker"

    __slots__ = (
        *("_generation", "_k", "_min_requests", "_rejected", "_rng", "_window"),
        *("in_flight", "settings"),
    )

    def __init__(self, rng: random.Random, settings: SreSettings = KRATOS_V1) -> None:
        self._rng = rng
        self._k = settings.k
        self._min_requests = settings.min_requests
        self._window = AcceptWindow(BUCKETS, settings.window_s / BUCKETS)
        self._generation = 0
        self._rejected = 0
        self.in_flight = 0
        self.settings = settings

    def admit(self, request: Request, now_s: float) -> Permit | Rejection:
        """Count the request, and let it pass or not by the drop ratio before it."""
        window = self._window
        if now_s >= window.until_s:
            window.advance(now_s)
        requests = window.requests
        surplus = requests - self._k * window.accepts
        window.add_request(now_s)
        if (
            surplus > 0
            and requests >= self._min_requests
            and self._rng.random() < surplus / (requests + 1)
        ):
            return self._refuse()
        self.in_flight += 1
        return Permit(self._generation, now_s, request.cost)

    def settle(self, permit: Permit, outcome: Outcome, now_s: float) -> None:
        """Count an OK as accepted, refund an IGNORED; anything else stays unaccepted."""
        permit.mark_settled()
        self.in_flight -= 1
        if permit.generation != self._generation:
            return
        if outcome is _OK:
            self._window.add_accept(now_s)
        elif outcome is _IGNORED:
            self._window.refund(permit.issued_s, now_s)

    def drop_ratio(self) -> float:
        """Share of requests to refuse, 0..1, from what the window remembers."""
        requests = self._window.requests
        surplus = requests - self._k * self._window.accepts
        if surplus <= 0 or requests < self._min_requests:
            return 0.0
        return surplus / (requests + 1)

    def reset(self, now_s: float) -> None:
        """Forget the window; what is in flight teaches nothing any more."""
        self._generation += 1
        self._rejected = 0
        self._window.reset()

    def snapshot(self) -> Snapshot:
        """Return the window as it was at the last call, and the ratio it gives."""
        return {
            "requests": self._window.requests,
            "accepts": self._window.accepts,
            "drop_ratio": round(self.drop_ratio(), 4),
            "rejected": self._rejected,
            "in_flight": self.in_flight,
            "k": round(self.settings.k, 4),
            "min_requests": self.settings.min_requests,
            "window_s": self.settings.window_s,
        }

    def _refuse(self) -> Rejection:
        self._rejected += 1
        allowed = self._k * self._window.accepts
        return Rejection(self.name, REASON, RETRY_AFTER_S, self._window.requests, allowed)

    def __repr__(self) -> str:
        return f"<SreBreaker {self._window.accepts} of {self._window.requests} accepted>"
