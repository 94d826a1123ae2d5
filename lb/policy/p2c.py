"""Least request by the power of two choices (P2C): of two random endpoints, the less busy.

Why: the least busy of *all* makes every balancer of a fleet run to the same endpoint, and needs a
scan; two random ones bring the longest queue from log n / log log n down to log log n.
Source: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (2001); the weights
are Envoy's least-request: ``w / (active + 1) ** bias``.
Unequal weights: Envoy feeds the formula to an EDF scheduler; here one draw in proportion to it,
equal in expectation, O(n) and without a schedule to rebuild when a count changes.
Not handled: who is alive (``health``, ``outlier``), locality, latency.
"""

import random
from collections.abc import Iterable, Mapping, Sequence

from resilience.policy.contract import Outcome, Request, Snapshot

DEFAULT_BIAS = 1.0  # Envoy: active_request_bias default; 0 would ignore load
DEFAULT_WEIGHT = 1.0


class P2C:
    """Pick among candidates by requests in flight.

    Args:
        rng: Source of chance.
        bias: How strongly load counts, >= 0.

    Invariant: the count of an endpoint is its starts minus its finishes, whether or not it is
    still known; an endpoint that left and has nothing in flight is forgotten.
    """

    name = "p2c"

    def __init__(self, rng: random.Random, *, bias: float = DEFAULT_BIAS) -> None:
        if bias < 0:
            raise ValueError(f"bias must be 0 or more, not {bias}")
        self._random = rng.random
        self._bias = bias
        self._weights: dict[str, float] = {}
        self._active: dict[str, int] = {}
        self._candidates: tuple[str, ...] = ()
        self._has_equal_weights = True

    def set_endpoints(self, endpoints: Iterable[str] | Mapping[str, float]) -> None:
        """Know these endpoints from now on; all of them are candidates.

        Args:
            endpoints: Names, or name to weight, > 0 (1 when only names are given).
        """
        weights = (
            dict(endpoints)
            if isinstance(endpoints, Mapping)
            else dict.fromkeys(endpoints, DEFAULT_WEIGHT)
        )
        for name, weight in weights.items():
            if weight <= 0:
                raise ValueError(f"weight of {name} must be above 0, not {weight}")
        self._weights = weights
        self._active = {
            name: self._active.get(name, 0)
            for name in {**weights, **self._active}
            if name in weights or self._active[name] > 0
        }
        self.set_candidates(tuple(weights))

    def set_candidates(self, names: Sequence[str]) -> None:
        """Choose among these known endpoints only, until told otherwise."""
        self._candidates = tuple(name for name in names if name in self._weights)
        self._has_equal_weights = len({self._weights[name] for name in self._candidates}) <= 1

    def pick(self, request: Request, exclude: Sequence[str], now_s: float) -> str | None:
        """Name the less busy of two random candidates; None when all are excluded."""
        names = self._candidates
        if exclude:
            names = tuple(name for name in names if name not in exclude)
        count = len(names)
        if count < 2:
            return names[0] if names else None
        if not self._has_equal_weights:
            return self._draw(names)
        one = int(self._random() * count)
        other = int(self._random() * (count - 1))
        if other >= one:
            other += 1
        first, second = names[one], names[other]
        # Why no power here: with equal weights it doesn't change which of the two is larger.
        if self._bias and self._active[second] < self._active[first]:
            return second
        return first

    def on_start(self, endpoint: str, now_s: float) -> None:
        """Count one more request in flight."""
        self._active[endpoint] = self._active.get(endpoint, 0) + 1

    def on_finish(self, endpoint: str, outcome: Outcome, now_s: float) -> None:
        """Count one less; the outcome doesn't matter to load."""
        left = self._active[endpoint] - 1
        assert left >= 0, f"finished more often than started: {endpoint}"
        if left or endpoint in self._weights:
            self._active[endpoint] = left
        else:
            del self._active[endpoint]

    def active(self, endpoint: str) -> int:
        """Requests in flight at this endpoint; 0 for an unknown one."""
        return self._active.get(endpoint, 0)

    def snapshot(self) -> Snapshot:
        """Requests in flight by endpoint."""
        return dict(self._active)

    def _draw(self, names: Sequence[str]) -> str:
        scores = [self._weights[n] / (self._active[n] + 1) ** self._bias for n in names]
        point = self._random() * sum(scores)
        for name, score in zip(names, scores, strict=True):
            point -= score
            if point < 0:
                return name
        return names[-1]  # rounding left a sliver of the line uncovered
