"""Slow start: an endpoint that has just come gets its weight little by little.

Why: a cold process (no connections, empty caches, code not yet compiled) that at once gets its
share, or under least request more than that, is slow, looks sick, and is ejected when it has
hardly come. So its weight grows over a window.
Source: Envoy, slow_start.rst: weight * max(minimum, (time / window) ** (1 / aggression)), with at
least 1 s counted; minimum 10 %, aggression 1 (a straight line). Entered on joining and on coming
back into health.
Differs: the time begins with the first pick that could have taken it, since joining says nothing
of when requests come.
Not handled: endpoints that are all new: they get equal shares of nothing less, as in Envoy.
"""

from collections.abc import Iterable, Mapping, Sequence

from lb.policy.roster import Algorithm, checked_weights, rule_of
from resilience.policy.contract import Outcome, Request, Snapshot

DEFAULT_WINDOW_S = 60.0  # Envoy has no default; its documentation's example is 60 s
DEFAULT_AGGRESSION = 1.0  # Envoy: aggression
DEFAULT_MIN_RATIO = 0.1  # Envoy: min_weight_percent 10 %
LEAST_AGE_S = 1.0  # Envoy: max(time since start, 1)
STEPS = 100  # how often the weights change during a window


def slow_start_ratio(
    age_s: float,
    window_s: float = DEFAULT_WINDOW_S,
    aggression: float = DEFAULT_AGGRESSION,
    min_ratio: float = DEFAULT_MIN_RATIO,
) -> float:
    """Return the share of its weight that an endpoint of this age has, ``min_ratio``..1."""
    if age_s >= window_s:
        return 1.0
    grown: float = (max(age_s, LEAST_AGE_S) / window_s) ** (1.0 / aggression)
    return min(1.0, max(min_ratio, grown))


class SlowStart:
    """Give newcomers to another algorithm their weight little by little.

    Args:
        inner: Any algorithm that heeds weights.
        window_s: How long it takes, > 0.
        aggression: Above 1 early, below 1 late; > 0.
        min_ratio: What a newcomer has at least, 0 < ratio <= 1.

    A pick is the inner one's; a hundred times per window the inner weights are set anew.

    Raises:
        ValueError: When a number is out of range.
    """

    name = "slow_start"

    def __init__(
        self,
        inner: Algorithm,
        *,
        window_s: float = DEFAULT_WINDOW_S,
        aggression: float = DEFAULT_AGGRESSION,
        min_ratio: float = DEFAULT_MIN_RATIO,
    ) -> None:
        if window_s <= 0 or aggression <= 0 or not 0 < min_ratio <= 1:
            raise ValueError(
                "window_s and aggression must be above 0, min_ratio above 0 and at most 1: "
                f"{window_s}, {aggression}, {min_ratio}"
            )
        self._inner = inner
        self._window_s = window_s
        self._aggression = aggression
        self._min_ratio = min_ratio
        self._weights: Mapping[str, float] = {}
        self._candidates: tuple[str, ...] = ()
        self._since_s: dict[str, float] = {}  # candidates, by when a pick first could take them
        self._next_s = float("-inf")
        self._starting = 0

    def set_endpoints(self, endpoints: Iterable[str] | Mapping[str, float]) -> None:
        """Know these, by weight when weights are given; all of them are candidates."""
        self._weights = checked_weights(endpoints)
        self.set_candidates(tuple(self._weights))

    def set_candidates(self, names: Sequence[str]) -> None:
        """Choose among these; whoever wasn't a candidate before begins slowly."""
        self._candidates = tuple(name for name in names if name in self._weights)
        present = set(self._candidates)
        self._since_s = {name: t for name, t in self._since_s.items() if name in present}
        self._next_s = float("-inf")
        self._tell(self._weights)

    def pick(self, request: Request, exclude: Sequence[str], now_s: float) -> str | None:
        """Name what the inner algorithm picks by the weights of this moment."""
        if now_s >= self._next_s:
            self._refresh(now_s)
        return self._inner.pick(request, exclude, now_s)

    def on_start(self, endpoint: str, now_s: float) -> None:
        """Pass on."""
        self._inner.on_start(endpoint, now_s)

    def on_finish(self, endpoint: str, outcome: Outcome, now_s: float) -> None:
        """Pass on."""
        self._inner.on_finish(endpoint, outcome, now_s)

    def ratio(self, endpoint: str, now_s: float) -> float:
        """Return the share of its weight that a candidate has now."""
        age_s = now_s - self._since_s.get(endpoint, now_s)
        return slow_start_ratio(age_s, self._window_s, self._aggression, self._min_ratio)

    def rule(self, request: Request, picked: str) -> str:
        """Name what the inner algorithm says: only its weights are changed."""
        return f"{self.name}, {rule_of(self._inner, request, picked)}"

    def snapshot(self) -> Snapshot:
        """How many candidates are starting, and the inner snapshot."""
        return {"starting": self._starting, **self._inner.snapshot()}

    def _refresh(self, now_s: float) -> None:
        for name in self._candidates:
            self._since_s.setdefault(name, now_s)
        ratios = {name: self.ratio(name, now_s) for name in self._candidates}
        self._starting = sum(ratio < 1.0 for ratio in ratios.values())
        self._next_s = now_s + self._window_s / STEPS if self._starting else float("inf")
        self._tell({name: w * ratios.get(name, 1.0) for name, w in self._weights.items()})

    def _tell(self, weights: Mapping[str, float]) -> None:
        self._inner.set_endpoints(weights)
        self._inner.set_candidates(self._candidates)
