"""Partitions under any order of events: counts agree, slots are honoured."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from resilience.policy.contract import Outcome, Request
from resilience.policy.partitions import PartitionPermit, TenantPartitions
from tests.resilience.policy.admission_model import Slots


class PartitionsMachine(RuleBasedStateMachine):
    """Any order of events: counts agree, slots are honoured, tenants stay bounded."""

    def __init__(self) -> None:
        super().__init__()
        self.limiter = Slots(4)
        self.gate = TenantPartitions(self.limiter, {"A": 2.0}, max_tenants=2)
        self.now_s = 0.0
        self.permits: list[PartitionPermit] = []

    @rule(gap_s=st.sampled_from([0.0, 0.5, 1.0, 11.0, 2000.0]))
    def wait(self, gap_s: float) -> None:
        self.now_s += gap_s

    @rule(tenant=st.sampled_from(["A", "B", "C", ""]), cost=st.sampled_from([0.5, 1.0, 3.0]))
    def come(self, tenant: str, cost: float) -> None:
        mine = sum(permit.partition.tenant == tenant for permit in self.permits)
        before = self.gate.in_flight
        decision = self.gate.admit(Request(cost, tenant=tenant), self.now_s)
        if isinstance(decision, PartitionPermit):
            self.permits.append(decision)
            partition = decision.partition
            if decision.inner is None:
                most = self.limiter.slots + max(2 * self.limiter.slots, 8)
                slots = self.gate.slots(partition.tenant, self.now_s)
                assert partition.in_flight <= slots or before <= most
        else:
            assert mine >= self.gate.slots(tenant, self.now_s)
            assert before >= self.limiter.slots

    @rule(number=st.integers(0, 30), outcome=st.sampled_from(Outcome))
    def go(self, number: int, outcome: Outcome) -> None:
        if self.permits:
            permit = self.permits.pop(number % len(self.permits))
            self.gate.settle(permit, outcome, self.now_s)

    @rule(slots=st.integers(1, 6))
    def resize(self, slots: int) -> None:
        self.limiter.slots = slots

    @rule()
    def reset(self) -> None:
        self.gate.reset(self.now_s)

    @invariant()
    def counts_agree(self) -> None:
        figures = self.gate.snapshot()
        by_tenant = [value for name, value in figures.items() if name.startswith("in_flight_")]
        assert self.gate.in_flight == len(self.permits)
        assert sum(int(value or 0) for value in by_tenant) == len(self.permits)
        assert int(figures["tenants"] or 0) <= 3
        assert all(permit.partition.in_flight > 0 for permit in self.permits)
        assert all(permit.partition.usage >= 0 for permit in self.permits)

    def teardown(self) -> None:
        for permit in self.permits:
            self.gate.settle(permit, Outcome.OK, self.now_s)
        assert (self.gate.in_flight, self.gate.overdrawn, self.limiter.in_flight) == (0, 0, 0)


TestPartitionsMachine = PartitionsMachine.TestCase
TestPartitionsMachine.settings = settings(max_examples=40, deadline=None)
