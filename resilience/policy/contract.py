"""The contract every policy keeps: five shapes, their values, how an outcome is named.

A policy decides and does nothing else. Time enters as ``now_s`` (seconds of one monotonic clock),
chance as a ``random.Random``; so the same object is tested with plain numbers, run in a container
and driven by a simulator. Adapters read the clock, call the policy, act, and report the outcome.

The shapes, one Protocol each:

- ``Gate``       breaker, limiter, bulkhead, quota: may this request start?
- ``Queue``      admission, pacing: may it start, and if not now, when?
- ``Plan``       retry and hedge as one: what to try next for this call?
- ``Picker``     balancing: which endpoint?
- ``Estimator``  pressure, round-trip time: what is this signal worth now?

Two rules hold for all of them. *Settled exactly once*: what ``admit`` gave, ``settle`` takes back,
once; a second settle is an ``AssertionError``. *Settling releases always and teaches in its own
generation only*: a permit issued before a reset still gives its slot back, but moves no window and
no limit.
"""

from collections.abc import Mapping, Sequence
from enum import Enum, IntEnum
from typing import NamedTuple, Protocol, TypeAlias

Snapshot: TypeAlias = Mapping[str, float | int | str | bool | None]
"""What ``snapshot()`` returns: flat, immutable by convention, ready for a page or a metric."""


class Outcome(Enum):
    """How an admitted request ended, named by cause (see ``resilience.outcome``).

    To name a member through its class costs 70 ns on Python 3.11, and a name of one's own module
    a tenth of that: what is asked on every call keeps the members it compares with.
    """

    OK = "ok"
    FAILED = "failed"
    OVERLOADED = "overloaded"
    IGNORED = "ignored"


class Criticality(IntEnum):
    """How much a request matters; a higher value is shed later.

    Source: the SRE Book, ch. 21, "Criticality".
    """

    SHEDDABLE = 0
    SHEDDABLE_PLUS = 1
    CRITICAL = 2
    CRITICAL_PLUS = 3


class Mode(Enum):
    """A policy's switch: ``SHADOW`` decides and counts, and refuses nothing."""

    ON = "on"
    SHADOW = "shadow"
    OFF = "off"


class Request:
    """What a policy may know of a request.

    Args:
        cost: Weight in units of an ordinary request, > 0.
        criticality: Who is shed first under overload.
        tenant: Whose request it is; "" when unknown.
        key: What it is about (a hash key for pickers); "" when nothing.
        deadline_s: Absolute, in the caller's ``now_s`` clock; None means no deadline.
    """

    __slots__ = ("cost", "criticality", "deadline_s", "key", "tenant")

    def __init__(
        self,
        cost: float = 1.0,
        criticality: Criticality = Criticality.CRITICAL,
        tenant: str = "",
        key: str = "",
        deadline_s: float | None = None,
    ) -> None:
        self.cost = cost
        self.criticality = criticality
        self.tenant = tenant
        self.key = key
        self.deadline_s = deadline_s


class Rejection:
    """A refusal before any work was done: who refused, why, and when to come back.

    Args:
        policy: The policy's name, e.g. ``limiter``.
        reason: UPPER_SNAKE, declared in the error model, e.g. ``LIMIT_EXCEEDED``.
        retry_after_s: When another try may pass, in seconds; None when nobody can say.
        value: What was measured, e.g. 8 requests in flight; unrounded, since ``round`` costs twice
            what making a refusal does and those who show it format it anyway.
        limit: What it was held against, in the unit of ``value``.
    """

    __slots__ = ("limit", "policy", "reason", "retry_after_s", "value")

    def __init__(
        self,
        policy: str,
        reason: str,
        retry_after_s: float | None = None,
        value: float | None = None,
        limit: float | None = None,
    ) -> None:
        self.policy = policy
        self.reason = reason
        self.retry_after_s = retry_after_s
        self.value = value
        self.limit = limit

    def __repr__(self) -> str:
        value, limit = (
            round(figure, 3) if isinstance(figure, float) else figure
            for figure in (self.value, self.limit)
        )
        return f"<Rejection {self.policy} {self.reason} {value} against {limit}>"


class Permit:
    """Leave to go on, given by ``admit`` and taken back by ``settle`` exactly once.

    A plain slotted class: a frozen dataclass costs 0.7 µs to make.

    Args:
        generation: The policy's generation at admission; settling teaches in this one only.
        issued_s: ``now_s`` at admission.
        cost: The request's cost, so that settling gives back what admitting took.
    """

    __slots__ = ("cost", "generation", "issued_s", "settled")

    def __init__(self, generation: int, issued_s: float, cost: float = 1.0) -> None:
        self.generation = generation
        self.issued_s = issued_s
        self.cost = cost
        self.settled = False

    def mark_settled(self) -> None:
        """Note that the permit was given back; a second time is a programming error."""
        assert not self.settled, "permit settled twice"
        self.settled = True


