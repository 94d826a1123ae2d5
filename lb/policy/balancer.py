"""Balancer: who may be picked (health, ejection, panic), and who is picked among them.

Why one object: the three beliefs meet in one list of candidates. It is made anew when something
changed, not on each pick, so a pick costs what P2C costs.
Source: the order is Envoy's: unhealthy and ejected hosts leave together, panic looks at what is
left.
Not handled: sending checks; connections; anything asynchronous.

Switches (``mode`` is asked at most every ``REFRESH_S``): ``checks`` on believes checks and broken
connections; ``outlier`` on believes ejections; ``panic`` on overrules both when too few are left;
``p2c`` on picks by the algorithm (the less busy of two, unless another is used), else everyone has
a turn (``round_robin``).
In shadow each goes on learning and counting, and moves nobody.
``hold_out`` is an operator's word and stands above all of that: whoever it names isn't picked, with
ejection off or too many out already, and no panic brings it back.
"""

import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from lb.policy.algorithms import ALGORITHMS, DEFAULT_ALGORITHM
from lb.policy.health import CheckedHealth
from lb.policy.outlier import OutlierEjection
from lb.policy.p2c import P2C
from lb.policy.panic import DEFAULT_PANIC_THRESHOLD, is_panicking
from lb.policy.roster import Algorithm
from lb.policy.round_robin import RoundRobin
from lb.policy.view import EndpointView, View, endpoint_view
from resilience.policy.contract import Mode, Outcome, Request, Snapshot

REFRESH_S = 0.1  # how late a switch, an end of ejection or a recheck may be noticed


