"""One request's Context: deadline, criticality, tenant, trace; it crosses every hop.

Inside a process the deadline is absolute, in seconds of ``time.monotonic()``; on the wire it is the
time that *remains*, since clocks are not shared. The Context travels in a contextvar, so an adapter
at the edge sets it once and everything below reads it.
"""

import re
import secrets
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from enum import Enum

from resilience.policy.contract import Criticality

REQUEST_ID_HEADER = "x-request-id"
TRACEPARENT_HEADER = "traceparent"
BAGGAGE_HEADER = "baggage"
BAGGAGE_CRITICALITY = "squall.criticality"
BAGGAGE_TENANT = "squall.tenant"
BAGGAGE_GONE_AT = "squall.gone_at"  # unix ms; sent by a load generator, for counters alone
REQUEST_ID_PATTERN = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Cut(Enum):
    """Who cut a request short; written before the work is cancelled, since asyncio can't say."""

    DEADLINE = "deadline"
    CALLER = "caller"


@dataclass(slots=True)
class Note:
    """One decision taken on this hop, kept for ``squall explain``.

    Args:
        policy: Who decided, e.g. ``limiter``.
        what: In a few words, e.g. ``rejected``, ``shadow-rejected``, ``attempt``, ``delayed``.
        at_s: When, in seconds since the request arrived at this hop.
        detail: Flat figures, e.g. ``{"value": 6, "limit": 5}``.
    """

    policy: str
    what: str
    at_s: float
    detail: dict[str, float | int | str | bool | None] = field(default_factory=dict)


@dataclass(slots=True)
class Context:
    """What one hop knows of one request.

    Args:
        request_id: 1 to 64 of ``[A-Za-z0-9._-]``; the same on every hop.
        trace_id: 32 hex digits (W3C trace context); the same on every hop.
        span_id: 16 hex digits; this hop's own.
        arrived_s: Monotonic seconds at which this hop first saw the request.
        deadline_s: Absolute monotonic seconds; None means none.
        criticality: Who is shed first.
        tenant: "" when unknown.
        notes: Decisions taken on this hop, in order.
        cut: Who cut it short; None when nobody did.
        parent_span_id: The caller's span; "" when it sent none.
        gone_at_unix_ms: When the client at the very front will have left, by the wall clock; None
            when it didn't say. Nothing decides by it: it only lets work for nobody be counted.
    """

    request_id: str
    trace_id: str
    span_id: str
    arrived_s: float
    deadline_s: float | None = None
    criticality: Criticality = Criticality.CRITICAL
    tenant: str = ""
    notes: list[Note] = field(default_factory=list)
    cut: Cut | None = None
    parent_span_id: str = ""
    gone_at_unix_ms: int | None = None

    def remaining_s(self, now_s: float) -> float | None:
        """Seconds left, possibly negative; None without a deadline."""
        return None if self.deadline_s is None else self.deadline_s - now_s

    def note(
        self, policy: str, what: str, now_s: float, **detail: float | int | str | bool | None
    ) -> None:
        """Keep a decision for ``squall explain``."""
        self.notes.append(Note(policy, what, now_s - self.arrived_s, detail))


_current: ContextVar[Context | None] = ContextVar("squall_context", default=None)


def current() -> Context | None:
    """Return the Context of the request being served, or None outside of one."""
    return _current.get()


def enter(context: Context) -> Token[Context | None]:
    """Make a Context current; hand the token to ``leave``."""
    return _current.set(context)


def leave(token: Token[Context | None]) -> None:
    """Restore what was current before ``enter``."""
    _current.reset(token)


def new_id(hex_digits: int) -> str:
    """Make a random id of that many hex digits (an even number)."""
    return secrets.token_hex(hex_digits // 2)
