"""Criticality gate: under overload, refuse what matters least first.

Why: a limiter refuses whoever comes at the wrong moment. With 8 critical and 52 sheddable requests
a second at a service that can carry 20, it refuses two of three critical ones too. This gate stands
around a limiter and gives each level of importance a room of its own size:

    room(level) = limit + level × max(5 × limit, 4)          sheddable 0 … critical_plus 3
    but no more than are served in 0.5, 0.75 or 0.8 of the request's time left

Whoever the limiter admits is in. Whom it refuses may *overdraw*: go on above the limit while those
in flight are no more than the level's room. While somebody is overdrawn, a level must keep to its
own room, so the less important pay the debt back. And whoever is refused shuts the gate for all who
matter less, for a second. Two promises follow:

- *Nobody pays for someone who matters less.* Sheddable requests fill the limit and no more, so
  the room above it is always left to those who matter more; a level is refused only when it and
  those above it want more than that.
- *No less important request is admitted within 1 s of a refusal.* So ``critical`` is never refused
  while ``sheddable`` is admitted.

One figure is learned, and only from those who overdrew: the *pace*, what each of them took over how
many were in flight when it came. Times the line ahead it says how long a newcomer will be here. One
may always overdraw, so a pace that has become too slow is learned anew. Sheddable requests get what
is left at once, and are back 1 s after the last refusal of somebody who matters more.

Why rooms above the limit and not shares below it: we tried both. A learned limit is what keeps
every worker busy with nothing waiting; to hold a share of it free leaves workers idle, BBR learns a
lower throughput and takes the limit down, the share shrinks, and so on (goodput 0.98 → 0.79 in the
model of the tests). Above the limit there is a short queue, and important requests deserve it.

Why five limits a level: a refusal of a critical request costs more than that request. The gate is
shut for a second, so when the burst is over workers idle. On the bench's trace with service times
of cv 1, 44 critical requests came in one second to a service that carries 50; at one and a half
limits 14 of them were refused though they had two thirds of their time left, and 0.4 of the next
second was idle: goodput at ten times the capacity 0.91 in place of 1.00 (docs/bench.md). At two and
a half it was 1.00 or 0.90, as BBR had learned 4 or 3: at five it does not hang on the limit's last
one any more.

Why the time left as well: limits alone cannot be both that wide and safe. Where *all* are critical
everybody overdraws, the limiter's own requests wait behind them, it takes the wait for work and
raises the limit, the rooms with it, until all answers come too late (goodput 0.81 at one and a half
limits, 0.58 at three; with the time left 1.00 at five: docs/policies/admission.md).

Source: levels and the order of shedding: SRE Book, ch. 21, "Criticality". Admission by a threshold
per level that moves with the load: DAGOR (Zhou et al., "Overload Control for Scaling WeChat
Microservices", SoCC 2018, 4.2). An immediate look at the limiter's room before its levels:
failsafe-go:adaptivelimiter/prioritylimiter.go. Differences: both of them count levels in windows
(1 s or 2,000 requests; calibrated each second) and refuse by the window before; at 20 requests a
second such a count is chance, so here the number in flight decides, request by request. The least
step of 4 is the least queue of Netflix/concurrency-limits' GradientLimit. The pace is Little's law,
as in ``deadline_cap``: how long one is here, over how many are.

Not handled: costs other than 1; order within a level (DAGOR hashes users; see ``partitions``);
requests without a deadline, whose rooms are limits alone. An overdrawn request teaches the limiter
nothing, which never saw it; in shadow nobody overdraws, so no pace is learned.
"""

from math import floor
from typing import TypeGuard

from resilience.policy.contract import (
    Criticality,
    Outcome,
    Permit,
    Rejection,
    Request,
    Snapshot,
)
from resilience.policy.layer import LimiterGate