class Balancer:
    """A Picker over endpoints that come, go, fail and return.

    Args:
        rng: Source of chance.
        mode: Position of a policy's switch by name (``checks``, ``outlier``, ``panic``, ``p2c``).
        algorithm: Who picks among the candidates; by default P2C.
        choice: Names one of ``ALGORITHMS`` that picks from then on; asked like a switch. A name
            that isn't among them changes nothing.
        health: Who is up; by default left after 3 misses, back after 2 good checks.
        outlier: Who is ejected.
        panic_threshold: Share of usable endpoints below which all are used.
    """

    name = "balancer"

    def __init__(
        self,
        rng: random.Random,
        mode: Callable[[str], Mode],
        *,
        algorithm: Algorithm | None = None,
        choice: Callable[[], str] | None = None,
        health: CheckedHealth | None = None,
        outlier: OutlierEjection | None = None,
        panic_threshold: float = DEFAULT_PANIC_THRESHOLD,
    ) -> None:
        self._mode = mode
        self._rng = rng
        self._algorithm: Algorithm = algorithm or P2C(rng)
        self._choice = choice
        self._chosen = DEFAULT_ALGORITHM
        self._active: dict[str, int] = {}  # in flight, whoever picked it
        self._elders: dict[str, int] = {}  # of those, picked before the algorithm was changed
        self._round_robin = RoundRobin()
        self._takes_turns = False
        self._health = health or CheckedHealth()
        self._outlier = outlier or OutlierEjection()
        self._panic_threshold = panic_threshold
        self._weights: dict[str, float] = {}
        self._endpoints: tuple[str, ...] = ()
        self._candidates: tuple[str, ...] = ()
        self._held_out: frozenset[str] = frozenset()
        self._changed_s: dict[str, float] = {}  # when it began or ceased to be a candidate
        self._view: View | None = None  # made when somebody looks
        self._refresh_at_s = float("-inf")
        self._is_panicking = False
        self._panics = 0

    def set_endpoints(self, endpoints: Iterable[str] | Mapping[str, float], now_s: float) -> None:
        """Know these endpoints (or name to weight) from now on; what stays keeps its state."""
        weights = (
            dict(endpoints) if isinstance(endpoints, Mapping) else dict.fromkeys(endpoints, 1.0)
        )
        self._endpoints = tuple(weights)
        self._weights = weights
        self._algorithm.set_endpoints(weights)
        self._health.set_endpoints(weights)
        self._outlier.set_endpoints(weights)
        self._refresh(now_s)
        self._changed_s = {name: self._changed_s.get(name, now_s) for name in weights}

    def hold_out(self, names: Collection[str], now_s: float) -> None:
        """Leave these until told otherwise, whatever is known of them; the others may return."""
        held_out = frozenset(names)
        if held_out != self._held_out:
            self._held_out = held_out
            self._refresh(now_s)

    def pick(self, request: Request, exclude: Sequence[str], now_s: float) -> str | None:
        """Name an endpoint; None when every candidate is excluded or there is none."""
        if now_s >= self._refresh_at_s:
            self._refresh(now_s)
        if self._takes_turns:
            return self._round_robin.pick(exclude)
        return self._algorithm.pick(request, exclude, now_s)

    def use(self, algorithm: Algorithm, now_s: float) -> None:
        """Pick by another algorithm from now on.

        It begins without knowing what is in flight, and isn't told of its end.
        """
        self._take(algorithm)
        self._chosen = ""  # a choice that is made holds again as soon as there is one
        self._refresh(now_s)

    def check_by(self, health: CheckedHealth, now_s: float) -> None:
        """Believe checks in another way from now on; all count as up until told otherwise."""
        self._health = health
        health.set_endpoints(self._weights)
        self._refresh(now_s)

    def eject_by(self, outlier: OutlierEjection, now_s: float) -> None:
        """Eject by other rules from now on; whoever is out returns, and failures count anew."""
        self._outlier = outlier
        outlier.set_endpoints(self._weights)
        self._refresh(now_s)

    def on_start(self, endpoint: str, now_s: float) -> None:
        """Count one more request in flight there."""
        self._active[endpoint] = self._active.get(endpoint, 0) + 1
        self._algorithm.on_start(endpoint, now_s)

    def on_finish(self, endpoint: str, outcome: Outcome, now_s: float) -> None:
        """Count one less, and learn from how it ended."""
        self._count_out(endpoint)
        if not self._was_elder(endpoint):
            self._algorithm.on_finish(endpoint, outcome, now_s)
        if self._outlier.on_result(endpoint, outcome, now_s):
            self._refresh(now_s)

    def on_check(self, endpoint: str, ok: bool, now_s: float) -> None:
        """Take one check's answer."""
        if self._health.on_check(endpoint, ok, now_s):
            self._refresh(now_s)

    def on_unreachable(self, endpoint: str, now_s: float) -> None:
        """Take a refused or reset connection: the endpoint is left at once."""
        if self._health.on_unreachable(endpoint, now_s):
            self._refresh(now_s)

    def reset(self, now_s: float) -> None:
        """Forget what was learned; what is in flight stays counted."""
        self._health.set_endpoints(())
        self._health.set_endpoints(self._endpoints)
        self._outlier.reset()
        self._refresh(now_s)

    @property
    def candidates(self) -> tuple[str, ...]:
        """Endpoints that may be picked, as of the last change."""
        return self._candidates

    @property
    def algorithm(self) -> Algorithm:
        """Who picks, unless everyone has a turn."""
        return self._algorithm

    def loads(self) -> dict[str, int]:
        """Return a copy of what is in flight by endpoint; who was never picked isn't in it."""
        return self._active.copy()

    def look(self, now_s: float) -> View:
        """Say how each endpoint stands, as of ``REFRESH_S`` ago at most."""
        if now_s >= self._refresh_at_s:
            self._refresh(now_s)
        view = self._view
        if view is None:
            view = self._view = View(
                tuple(self._view_of(name, now_s) for name in self._endpoints),
                "in turn" if self._takes_turns else self._algorithm.name,
                self._is_panicking,
            )
        return view

    def snapshot(self) -> Snapshot:
        """Counts, the panic flag, and by endpoint in flight, whether it may be picked, and which
        rule ejected it last, if any did."""
        facts: dict[str, float | int | str | bool | None] = {
            "endpoints": len(self._endpoints),
            "candidates": len(self._candidates),
            "picks": "in turn" if self._takes_turns else self._algorithm.name,
            "panicking": self._is_panicking,
            "panics": self._panics,
            "ejections": self._outlier.snapshot()["ejections"],
        }
        for name in self._endpoints:
            facts[f"{name}.active"] = self._active.get(name, 0)
            facts[f"{name}.usable"] = name in self._candidates
            if reason := self._outlier.reason(name):
                facts[f"{name}.ejected_by"] = reason
        return facts

    def _refresh(self, now_s: float) -> None:
        self._refresh_at_s = now_s + REFRESH_S
        self._follow_choice()
        in_service = usable = [name for name in self._endpoints if name not in self._held_out]
        if self._mode("checks") is Mode.ON:
            usable = self._health.up(usable, now_s)
        if self._mode("outlier") is Mode.ON:
            usable = [name for name in usable if not self._outlier.is_ejected(name, now_s)]
        before, self._candidates = self._candidates, tuple(self._after_panic(usable, in_service))
        if before != self._candidates:
            self._changed_s.update(dict.fromkeys(set(before) ^ set(self._candidates), now_s))
        self._view = None
        self._algorithm.set_candidates(self._candidates)
        self._round_robin.set_candidates(self._candidates)
        self._takes_turns = self._mode("p2c") is not Mode.ON

    def _take(self, algorithm: Algorithm) -> None:
        self._algorithm = algorithm
        self._elders = dict(self._active)
        algorithm.set_endpoints(self._weights)

    def _follow_choice(self) -> None:
        if self._choice is None:
            return
        name = self._choice()
        if name != self._chosen and name in ALGORITHMS:
            self._chosen = name
            self._take(ALGORITHMS[name](self._rng))

    def _count_out(self, endpoint: str) -> None:
        left = self._active[endpoint] - 1
        if left or endpoint in self._weights:
            self._active[endpoint] = left
        else:
            del self._active[endpoint]

    def _was_elder(self, endpoint: str) -> bool:
        """Whether a request that ends now counts as one that another algorithm had picked."""
        if not self._elders:
            return False
        left = self._elders.get(endpoint, 0) - 1
        if left > 0:
            self._elders[endpoint] = left
        else:
            self._elders.pop(endpoint, None)
        return left >= 0

    def _after_panic(self, usable: Sequence[str], in_service: Sequence[str]) -> Sequence[str]:
        mode = self._mode("panic")
        was_panicking = self._is_panicking
        self._is_panicking = mode is not Mode.OFF and is_panicking(
            len(usable), len(in_service), self._panic_threshold
        )
        self._panics += self._is_panicking and not was_panicking
        return in_service if self._is_panicking and mode is Mode.ON else usable

    def _view_of(self, name: str, now_s: float) -> EndpointView:
        return endpoint_view(
            name,
            self._weights[name],
            self._health,
            self._outlier,
            now_s,
            is_held_out=name in self._held_out,
            is_candidate=name in self._candidates,
            changed_s=self._changed_s[name],
        )
