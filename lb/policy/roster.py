"""Roster: the endpoints an algorithm knows, which of them it may pick, and what they are busy with.

Why: every algorithm here needs the same three facts, and health, ejection and panic must be able to
hand any of them a list of candidates without asking which one it is. ``Algorithm`` is that shape:
the Picker of ``resilience.policy.contract`` and two ways to tell it who is there.
Source: Envoy keeps the same two lists per priority, all hosts and healthy hosts
(envoy/upstream/upstream.h, ``HostSet``).
Not handled: who is usable (``health``, ``outlier``, ``panic``).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from resilience.policy.contract import Outcome, Picker, Request, Snapshot

DEFAULT_WEIGHT = 1.0


class Algorithm(Picker, Protocol):
    """A Picker that is told who there is (``P2C`` is one, too)."""

    def set_endpoints(self, endpoints: Iterable[str] | Mapping[str, float]) -> None:
        """Know these, by weight when weights are given; all of them are candidates."""

    def set_candidates(self, names: Sequence[str]) -> None:
        """Choose among these known endpoints only, until told otherwise."""


@runtime_checkable
class Layered(Protocol):
    """An algorithm around another one: it can say which of its rules stands behind a pick."""

    def rule(self, request: Request, picked: str) -> str:
        """Name the rule by which a request went there, then the inner algorithm's."""


class Roster:
    """Hold what is known of endpoints; algorithms inherit it and add ``pick``.

    Invariant: the count of an endpoint is its starts minus its finishes, whether or not it is still
    known; an endpoint that left and has nothing in flight is forgotten.
    """

    def __init__(self) -> None:
        self.weights: Mapping[str, float] = {}
        self.candidates: tuple[str, ...] = ()
        self.in_flight = 0
        self._active: dict[str, int] = {}

    def set_endpoints(self, endpoints: Iterable[str] | Mapping[str, float]) -> None:
        """Know these endpoints from now on; all of them are candidates.

        Args:
            endpoints: Names, or name to weight, finite and > 0 (1 when only names are given).

        Raises:
            ValueError: When a weight is out of range.
        """
        self.weights = checked_weights(endpoints)
        self._active = {
            name: count for name, count in self._active.items() if count or name in self.weights
        }
        self.set_candidates(tuple(self.weights))

    def set_candidates(self, names: Sequence[str]) -> None:
        """Choose among these known endpoints only, until told otherwise."""
        self.candidates = tuple(name for name in names if name in self.weights)
        self._on_change()

    def on_start(self, endpoint: str, now_s: float) -> None:
        """Count one more request in flight."""
        self._active[endpoint] = self._active.get(endpoint, 0) + 1
        self.in_flight += 1

    def on_finish(self, endpoint: str, outcome: Outcome, now_s: float) -> None:
        """Count one less."""
        left = self._active.get(endpoint, 0) - 1
        assert left >= 0, f"finished more often than started: {endpoint}"
        self.in_flight -= 1
        if left or endpoint in self.weights:
            self._active[endpoint] = left
        else:
            del self._active[endpoint]

    def active(self, endpoint: str) -> int:
        """Requests in flight at this endpoint; 0 for an unknown one."""
        return self._active.get(endpoint, 0)

    def allowed(self, exclude: Sequence[str]) -> tuple[str, ...]:
        """Candidates that aren't excluded, in their order."""
        if not exclude:
            return self.candidates
        return tuple(name for name in self.candidates if name not in exclude)

    def snapshot(self) -> Snapshot:
        """Requests in flight by endpoint."""
        return {name: self._active.get(name, 0) for name in {**self.weights, **self._active}}

    def _on_change(self) -> None:
        """Rebuild what depends on endpoints, weights or candidates."""


def rule_of(algorithm: Algorithm, request: Request, picked: str) -> str:
    """Say in words by what a request went to an endpoint, the outermost layer first.

    Asked afterwards, by an operator: no pick pays for it.
    """
    return algorithm.rule(request, picked) if isinstance(algorithm, Layered) else algorithm.name


def checked_weights(endpoints: Iterable[str] | Mapping[str, float]) -> dict[str, float]:
    """Return endpoints as name to weight.

    Raises:
        ValueError: When a weight isn't a finite number above zero; the message names the endpoint.
    """
    if not isinstance(endpoints, Mapping):
        return dict.fromkeys(endpoints, DEFAULT_WEIGHT)
    for name, weight in endpoints.items():
        if not 0.0 < weight < float("inf"):
            raise ValueError(f"weight of {name} must be above 0, not {weight}")
    return dict(endpoints)
