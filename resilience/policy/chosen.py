"""Chosen limiter: one of several ways to learn a limit, exchanged while requests are under way.

Why: which limiter suits a service is found by trying them on its own traffic, and a restart for
each would try the restart as well. The one chosen decides; who was let in by an earlier one goes
back to it, so nothing drifts and no limiter learns from another's requests.
Not handled: handing over what was learned. A limiter chosen anew begins as it was made, and for a
moment those of the last one are in flight beside its own.
"""

from collections.abc import Callable, Mapping

from resilience.policy.contract import Outcome, Permit, Rejection, Request, Snapshot
from resilience.policy.layer import LimiterGate


class ChosenPermit(Permit):
    """Leave given by one of the limiters.

    Args:
        inner: Its permit.
        limiter: Whose it is.
    """

    __slots__ = ("inner", "limiter")

    def __init__(self, inner: Permit, limiter: LimiterGate) -> None:
        super().__init__(inner.generation, inner.issued_s, inner.cost)
        self.inner = inner
        self.limiter = limiter


class ChosenLimiter:
    """A limiter Gate that asks the one chosen now. Each call is that one's, and O(1) more.

    Args:
        makers: Makes each limiter, by name; at least one. None is made before it is chosen.
        choice_fn: Names the one to ask, at each admission; a name that isn't there changes nothing.
        name: What decisions are reported under.

    Attributes:
        by: Who decides now.
        in_flight: How many are, whoever let them in.

    Raises:
        ValueError: There is nothing to choose from, or what is chosen at first isn't there.
    """

    __slots__ = ("_choice_fn", "_limiter", "_makers", "by", "in_flight", "name")

    def __init__(
        self,
        makers: Mapping[str, Callable[[], LimiterGate]],
        choice_fn: Callable[[], str],
        *,
        name: str = "limiter",
    ) -> None:
        self._makers = dict(makers)
        self._choice_fn = choice_fn
        self.name = name
        self.in_flight = 0
        self.by = choice_fn()
        if self.by not in self._makers:
            raise ValueError(f"choice={self.by!r} must be one of {', '.join(makers) or 'nothing'}")
        self._limiter = self._makers[self.by]()

    def admit(self, request: Request, now_s: float) -> Permit | Rejection:
        """Ask the limiter that is chosen now."""
        by = self._choice_fn()
        if by != self.by and by in self._makers:
            self.by = by
            self._limiter = self._makers[by]()
        decision = self._limiter.admit(request, now_s)
        if isinstance(decision, Rejection):
            return decision
        self.in_flight += 1
        return ChosenPermit(decision, self._limiter)

    def settle(self, permit: Permit, outcome: Outcome, now_s: float) -> None:
        """Give the place back to the limiter that gave it."""
        assert isinstance(permit, ChosenPermit), "settled where it was not admitted"
        permit.mark_settled()
        self.in_flight -= 1
        permit.limiter.settle(permit.inner, outcome, now_s)

    def limit(self, now_s: float) -> float:
        """Return how many may be in flight now, as the one chosen last has it."""
        return self._limiter.limit(now_s)

    def reset(self, now_s: float) -> None:
        """Make the one in use forget; who is in flight stays counted."""
        self._limiter.reset(now_s)

    def snapshot(self) -> Snapshot:
        """Return the limiter's figures, and who it is."""
        return {**self._limiter.snapshot(), "in_flight": self.in_flight, "by": self.by}

    def __repr__(self) -> str:
        return f"<ChosenLimiter {self.by} {self.in_flight} in flight>"