class Gate(Protocol):
    """May this request start? Each call is O(1) unless the policy says otherwise."""

    name: str

    def admit(self, request: Request, now_s: float) -> Permit | Rejection:
        """Let a request start, or refuse it; a permit must be settled."""

    def settle(self, permit: Permit, outcome: Outcome, now_s: float) -> None:
        """Take a permit back, once: release, and learn from the outcome."""

    def reset(self, now_s: float) -> None:
        """Forget what was learned and begin a new generation; what is in flight stays counted."""

    def snapshot(self) -> Snapshot:
        """Return the state in flat figures."""


class Ticket(NamedTuple):
    """A place in a queue; the grant or the drop names it later."""

    number: int


class QueueTurn(NamedTuple):
    """What a queue decided in one turn: who may start, and who was dropped and why."""

    granted: Sequence[tuple[Ticket, Permit]]
    dropped: Sequence[tuple[Ticket, Rejection]]


NOBODY = QueueTurn((), ())  # of a call that nobody waited for: the hot path makes none


class Queue(Protocol):
    """May this request start, and if not now, when? The adapter owns the timer."""

    name: str

    def offer(self, request: Request, now_s: float) -> Permit | Rejection | Ticket:
        """Let a request start, refuse it, or let it wait under a ticket."""

    def settle(self, permit: Permit, outcome: Outcome, now_s: float) -> QueueTurn:
        """Take a permit back, once, and say who goes next."""

    def cancel(self, ticket: Ticket, now_s: float) -> QueueTurn:
        """Take a waiter out; one no longer waiting is no error."""

    def on_tick(self, now_s: float) -> QueueTurn:
        """Act on time having passed."""

    def next_deadline_s(self) -> float | None:
        """When ``on_tick`` has something to do; None when only a settle can change anything."""

    def reset(self, now_s: float) -> None:
        """Forget what was learned; who is in or waits stays."""

    def snapshot(self) -> Snapshot:
        """Return the state in flat figures."""


class Try(NamedTuple):
    """Send an attempt now, preferably not to these endpoints."""

    exclude: Sequence[str]


class WaitUntil(NamedTuple):
    """Come back at this time, or earlier with a result."""

    t_s: float


class GiveUp(NamedTuple):
    """No further attempt; the reason is UPPER_SNAKE."""

    reason: str


class AttemptResult(NamedTuple):
    """How one attempt ended.

    Args:
        endpoint: Where it was sent.
        outcome: Named by cause.
        started: Whether the other side may have begun work; False allows a retry elsewhere
            even for a call that isn't idempotent.
        retry_after_s: Push-back from the other side; None when it said nothing.
        deeper: Whether the failure happened further down than the endpoint. Only the hop directly
            above a failure retries: else three tiers of three tries make twenty-seven.
    """

    endpoint: str
    outcome: Outcome
    started: bool = True
    retry_after_s: float | None = None
    deeper: bool = False


class Plan(Protocol):
    """What to try next for one call; a new plan per call, closed at its end."""

    def next(self, now_s: float) -> Try | WaitUntil | GiveUp:
        """Say what to do now; each Try is reported with ``on_result``."""

    def on_result(self, result: AttemptResult, now_s: float) -> None:
        """Take in how an attempt ended."""

    def close(self) -> None:
        """End the call and give back what it holds of a budget; a second time does nothing."""


class Picker(Protocol):
    """Which endpoint? ``on_start`` and ``on_finish`` bracket the use of one."""

    name: str

    def pick(self, request: Request, exclude: Sequence[str], now_s: float) -> str | None:
        """Name an endpoint, or None when there is none left to try."""

    def on_start(self, endpoint: str, now_s: float) -> None:
        """Count a request to an endpoint in."""

    def on_finish(self, endpoint: str, outcome: Outcome, now_s: float) -> None:
        """Count it out, and learn from the outcome."""

    def snapshot(self) -> Snapshot:
        """Return the state in flat figures."""


class Estimator(Protocol):
    """What is this signal worth now?"""

    def observe(self, value: float, now_s: float) -> None:
        """Take in one measurement."""

    def value(self, now_s: float) -> float:
        """Return the estimate as of now."""
