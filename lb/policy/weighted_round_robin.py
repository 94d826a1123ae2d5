"""Smooth weighted round robin: turns in proportion to weights, spread evenly.

Why: a plain weighted round robin sends a burst to the heaviest (a a a a a b c). Here everyone gains
its weight each turn, the richest is picked and pays the sum of all weights; so weights 5, 1, 1 give
a a b a c a a, and after a round of 7 everyone is where it began.
Source: nginx, src/http/ngx_http_upstream_round_robin.c, ``ngx_http_upstream_get_peer`` (commit
52327e0, 2012, which publishes that sequence).
Differs: nginx lets a failure lower the weight for a while; here ``outlier`` leaves the endpoint.
Not handled: load. A slow endpoint gets its turns as before (``p2c``, ``peak_ewma`` look at that).
"""

import random
from collections.abc import Sequence

from lb.policy.roster import Roster
from resilience.policy.contract import Request


class SmoothWeighted(Roster):
    """Hand out turns by weight. A pick is O(candidates).

    Args:
        rng: Lets everyone begin at another point of the round, so that a fleet of balancers that
            start together doesn't send its first requests to the same endpoint. None: the
            published order.

    Invariant: with unchanging candidates, what they have saved up adds up to a constant.
    """

    name = "weighted_round_robin"

    def __init__(self, rng: random.Random | None = None) -> None:
        super().__init__()
        self._rng = rng
        self._saved: dict[str, float] = {}

    def pick(self, request: Request, exclude: Sequence[str], now_s: float) -> str | None:
        """Name the one whose turn it is; None when all are excluded. Excluded ones save nothing."""
        best: str | None = None
        most, total = float("-inf"), 0.0
        for name in self.allowed(exclude):
            weight = self.weights[name]
            total += weight
            saved = self._saved[name] = self._saved[name] + weight
            if saved > most:
                best, most = name, saved
        if best is not None:
            self._saved[best] -= total
        return best

    def _on_change(self) -> None:
        self._saved = {
            name: self._saved[name] if name in self._saved else self._first(weight)
            for name, weight in self.weights.items()
        }

    def _first(self, weight: float) -> float:
        return self._rng.random() * weight if self._rng else 0.0
