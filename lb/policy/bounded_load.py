"""Bounded load: a key's owner takes it, unless it has more than its share in flight.

Why: hashing spreads keys, not requests; one key that everybody wants, and its owner drowns while
the others idle. Each endpoint has slots: its share by weight of what is in flight, times a factor.
What is too much for the owner goes to who follows, by an order that is the key's own: the spilled
requests of one key meet in the same place, those of one endpoint spread over all.
Source: Envoy, ``hash_balance_factor`` (source/extensions/load_balancing_policies/common/
thread_aware_lb_impl.cc): total = ((in flight + 1) * factor + 99) / 100 in integers, slots =
max(ceil(total * share), 1); when all are full, the one least full for its slots. After Mirrokni,
Thorup and Zadimoghaddam (2016); the jump instead of the next on the ring is from Chen et al.,
"Revisiting Consistent Hashing with Bounded Loads" (2019), against overflow that cascades.
Differs: Envoy still sends to a host whose slots are exactly used up; here, as in the paper, a
request must find a free slot. ``hashing.bounded`` is the sharded cache's: fewer candidates, since
a write deletes at each of them, and no weights.
"""

import random
from collections.abc import Sequence
from math import ceil

from hashing import ketama
from hashing.algorithm import Build
from lb.policy.key_hash import KeyHash
from resilience.policy.contract import Request, Snapshot

DEFAULT_BALANCE_PERCENT = 150  # Envoy sets none; it calls 120 to 200 typical (common.proto)
MIN_BALANCE_PERCENT = 100  # Envoy: validated >= 100


class BoundedLoad(KeyHash):
    """Pick by key among those with a free slot.

    Args:
        rng: Picks for requests without a key.
        build: Places keys on nodes.
        balance_percent: How much more than its share an endpoint may have, >= 100 (no more).

    A pick is O(1) beside the lookup while the owner has a free slot, else O(candidates).
    """

    name = "bounded_load"

    def __init__(
        self,
        rng: random.Random,
        build: Build = ketama.build,
        *,
        balance_percent: int = DEFAULT_BALANCE_PERCENT,
    ) -> None:
        if balance_percent < MIN_BALANCE_PERCENT:
            raise ValueError(f"balance_percent must be 100 or more, not {balance_percent}")
        super().__init__(rng, build)
        self._percent = balance_percent
        self._total_weight = 0.0
        self._spilled = 0

    def pick(self, request: Request, exclude: Sequence[str], now_s: float) -> str | None:
        """Name the first for this key that has a free slot, else the least full for its slots."""
        first = super().pick(request, exclude, now_s)
        if first is None or self.fullness(first) < 1.0:
            return first
        self._spilled += 1
        order = self.followers(request.key) if request.key else self.candidates
        usable = [name for name in order if name not in exclude]
        free = next((name for name in usable if self.fullness(name) < 1.0), None)
        return free or min(usable, key=self.fullness)

    def slots(self, endpoint: str) -> int:
        """Return how many requests a candidate may have in flight, the next one counted; >= 1."""
        total = ((self.in_flight + 1) * self._percent + 99) // 100
        return max(ceil(total * self.weights[endpoint] / self._total_weight), 1)

    def fullness(self, endpoint: str) -> float:
        """Return a candidate's requests in flight over its slots, >= 0; 1 is full."""
        return self.active(endpoint) / self.slots(endpoint)

    def snapshot(self) -> Snapshot:
        """In flight by endpoint, and how many requests found their endpoint full."""
        return {"spilled": self._spilled, **super().snapshot()}

    def _on_change(self) -> None:
        super()._on_change()
        self._total_weight = sum(self.weights[name] for name in self.candidates)