STEP_RATIO = 5.0  # what lies below fills one limit; the rest is for bursts (docs/bench.md)
LEAST_STEP = 4.0  # Netflix GradientLimit: queue max(4, sqrt(limit)); a new BBR's limit is 0
WAIT_SHARES = (0.0, 0.5, 0.75, 0.8)  # by level; the last fifth is for service times that vary
SMOOTHING = 0.125  # TCP's weight of a new round trip (RFC 6298, 2.3)
HOLD_S = 1.0  # DAGOR and failsafe-go look once a second; BBR stays "cold" as long
LEVELS = len(Criticality)


class OverdrawnPermit(Permit):
    """Leave to go on above the limit, given by the gate and unknown to its limiter.

    Args:
        gate: Who gave it; gates may be nested.
        in_flight: How many there were, this one included.
    """

    __slots__ = ("gate", "in_flight")

    def __init__(
        self, gate: "CriticalityGate", in_flight: int, generation: int, now_s: float, cost: float
    ) -> None:
        super().__init__(generation, now_s, cost)
        self.gate = gate
        self.in_flight = in_flight


class CriticalityGate:
    """A Gate that sheds by importance over a limiter. It adds O(1) to each call.

    Args:
        limiter: Any limiter; the gate is the only one who asks it.
        step_ratio: Room that a level has more than the one below, in limits, >= 0. The worst wait
            of a level is its room over what the service carries: with 5 a ``critical`` request
            waits eleven times as long as one that comes when the limit is just full, or 0.75 of
            the time it has left, whichever is shorter. Below 1 a level may notice the one below it.
        least_step: The same in requests, >= 0, for small limits.

    Invariant: in_flight counts the limiter's permits and the overdrawn ones; nobody overdraws when
    more than ``limit + 3 × max(step_ratio × limit, least_step)`` are in flight.
    """

    name = "criticality"

    __slots__ = (
        "_binding_until_s",
        "_generation",
        "_limiter",
        "_pace_s",
        "_rejected",
        "_shut_until_s",
        "least_step",
        "overdrawn",
        "step_ratio",
        "would_admit",
    )

    def __init__(
        self,
        limiter: LimiterGate,
        *,
        step_ratio: float = STEP_RATIO,
        least_step: float = LEAST_STEP,
    ) -> None:
        if not (step_ratio >= 0 and least_step >= 0):  # so that NaN is refused as well
            raise ValueError(f"step_ratio={step_ratio} and least_step={least_step} must be >= 0")
        self._limiter = limiter
        self.step_ratio = step_ratio
        self.least_step = least_step
        self.overdrawn = 0
        self.would_admit = 0
        self._generation = 0
        self._pace_s = 0.0  # of each in flight, until one more is served; 0 until learned
        self._binding_until_s = float("-inf")  # the limiter refused somebody within HOLD_S
        self._shut_until_s = [float("-inf")] * LEVELS  # by level
        self._rejected = [0] * LEVELS

    @property
    def in_flight(self) -> int:
        """How many are in flight, the overdrawn included."""
        return self._limiter.in_flight + self.overdrawn

    def limit(self, now_s: float) -> float:
        """Return the limiter's limit; what matters more may go above it."""
        return self._limiter.limit(now_s)

    def room(self, level: Criticality, now_s: float, deadline_s: float | None = None) -> float:
        """Return how many may be in flight for one more of this level to come in, as BBR counts.

        Args:
            level: Whose room.
            now_s: The clock.
            deadline_s: When its answer is of no use any more; None leaves the time out.
        """
        limit = self._limiter.limit(now_s)
        room = limit + level * max(self.step_ratio * limit, self.least_step)
        if deadline_s is None or not level or not self._pace_s:
            return room
        stay_s = WAIT_SHARES[level] * (deadline_s - now_s)
        return min(room, max(limit + 1, floor(stay_s / self._pace_s)))

    def admit(self, request: Request, now_s: float) -> Permit | Rejection:
        """Let the request in if the limiter does or its importance allows, or refuse it."""
        level = request.criticality
        if now_s < self._shut_until_s[level]:
            return self._refuse(level, self.room(level, now_s), now_s)
        limiter = self._limiter
        if self.overdrawn and now_s < self._binding_until_s:
            room = self.room(level, now_s, request.deadline_s)
            if limiter.in_flight + self.overdrawn > room:
                return self._refuse(level, room, now_s)
        decision = limiter.admit(request, now_s)
        if not isinstance(decision, Rejection):
            return decision
        self._binding_until_s = now_s + HOLD_S
        room = self.room(level, now_s, request.deadline_s)
        in_flight = limiter.in_flight + self.overdrawn
        if level == Criticality.SHEDDABLE or in_flight > room:
            return self._refuse(level, room, now_s)
        self.overdrawn += 1
        return OverdrawnPermit(self, in_flight + 1, self._generation, now_s, request.cost)

    def admit_in_shadow(
        self, request: Request, now_s: float
    ) -> tuple[Permit | Rejection, Rejection | None]:
        """Return the limiter's decision, and with what this gate would have refused instead."""
        level = request.criticality
        decision = self._limiter.admit(request, now_s)
        if isinstance(decision, Rejection):
            room = self.room(level, now_s, request.deadline_s)
            if level != Criticality.SHEDDABLE and self.in_flight <= room:
                self.would_admit += 1
            else:
                self._shut(level, now_s)
            return decision, None
        if now_s >= self._shut_until_s[level]:
            return decision, None
        self._shut(level, now_s)
        return decision, self._rejection(self.room(level, now_s))

    def owns(self, permit: Permit) -> TypeGuard[OverdrawnPermit]:
        """Whether it is one of this gate's own, above the limit."""
        return isinstance(permit, OverdrawnPermit) and permit.gate is self

    def settle(self, permit: Permit, outcome: Outcome, now_s: float) -> None:
        """Give the place back: to the limiter, or to the gate; whoever gave it may learn."""
        if self.owns(permit):
            permit.mark_settled()
            self.overdrawn -= 1
            if permit.generation == self._generation:
                self._learn((now_s - permit.issued_s) / permit.in_flight, outcome)
        else:
            self._limiter.settle(permit, outcome, now_s)

    def reset(self, now_s: float) -> None:
        """Open to all, and reset the limiter; who is in flight stays counted."""
        self._generation += 1
        self._pace_s = 0.0
        self._binding_until_s = float("-inf")
        self._shut_until_s = [float("-inf")] * LEVELS
        self._rejected = [0] * LEVELS
        self.would_admit = 0
        self._limiter.reset(now_s)

    def snapshot(self) -> Snapshot:
        """Return the limiter's figures, the overdrawn, and the refusals by level."""
        refused = {f"rejected_{level.name.lower()}": self._rejected[level] for level in Criticality}
        return {
            **self._limiter.snapshot(),
            "overdrawn": self.overdrawn,
            "pace_ms": round(self._pace_s * 1000, 3),
            "rejected": sum(self._rejected),
            **refused,
        }

    def _learn(self, pace_s: float, outcome: Outcome) -> None:
        """Move the pace towards this one's; a call cut or pushed back took at least that long."""
        if outcome is Outcome.OK or (outcome is Outcome.OVERLOADED and pace_s > self._pace_s):
            weight = SMOOTHING if self._pace_s else 1.0
            self._pace_s += weight * (pace_s - self._pace_s)

    def _refuse(self, level: Criticality, room: float, now_s: float) -> Rejection:
        """Refuse one of this level, and shut the gate for those below it."""
        self._rejected[level] += 1
        self._shut(level, now_s)
        return self._rejection(room)

    def _shut(self, level: Criticality, now_s: float) -> None:
        for lower in range(level):
            self._shut_until_s[lower] = now_s + HOLD_S

    def _rejection(self, room: float) -> Rejection:
        return Rejection(self.name, "CRITICALITY_SHED", HOLD_S, self.in_flight, room)

    def __repr__(self) -> str:
        return f"<CriticalityGate {self.in_flight} in flight, overdrawn {self.overdrawn}>"
