"""Propagation: a Context read from headers, and written for the next hop."""

import pytest

from resilience.policy.contract import Criticality
from resilience.propagation import extract, inject

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


def test_a_hop_continues_what_its_caller_began() -> None:
    """Ids, criticality and tenant are the caller's; the span is new."""
    context = extract(
        {
            "x-request-id": "abc.1",
            "traceparent": PARENT,
            "baggage": "squall.criticality=sheddable,squall.tenant=blue%20co,other=1",
        }.get,
        5.0,
    )

    assert (context.request_id, context.trace_id) == ("abc.1", TRACE)
    assert context.parent_span_id == "00f067aa0ba902b7"
    assert context.span_id != context.parent_span_id
    assert (context.criticality, context.tenant) == (Criticality.SHEDDABLE, "blue co")
    assert (context.arrived_s, context.deadline_s) == (5.0, None)


def test_the_next_hop_reads_what_this_one_wrote() -> None:
    """Everything but the span survives; the span becomes the parent."""
    first = extract({"baggage": "squall.criticality=critical_plus,squall.tenant=a,"}.get, 0.0)
    carried = dict(inject(first))
    second = extract(lambda name: carried.get(name), 1.0)

    assert (second.request_id, second.trace_id) == (first.request_id, first.trace_id)
    assert second.parent_span_id == first.span_id
    assert (second.criticality, second.tenant) == (Criticality.CRITICAL_PLUS, "a")


def test_ordinary_requests_carry_no_baggage() -> None:
    """What is default is not written."""
    assert [name for name, _ in inject(extract(lambda name: None, 0.0))] == [
        "x-request-id",
        "traceparent",
    ]


@pytest.mark.parametrize("bad", ["", "has space", "x" * 65, "new\nline", "ü"])
def test_a_bad_request_id_is_replaced(bad: str) -> None:
    """Logs and commands take request ids, so only plain ones are kept."""
    context = extract({"x-request-id": bad}.get, 0.0)

    assert context.request_id != bad
    assert len(context.request_id) == 32


def test_a_bad_trace_or_baggage_is_dropped_not_refused() -> None:
    """Both standards ask to go on without."""
    context = extract({"traceparent": "junk", "baggage": "junk"}.get, 0.0)

    assert (len(context.trace_id), context.parent_span_id) == (32, "")
    assert (context.criticality, context.tenant) == (Criticality.CRITICAL, "")


def test_unknown_criticalities_and_odd_tenants_are_dropped() -> None:
    """A tenant becomes a metric's label: no control characters, at most 64."""
    for baggage in (
        "squall.criticality=vip",
        "squall.tenant=" + "x" * 65,
        "squall.tenant=a%0Ab",
    ):
        context = extract({"baggage": baggage}.get, 0.0)
        assert (context.criticality, context.tenant) == (Criticality.CRITICAL, "")


def test_when_the_client_leaves_is_carried_to_every_hop() -> None:
    """It only lets waste be counted, so what makes no sense is dropped."""
    first = extract({"baggage": "squall.gone_at=1790000000000"}.get, 0.0)
    carried = dict(inject(first))
    assert extract(carried.get, 1.0).gone_at_unix_ms == 1_790_000_000_000

    for odd in ("soon", "-5", "1.5", "1" * 16, ""):
        assert extract({"baggage": f"squall.gone_at={odd}"}.get, 0.0).gone_at_unix_ms is None
