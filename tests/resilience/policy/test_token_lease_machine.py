"""Token lease under any order of events: what is spent was granted, and nobody is in debt."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from resilience.policy.contract import Outcome, Permit, Request
from resilience.policy.lease import Fallback, LeaseGrant, LeaseRequest
from resilience.policy.token_lease import TokenLease


class LeaseMachine(RuleBasedStateMachine):
    """Any order of events: no more is spent than was granted, nobody is in debt."""

    def __init__(self) -> None:
        super().__init__()
        self.lease = TokenLease(50.0, fallback=Fallback.CLOSED)
        self.now_s = 0.0
        self.open: LeaseRequest | None = None
        self.last: LeaseRequest | None = None
        self.granted = self.spent = 0.0
        self.permits: list[Permit] = []

    @rule(gap_s=st.integers(-2, 12))
    def wait(self, gap_s: int) -> None:
        self.now_s += gap_s / 16

    @rule(tenant=st.sampled_from("ab"), count=st.integers(1, 9))
    def admit(self, tenant: str, count: int) -> None:
        for _ in range(count):
            decision = self.lease.admit(Request(tenant=tenant), self.now_s)
            if isinstance(decision, Permit):
                self.permits.append(decision)
                self.spent += decision.cost

    @rule(outcome=st.sampled_from(list(Outcome)))
    def settle(self, outcome: Outcome) -> None:
        if self.permits:
            permit = self.permits.pop()
            self.lease.settle(permit, outcome, self.now_s)
            self.spent -= permit.cost if outcome is Outcome.IGNORED else 0.0

    @rule()
    def ask(self) -> None:
        request = self.lease.wants(self.now_s)
        if request is not None:
            assert self.open is None
            if request is not self.last:
                self.granted -= sum(each.back for each in request.asks.values())
            self.open = self.last = request

    @rule(share=st.floats(0, 1))
    def grant(self, share: float) -> None:
        if self.open is not None:
            request, self.open = self.open, None
            tokens = {name: each.want * share for name, each in request.asks.items()}
            assert self.lease.on_grant(LeaseGrant(request.sequence, 2, tokens), self.now_s)
            self.granted += sum(tokens.values())
            assert not self.lease.is_alone

    @rule()
    def fail(self) -> None:
        self.lease.on_store_failure(self.now_s)
        self.open = None

    @invariant()
    def bounds_hold(self) -> None:
        accounts = self.lease._accounts.values()
        assert all(each.tokens >= -1e-6 for each in accounts)
        assert self.spent <= self.granted + sum(each.owed for each in accounts) + 1e-6


TestLeaseMachine = LeaseMachine.TestCase
TestLeaseMachine.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
