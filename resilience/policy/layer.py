"""Layer: a gate around a limiter, with a switch of its own that leaves the limiter's alone.

Why: importance and tenants decide *over* a limiter, so the plain switch doesn't fit them. Off must
not mean that nobody is asked, but that the limiter alone decides; and in shadow the limiter
decides, while the layer counts whom it would have refused or let in instead.

    partitions ( criticality ( limiter ) )        each on, in shadow or off, moved live

Each permit goes back to whoever gave it, wherever the switches stand by then.
Not handled: what would have followed. A layer in shadow sees the limiter's decisions and not those
that its own would have led to, so its counts are of single decisions, not of another history.
"""

from collections.abc import Callable
from typing import Protocol

from resilience.policy.contract import (
    Gate,
    Mode,
    Outcome,
    Permit,
    Rejection,
    Request,
    Snapshot,
)
from resilience.policy.switch import PassPermit, SwitchedGate

_ON, _OFF = Mode.ON, Mode.OFF  # see Outcome


class LimiterGate(Gate, Protocol):
    """A limiter that says how many are in flight, and how many may be."""

    @property
    def in_flight(self) -> int:
        """How many are in flight now."""

    def limit(self, now_s: float) -> float:
        """Return how many may be in flight now."""


class Layer(LimiterGate, Protocol):
    """A gate around a limiter that can also look on while the limiter decides.

    Attribute ``would_admit`` counts those it would have let in above the limit.
    """

    would_admit: int

    def owns(self, permit: Permit) -> bool:
        """Whether ``settle`` must come here; the limiter's own permits may go there at once."""

    def admit_in_shadow(
        self, request: Request, now_s: float
    ) -> tuple[Permit | Rejection, Rejection | None]:
        """Return the limiter's decision, and with what the layer would have refused instead."""


class ShadowedPermit(PassPermit):
    """A limiter's permit for somebody whom a layer in shadow would have refused.

    Args:
        layer: Which layer.
        inner: The limiter's permit.
        shadowed: What the layer would have refused with.
    """

    __slots__ = ("inner", "layer")

    def __init__(
        self, layer: "SwitchedLayer", inner: Permit, shadowed: Rejection, now_s: float
    ) -> None:
        super().__init__(now_s, shadowed)
        self.layer = layer
        self.inner = inner


class SwitchedLimiter(SwitchedGate):
    """A limiter that obeys a switch and still says how many are in flight; a layer's innermost."""

    __slots__ = ("_limiter",)

    def __init__(self, limiter: LimiterGate, mode_fn: Callable[[], Mode]) -> None:
        super().__init__(limiter, mode_fn)
        self._limiter = limiter

    @property
    def in_flight(self) -> int:
        """How many of the limiter's permits are out; whom the switch let pass isn't counted."""
        return self._limiter.in_flight

    def limit(self, now_s: float) -> float:
        """Return how many may be in flight now."""
        return self._limiter.limit(now_s)


class SwitchedLayer:
    """A Layer that obeys a switch, around the limiter that it was made around.

    Args:
        layer: The policy.
        limiter: The very one that the layer asks.
        mode_fn: Asked at each admission.
    """

    __slots__ = ("_limiter", "_mode_fn", "layer", "name", "would_reject")

    def __init__(self, layer: Layer, limiter: LimiterGate, mode_fn: Callable[[], Mode]) -> None:
        self.layer = layer
        self.name = layer.name
        self.would_reject = 0
        self._limiter = limiter
        self._mode_fn = mode_fn

    @property
    def in_flight(self) -> int:
        """How many are in flight, those above the limit included."""
        return self.layer.in_flight

    def limit(self, now_s: float) -> float:
        """Return the limiter's limit."""
        return self._limiter.limit(now_s)

    def admit(self, request: Request, now_s: float) -> Permit | Rejection:
        """Let the layer decide, or look on, or leave it to the limiter."""
        mode = self._mode_fn()
        if mode is _ON:
            return self.layer.admit(request, now_s)
        if mode is _OFF:
            return self._limiter.admit(request, now_s)
        decision, refusal = self.layer.admit_in_shadow(request, now_s)
        if refusal is None or isinstance(decision, Rejection):
            return decision
        self.would_reject += 1
        return ShadowedPermit(self, decision, refusal, now_s)

    def settle(self, permit: Permit, outcome: Outcome, now_s: float) -> None:
        """Hand the permit back to whoever gave it."""
        if isinstance(permit, ShadowedPermit) and permit.layer is self:
            permit.mark_settled()
            permit = permit.inner
        if self.layer.owns(permit):
            self.layer.settle(permit, outcome, now_s)
        else:
            self._limiter.settle(permit, outcome, now_s)

    def reset(self, now_s: float) -> None:
        """Reset the layer, with it the limiter, and the counts of shadow."""
        self.would_reject = 0
        self.layer.reset(now_s)

    def snapshot(self) -> Snapshot:
        """Return the layer's figures, the mode, and what it would have decided otherwise."""
        return {
            **self.layer.snapshot(),
            "mode": self._mode_fn().value,
            "would_reject": self.would_reject,
            "would_admit": self.layer.would_admit,
        }

    def __repr__(self) -> str:
        return f"<SwitchedLayer {self._mode_fn().value} {self.layer!r}>"


def switched(gate: Gate, mode_of: Callable[[str], Mode]) -> Gate:
    """Return a gate that obeys the switch of its name; one that obeys its own already is left."""
    if isinstance(gate, SwitchedGate | SwitchedLayer):
        return gate
    return SwitchedGate(gate, lambda: mode_of(gate.name))
