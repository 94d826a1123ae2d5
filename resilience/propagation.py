"""Propagation: read a Context from what a caller sent, and write it for the next hop.

Works on any carrier: HTTP headers and gRPC metadata are both names with values. A trace, baggage
or request id that is malformed is replaced, as their standards ask; a malformed deadline raises,
since guessing a deadline means working for nobody or not at all.
"""

import re
from collections.abc import Callable

from resilience.context import (
    BAGGAGE_CRITICALITY,
    BAGGAGE_GONE_AT,
    BAGGAGE_HEADER,
    BAGGAGE_TENANT,
    REQUEST_ID_HEADER,
    REQUEST_ID_PATTERN,
    TRACEPARENT_HEADER,
    Context,
    new_id,
)
from resilience.policy.contract import Criticality
from resilience.wire import format_baggage, format_traceparent, parse_baggage, parse_traceparent

TRACE_ID_DIGITS = 32
SPAN_ID_DIGITS = 16
MAX_TENANT_CHARS = 64  # a tenant becomes a label of metrics and a key of quotas
_UNIX_MS = re.compile(r"[0-9]{1,15}", re.ASCII)

Get = Callable[[str], str | None]
"""Look a lower-case name up; None when the caller did not send it."""


def extract(get: Get, now_s: float) -> Context:
    """Make this hop's Context, without a deadline (the adapter knows its route's budget)."""
    trace_id, parent = _trace(get(TRACEPARENT_HEADER))
    request_id = get(REQUEST_ID_HEADER)
    if request_id is None or not REQUEST_ID_PATTERN.fullmatch(request_id):
        request_id = new_id(TRACE_ID_DIGITS)
    context = Context(request_id, trace_id, new_id(SPAN_ID_DIGITS), now_s, parent_span_id=parent)
    baggage = get(BAGGAGE_HEADER)
    if baggage:
        _read_baggage(baggage, context)
    return context


def inject(context: Context) -> list[tuple[str, str]]:
    """Write the Context for the next hop; the deadline goes its own way (see ``wire``)."""
    carried = [
        (REQUEST_ID_HEADER, context.request_id),
        (TRACEPARENT_HEADER, format_traceparent(context.trace_id, context.span_id)),
    ]
    baggage = {}
    if context.criticality is not Criticality.CRITICAL:
        baggage[BAGGAGE_CRITICALITY] = context.criticality.name.lower()
    if context.tenant:
        baggage[BAGGAGE_TENANT] = context.tenant
    if context.gone_at_unix_ms is not None:
        baggage[BAGGAGE_GONE_AT] = str(context.gone_at_unix_ms)
    if baggage:
        carried.append((BAGGAGE_HEADER, format_baggage(baggage)))
    return carried


def _trace(text: str | None) -> tuple[str, str]:
    if text is not None:
        try:
            parent = parse_traceparent(text)
        except ValueError:
            pass
        else:
            return parent.trace_id, parent.span_id
    return new_id(TRACE_ID_DIGITS), ""


def _read_baggage(text: str, context: Context) -> None:
    try:
        members = parse_baggage(text)
    except ValueError:
        return
    name = members.get(BAGGAGE_CRITICALITY, "").upper()
    if name in Criticality.__members__:
        context.criticality = Criticality[name]
    tenant = members.get(BAGGAGE_TENANT, "")
    if len(tenant) <= MAX_TENANT_CHARS and tenant.isprintable():
        context.tenant = tenant
    gone_at = members.get(BAGGAGE_GONE_AT, "")
    if _UNIX_MS.fullmatch(gone_at):
        context.gone_at_unix_ms = int(gone_at)
