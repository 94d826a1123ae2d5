"""Chosen gate: one of several policies for one job, exchanged while calls are under way.

Why: whether the SRE Book's throttle or the breaker with states suits a dependency is found by
trying both on its own traffic. The one chosen decides; what an earlier one let through goes back to
it, so no half-open place is lost and none learns from another's calls.

Source: ``chosen`` (the same for limiters, which also say how many are in flight).
Not handled: handing over what was learned. One that is chosen again begins as it was made.
"""

from collections.abc import Callable, Mapping

from resilience.policy.contract import Gate, Outcome, Permit, Rejection, Request, Snapshot


class GatePermit(Permit):
    """Leave given by one of the gates.

    Args:
        inner: Its permit.
        gate: Whose it is.
    """

    __slots__ = ("gate", "inner")

    def __init__(self, inner: Permit, gate: Gate) -> None:
        super().__init__(inner.generation, inner.issued_s, inner.cost)
        self.inner = inner
        self.gate = gate


class ChosenGate:
    """A Gate that asks the one chosen now. Each call is that one's, and O(1) more.

    Args:
        name: What the job is called, e.g. ``breaker``.
        makers: Makes each gate, by name; at least one. None is made before it is chosen.
        choice_fn: Names the one to ask, at each admission; a name that isn't there changes nothing.

    Attributes:
        by: Who decides now.

    Raises:
        ValueError: There is nothing to choose from, or what is chosen at first isn't there.
    """

    __slots__ = ("_choice_fn", "_gate", "_makers", "by", "name")

    def __init__(
        self, name: str, makers: Mapping[str, Callable[[], Gate]], choice_fn: Callable[[], str]
    ) -> None:
        self.name = name
        self._makers = dict(makers)
        self._choice_fn = choice_fn
        self.by = choice_fn()
        if self.by not in self._makers:
            raise ValueError(f"choice={self.by!r} must be one of {', '.join(makers) or 'nothing'}")
        self._gate = self._makers[self.by]()

    def admit(self, request: Request, now_s: float) -> Permit | Rejection:
        """Ask the gate that is chosen now."""
        by = self._choice_fn()
        if by != self.by and by in self._makers:
            self.by = by
            self._gate = self._makers[by]()
        decision = self._gate.admit(request, now_s)
        return decision if isinstance(decision, Rejection) else GatePermit(decision, self._gate)

    def settle(self, permit: Permit, outcome: Outcome, now_s: float) -> None:
        """Give the permit back to the gate that gave it."""
        assert isinstance(permit, GatePermit), "settled where it was not admitted"
        permit.mark_settled()
        permit.gate.settle(permit.inner, outcome, now_s)

    def reset(self, now_s: float) -> None:
        """Make the one in use forget."""
        self._gate.reset(now_s)

    def snapshot(self) -> Snapshot:
        """Return the gate's figures, and who it is."""
        return {**self._gate.snapshot(), "by": self.by}

    def __repr__(self) -> str:
        return f"<ChosenGate {self.name} {self.by}>"
