"""Groups: first which group, then which endpoint of it.

Why: zones, priorities and a canary all split endpoints and then balance inside the part. What they
share is here: an algorithm of its own per group, shares to draw a group by, and another group when
the drawn one has nobody left for this request.
Source: Envoy chooses a host set (priority, locality) and then a host in it
(source/extensions/load_balancing_policies/common/load_balancer_impl.cc, ``chooseHostSet``).
Not handled: comparing endpoints across groups; inside a group everything is the algorithm's.
"""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

from lb.policy.roster import Algorithm, Roster, rule_of
from resilience.policy.contract import Outcome, Request, Snapshot

G = TypeVar("G", str, int)


class Groups(Roster, Generic[G]):
    """Endpoints in groups, drawn by share. A pick is O(groups) and the algorithm's.

    Args:
        rng: Draws the group.
        group_of: An endpoint's group, asked once when it joins, and kept until it is forgotten.
        make: Makes the algorithm of a group.
    """

    name = "groups"

    def __init__(
        self, rng: random.Random, group_of: Callable[[str], G], make: Callable[[], Algorithm]
    ) -> None:
        super().__init__()
        self._rng = rng
        self._group_of: Callable[[str], G] = group_of
        self._make = make
        self._group: dict[str, G] = {}
        self._algorithms: dict[G, Algorithm] = {}
        self._shares: Mapping[G, float] = {}

    def set_endpoints(self, endpoints: Iterable[str] | Mapping[str, float]) -> None:
        """Know these; each goes to the algorithm of its group, and all are candidates."""
        weights = (
            dict(endpoints) if isinstance(endpoints, Mapping) else dict.fromkeys(endpoints, 1.0)
        )
        for name in weights:
            if name not in self._group:
                self._group[name] = self._group_of(name)
                self._algorithms.setdefault(self._group[name], self._make())
        for group, algorithm in self._algorithms.items():
            algorithm.set_endpoints(
                {name: weight for name, weight in weights.items() if self._group[name] == group}
            )
        super().set_endpoints(weights)
        self._group = {
            name: group
            for name, group in self._group.items()
            if name in self.weights or self.active(name)
        }

    def pick(self, request: Request, exclude: Sequence[str], now_s: float) -> str | None:
        """Draw a group and pick in it; if it has nobody, in the others, the largest share first."""
        drawn = self._draw(request)
        picked = None if drawn is None else self.pick_in(drawn, request, exclude, now_s)
        if picked is not None:
            return picked
        others = sorted(self._algorithms, key=lambda group: -self._shares.get(group, 0.0))
        tried = (self.pick_in(group, request, exclude, now_s) for group in others)
        return next((name for name in tried if name is not None), None)

    def pick_in(
        self, group: G, request: Request, exclude: Sequence[str], now_s: float
    ) -> str | None:
        """Pick in one group; None when it has no candidate that isn't excluded."""
        algorithm = self._algorithms.get(group)
        return algorithm.pick(request, exclude, now_s) if algorithm else None

    def on_start(self, endpoint: str, now_s: float) -> None:
        """Count one more in flight, in the endpoint's group too."""
        super().on_start(endpoint, now_s)
        self._algorithms[self._group[endpoint]].on_start(endpoint, now_s)

    def on_finish(self, endpoint: str, outcome: Outcome, now_s: float) -> None:
        """Count one less; the group's algorithm learns from the outcome."""
        super().on_finish(endpoint, outcome, now_s)
        self._algorithms[self._group[endpoint]].on_finish(endpoint, outcome, now_s)
        if endpoint not in self.weights and not self.active(endpoint):
            del self._group[endpoint]

    @property
    def shares(self) -> Mapping[G, float]:
        """Share of requests by group, each 0..1, together 1; empty when there is nobody."""
        return self._shares

    def group(self, endpoint: str) -> G:
        """The group of a known endpoint."""
        return self._group[endpoint]

    def snapshot(self) -> Snapshot:
        """Share by group, and in flight by endpoint."""
        shares = {f"share.{group}": share for group, share in self._shares.items()}
        return {**shares, **super().snapshot()}

    def rule(self, request: Request, picked: str) -> str:
        """Name the group, and who picked in it; an endpoint that left has neither any more."""
        group = self._group.get(picked)
        if group is None:
            return self.name
        return f"{self.name} {group}, {rule_of(self._algorithms[group], request, picked)}"

    def members(self, names: Iterable[str]) -> dict[G, list[str]]:
        """Sort known endpoints into their groups; every group that ever was has an entry."""
        found: dict[G, list[str]] = {group: [] for group in self._algorithms}
        for name in names:
            found[self._group[name]].append(name)
        return found

    def _on_change(self) -> None:
        for group, names in self.members(self.candidates).items():
            self._algorithms[group].set_candidates(names)
        self._shares = self._new_shares()

    def _new_shares(self) -> Mapping[G, float]:
        """Return the shares for the candidates there are; by weight unless overridden."""
        total = sum(self.weights[name] for name in self.candidates)
        return {
            group: sum(self.weights[name] for name in names) / total
            for group, names in self.members(self.candidates).items()
            if names
        }

    def _draw(self, request: Request) -> G | None:
        point = self._rng.random()
        drawn: G | None = None
        for group, share in self._shares.items():
            if share > 0.0:
                drawn = group  # the last one keeps what rounding left of the line
                point -= share
                if point < 0:
                    break
        return drawn
