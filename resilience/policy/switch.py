"""Switch: put any gate or queue on, in shadow or off, live, without losing count.

Shadow is how a limit is tried in production: it decides and counts, and refuses nothing. Off costs
one comparison and leaves the policy alone. The switch may move while permits are out: each permit
remembers whether the policy gave it, so it goes back where it came from and nothing drifts.
Source: resilience4j's DISABLED and METRICS_ONLY states, made the same for every policy.
Not handled: plans and pickers, which refuse nothing (the pipeline reads their mode itself).
"""

from collections.abc import Callable

from resilience.policy.contract import (
    NOBODY,
    Gate,
    Mode,
    Outcome,
    Permit,
    Queue,
    QueueTurn,
    Rejection,
    Request,
    Snapshot,
    Ticket,
)

NO_GENERATION = -1  # of a permit that no policy gave
_LONG_AGO_S = float("-inf")
_ON, _OFF = Mode.ON, Mode.OFF  # see Outcome


class PassPermit(Permit):
    """Leave given by a switch, not by the policy behind it.

    Args:
        shadowed: What the policy would have refused with; None when it was not asked.
    """

    __slots__ = ("shadowed",)

    def __init__(self, now_s: float, shadowed: Rejection | None = None) -> None:
        super().__init__(NO_GENERATION, now_s)
        self.shadowed = shadowed


class SwitchedGate:
    """A Gate that obeys a switch.

    Args:
        gate: The policy behind it.
        mode_fn: Asked at each admission.
    """

    __slots__ = ("_mode_fn", "gate", "name", "would_reject")

    def __init__(self, gate: Gate, mode_fn: Callable[[], Mode]) -> None:
        self.gate = gate
        self.name = gate.name
        self._mode_fn = mode_fn
        self.would_reject = 0

    def admit(self, request: Request, now_s: float) -> Permit | Rejection:
        """Ask the gate if it is to be asked; obey it only when on."""
        mode = self._mode_fn()
        if mode is _OFF:
            return PassPermit(now_s)
        decision = self.gate.admit(request, now_s)
        if mode is _ON or not isinstance(decision, Rejection):
            return decision
        self.would_reject += 1
        return PassPermit(now_s, decision)

    def settle(self, permit: Permit, outcome: Outcome, now_s: float) -> None:
        """Hand the permit back to whoever gave it."""
        if isinstance(permit, PassPermit):
            permit.mark_settled()
        else:
            self.gate.settle(permit, outcome, now_s)

    def reset(self, now_s: float) -> None:
        """Reset the gate and the count of shadow refusals."""
        self.would_reject = 0
        self.gate.reset(now_s)

    def snapshot(self) -> Snapshot:
        """Return the gate's figures, the mode, and what shadow would have refused."""
        return {
            **self.gate.snapshot(),
            "mode": self._mode_fn().value,
            "would_reject": self.would_reject,
        }


class SwitchedQueue:
    """A Queue that obeys a switch; in shadow nobody waits, and who would have is counted.

    Whom such a one would have displaced has been waiting since the switch was on, and is told at
    the next turn.
    """

    __slots__ = ("_displaced", "_mode_fn", "name", "queue", "would_reject", "would_wait")

    def __init__(self, queue: Queue, mode_fn: Callable[[], Mode]) -> None:
        self.queue = queue
        self.name = queue.name
        self._mode_fn = mode_fn
        self._displaced: list[tuple[Ticket, Rejection]] = []
        self.would_reject = 0
        self.would_wait = 0

    def offer(self, request: Request, now_s: float) -> Permit | Rejection | Ticket:
        """Ask the queue if it is to be asked; obey it only when on."""
        mode = self._mode_fn()
        if mode is _OFF:
            return PassPermit(now_s)
        decision = self.queue.offer(request, now_s)
        if mode is _ON or isinstance(decision, Permit):
            return decision
        if isinstance(decision, Ticket):
            # It takes no slot, so nobody is granted one.
            self._displaced += self.queue.cancel(decision, now_s).dropped
            self.would_wait += 1
            return PassPermit(now_s)
        self.would_reject += 1
        return PassPermit(now_s, decision)

    def settle(self, permit: Permit, outcome: Outcome, now_s: float) -> QueueTurn:
        """Hand the permit back to whoever gave it."""
        if isinstance(permit, PassPermit):
            permit.mark_settled()
            return self._told(NOBODY)
        return self._told(self.queue.settle(permit, outcome, now_s))

    def cancel(self, ticket: Ticket, now_s: float) -> QueueTurn:
        """Take a waiter out; tickets are always the queue's own."""
        return self._told(self.queue.cancel(ticket, now_s))

    def on_tick(self, now_s: float) -> QueueTurn:
        """Let the queue act on time passing."""
        return self._told(self.queue.on_tick(now_s))

    def next_deadline_s(self) -> float | None:
        """Return when the queue has something to do; long ago when somebody is still to be told."""
        return _LONG_AGO_S if self._displaced else self.queue.next_deadline_s()

    def reset(self, now_s: float) -> None:
        """Reset the queue and both counts."""
        self.would_reject = 0
        self.would_wait = 0
        self.queue.reset(now_s)

    def snapshot(self) -> Snapshot:
        """Return the queue's figures, the mode, and what shadow would have done."""
        return {
            **self.queue.snapshot(),
            "mode": self._mode_fn().value,
            "would_reject": self.would_reject,
            "would_wait": self.would_wait,
        }

    def _told(self, turn: QueueTurn) -> QueueTurn:
        if not self._displaced:
            return turn
        displaced, self._displaced = self._displaced, []
        return QueueTurn(turn.granted, (*displaced, *turn.dropped))
