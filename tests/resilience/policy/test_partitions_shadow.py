"""Partitions looking on: the limiter decides, usage is counted, and nobody goes above the limit."""

from resilience.policy.contract import Outcome, Permit, Rejection, Request
from resilience.policy.partitions import OTHERS, PartitionPermit, TenantPartitions
from tests.resilience.policy.admission_model import Slots

A, B, NOBODY = Request(tenant="A"), Request(tenant="B"), Request()


def seen(gate: TenantPartitions, request: Request, now_s: float) -> PartitionPermit:
    """Be let in by the limiter while the gate looks on."""
    permit, refusal = gate.admit_in_shadow(request, now_s)
    assert isinstance(permit, PartitionPermit)
    assert refusal is None
    return permit


def taken(gate: TenantPartitions, request: Request, now_s: float) -> Permit:
    """Be let in by the gate."""
    permit = gate.admit(request, now_s)
    assert isinstance(permit, Permit)
    return permit


def test_each_tenant_s_requests_are_counted_in_its_one_partition() -> None:
    """Those without a name in that of the others; all go back where they came from."""
    limiter = Slots(4)
    gate = TenantPartitions(limiter)
    permits = [seen(gate, request, 0.0) for request in (A, NOBODY, A, NOBODY)]

    figures = gate.snapshot()
    assert (figures["in_flight_A"], figures[f"in_flight_{OTHERS}"], figures["tenants"]) == (2, 2, 2)
    for permit in permits:
        gate.settle(permit, Outcome.OK, 0.1)
    assert (gate.in_flight, limiter.in_flight) == (0, 0)


def test_the_limiter_s_refusal_stands_and_the_right_to_more_is_counted() -> None:
    """B, who holds nothing, would have got its slot; A, who holds all, would not."""
    gate = TenantPartitions(Slots(2), {"A": 1, "B": 1})
    for _ in range(2):
        seen(gate, A, 0.0)

    for request, would_admit in ((A, 0), (B, 1), (A, 1)):
        decision, refusal = gate.admit_in_shadow(request, 0.0)
        assert isinstance(decision, Rejection)
        assert (decision.policy, refusal, gate.would_admit) == ("limiter", None, would_admit)


def test_contention_begins_anew_in_shadow_too() -> None:
    """A second after the last refusal what A used is forgotten, so it may have its burst."""
    gate = TenantPartitions(Slots(2), {"A": 1, "B": 1})
    for _ in range(2):
        seen(gate, B, 0.0)
    gate.admit_in_shadow(B, 0.0)
    for _ in range(5):
        gate.settle(taken(gate, A, 0.5), Outcome.OK, 0.5)
    gate.admit_in_shadow(A, 1.5)

    taken(gate, A, 1.5)  # its slot
    taken(gate, A, 1.5)  # it has used 1 and B 2
    assert isinstance(gate.admit(A, 1.5), Rejection)
