"""Token lease: a share of a rate that many nodes have in common, spent without asking each time.

Why: one rate over several processes needs a count in common, and a question to it per request would
make it the slowest and the most fragile part of every request. So a node asks ahead, for all
tenants at once, for what it will need until it asks again; requests are decided from what it holds.

- *How much*: twice what a tenant asks for in a round, less what is left: ``want``. What is left far
  beyond that, because demand fell, goes ``back``.
- *How often*: so that a round serves some ``DECISIONS_A_TRIP`` requests, within 0.1 to 0.5 s; at
  once when a tenant who got all he wanted is below his low-water mark, half a round's demand.
- *A new tenant* starts on credit, a round of his local share, which the store books.
- *The store is slow, dead or wrong*: when two questions in a row had no good answer, or none came
  for three rounds, ``fallback`` decides. LOCAL_SHARE: the quota by the number of nodes last known,
  divided among this node's tenants by weighted max-min. OPEN lets all in, CLOSED nobody. The first
  good answer ends it. Until the first answer of all it is the same.

Source: youtube/doorman:doc/design.md (wants, leases, safe capacity); Sentinel's cluster flow rule
(fallbackToLocalWhenFail true).
Unlike Doorman a lease is of tokens, not of a rate: what isn't spent can be given back, and a lost
answer is asked for again by its number.
Not handled: tenants' own ceilings (put a ``TokenBucket`` before it); clocks that run backwards
(nothing is earned or asked for until time has caught up).
"""

from collections.abc import Mapping
from math import inf
from types import MappingProxyType

from resilience.policy.contract import Outcome, Permit, Rejection, Request, Snapshot
from resilience.policy.lease import (
    ROUNDING,
    Fallback,
    LeaseGrant,
    LeaseRequest,
    TenantAsk,
    is_sound,
)
from resilience.policy.lease_account import KEPT_TOKENS, LOCAL_BURST_S, Account, LeasedPermit, fill
from resilience.policy.rate import check_above_zero

POLICY_NAME = "quota"  # resilience.refusal answers it with 429
QUOTA_EXCEEDED = "QUOTA_EXCEEDED"
QUOTA_UNAVAILABLE = "QUOTA_UNAVAILABLE"  # the store is silent, and the fallback is CLOSED
DECISIONS_A_TRIP = 20.0  # so that 95 of 100 decisions cost no trip
MIN_ROUND_S = (
    0.1  # ten trips a second and node, 0.16 ms of the store each with ten nodes and tenants
)
MAX_ROUND_S = 0.5  # how late a change of demand is seen elsewhere
LEASE_ROUNDS = 3.0  # without an answer for so long, a node is on its own
MAX_FAILURES = 2  # one may be a hiccup
RETRY_S = 0.05  # after a failure the same question again; also the soonest after a question
TENANT_IDLE_S = 10.0  # who hasn't asked for so long is forgotten
MAX_TENANTS = 1000  # names come from outside; who comes later shares one record
OVERFLOW_TENANT = "*"
_EPSILON = 1e-6  # tokens: sums of fractions
_IGNORED = Outcome.IGNORED  # see Outcome


class TokenLease:
    """A Gate that spends what a store has leased to this node. O(1) a call; O(tenants) a round.

    Args:
        quota_rps: The rate of all nodes and tenants together, in costs a second, > 0.
        weights: Of the tenants that are due more or less than others, > 0 each; 1 for the rest.
        fallback: What holds while the store says nothing.
        expected_nodes: How many share the quota, until the store says; >= 1.
        name: What decisions are reported under.

    Attributes:
        is_alone: Whether the fallback decides.
        nodes: How many share the quota, as last known.
        round_s: Time between two questions.

    Raises:
        ValueError: When a figure is out of its range.

    Invariant: nobody's tokens fall below 0; at most one question is open.
    """

    __slots__ = (
        "_accounts",
        "_act_s",
        "_asked_s",
        "_decisions",
        "_failures",
        "_filled_s",
        "_generation",
        "_measured_decisions",
        "_measured_s",
        "_open",
        "_rejected",
        "_sent_s",
        "_sequence",
        "_trips",
        "_wants_at_s",
        "fallback",
        "is_alone",
        "name",
        "nodes",
        "quota_rps",
        "round_s",
        "weights",
    )

    def __init__(
        self,
        quota_rps: float,
        weights: Mapping[str, float] | None = None,
        *,
        fallback: Fallback = Fallback.LOCAL_SHARE,
        expected_nodes: int = 1,
        name: str = POLICY_NAME,
    ) -> None:
        check_above_zero(quota_rps=quota_rps)
        if expected_nodes < 1:
            raise ValueError(f"expected_nodes={expected_nodes} must be >= 1")
        self.weights = dict(weights or {})
        check_above_zero(**{f"weights[{each!r}]": self.weights[each] for each in self.weights})
        self.quota_rps = quota_rps
        self.fallback = fallback
        self.nodes = expected_nodes
        self.name = name
        self.round_s = MIN_ROUND_S
        self.is_alone = True
        self._accounts: dict[str, Account] = {}
        self._generation = 0
        self._sequence = 0
        self._open: LeaseRequest | None = None  # asked, and without a good answer so far
        self._sent_s: float | None = None  # since when it is under way; None: it isn't
        self._asked_s = -inf  # when the last question was made
        self._wants_at_s = -inf  # when the next one is due
        self._act_s = -inf  # when the fallback has to act: the lease's end, or its next round
        self._filled_s: float | None = None  # when the fallback last gave tokens
        self._measured_s: float | None = None
        self._measured_decisions = 0
        self._failures = 0
        self._decisions = 0
        self._rejected = 0
        self._trips = 0

    def admit(self, request: Request, now_s: float) -> Permit | Rejection:
        """Spend the tenant's tokens, or refuse."""
        if now_s >= self._act_s:
            self._go_alone(now_s)
        account = self._accounts.get(request.tenant)
        if account is None:
            account = self._meet(request.tenant)
        cost = request.cost
        self._decisions += 1
        account.asked += cost
        account.last_s = now_s
        if account.tokens >= cost - _EPSILON:
            account.tokens -= cost
        elif self.is_alone and self.fallback is Fallback.OPEN:
            cost = 0.0
        else:
            return self._refuse(account, now_s)
        permit = LeasedPermit(self._generation, now_s, cost)
        permit.account = account
        return permit

    def settle(self, permit: Permit, outcome: Outcome, now_s: float) -> None:
        """Hand an IGNORED request's tokens back, and forget that it asked."""
        permit.mark_settled()
        if outcome is not _IGNORED or permit.generation != self._generation:
            return
        assert isinstance(permit, LeasedPermit), "a permit of another policy"
        account = permit.account
        account.tokens += permit.cost
        account.asked = max(0.0, account.asked - permit.cost)

    def wants(self, now_s: float) -> LeaseRequest | None:
        """Return the question to send now, or None; each is reported by one of the next two.

        To be called at ``next_wants_s``, and each ``RETRY_S`` to ask ahead when somebody runs low.
        """
        if self._sent_s is not None:
            return None
        if now_s < self._wants_at_s and (self._open is not None or not self._is_low(now_s)):
            return None
        if self._open is None:
            self._open = self._make_request(now_s)
        self._sent_s = now_s
        self._trips += 1
        return self._open

    def next_wants_s(self) -> float:
        """Return when the next question is due, if nobody runs low before."""
        return self._wants_at_s

    def on_grant(self, grant: LeaseGrant, now_s: float) -> bool:
        """Take the store's answer in; False when it can't be meant, which counts as a failure."""
        request, sent_s = self._open, self._sent_s
        if request is None or sent_s is None:
            return False  # late: the question has been given up
        if not is_sound(grant, request):
            self.on_store_failure(now_s)
            return False
        self._open = self._sent_s = None
        self._failures = 0
        self.is_alone = False
        self.nodes = grant.nodes
        self._act_s = sent_s + LEASE_ROUNDS * self.round_s
        for name, ask in request.asks.items():
            account = self._accounts.get(name)
            if account is not None:
                tokens = grant.tokens.get(name, 0.0)
                account.tokens += tokens
                account.is_scarce = tokens < ask.want - ROUNDING
        return True

    def on_store_failure(self, now_s: float) -> None:
        """Note that the open question got no answer: refused, timed out, or nonsense."""
        if self._sent_s is None:
            return
        self._sent_s = None
        self._failures += 1
        self._wants_at_s = now_s + RETRY_S
        if self._failures >= MAX_FAILURES:
            self._open = None  # what it may have been granted is lost, as the lease is over
            self._wants_at_s = now_s + self.round_s
            if not self.is_alone:
                self._go_alone(now_s)

    def reset(self, now_s: float) -> None:
        """Forget tenants and tokens: the fallback holds until the next answer."""
        self._generation += 1
        self._accounts.clear()
        self.is_alone = True
        self._open = self._sent_s = self._filled_s = self._measured_s = None
        self._wants_at_s = self._act_s = self._asked_s = -inf
        self._decisions = self._measured_decisions = self._failures = 0
        self._rejected = self._trips = 0

    def accounts(self) -> Mapping[str, Account]:
        """Return who is known now and what he holds; a weight may be changed, and nothing else."""
        return MappingProxyType(self._accounts)

    def snapshot(self) -> Snapshot:
        """Return what is held and how it was decided; ``local_ratio``: decisions without a trip."""
        trips, decisions = self._trips, self._decisions
        return {
            "is_alone": self.is_alone,
            "fallback": self.fallback.value,
            "nodes": self.nodes,
            "tenants": len(self._accounts),
            "tokens": round(sum(each.tokens for each in self._accounts.values()), 3),
            "quota_rps": self.quota_rps,
            "round_s": round(self.round_s, 3),
            "decisions": decisions,
            "rejected": self._rejected,
            "trips": trips,
            "local_ratio": round(max(0.0, 1.0 - trips / decisions), 4) if decisions else None,
        }

    def _meet(self, name: str) -> Account:
        """Open an account with a round of the tenant's local share, and one token at least."""
        accounts = self._accounts
        if len(accounts) >= MAX_TENANTS and name != OVERFLOW_TENANT:
            return accounts.get(OVERFLOW_TENANT) or self._meet(OVERFLOW_TENANT)
        weight = self.weights.get(name, 1.0)
        part = weight / (weight + sum(each.weight for each in accounts.values()))
        tokens = max(KEPT_TOKENS, self.quota_rps / self.nodes * part * MIN_ROUND_S)
        if self.is_alone and self.fallback is Fallback.CLOSED:
            tokens = 0.0
        account = Account(weight, tokens, 0.0 if self.is_alone else tokens)
        accounts[name] = account
        return account

    def _is_low(self, now_s: float) -> bool:
        if self.is_alone or now_s < self._asked_s + RETRY_S:
            return False
        return any(each.is_low(self.round_s) for each in self._accounts.values())

    def _make_request(self, now_s: float) -> LeaseRequest:
        self._measure(now_s)
        self._asked_s = now_s
        self._wants_at_s = now_s + self.round_s
        self._sequence += 1
        asks: dict[str, TenantAsk] = {}
        for name, account in list(self._accounts.items()):
            is_idle = now_s - account.last_s > TENANT_IDLE_S
            asks[name] = account.ask(self.round_s, is_alone=self.is_alone, is_idle=is_idle)
            if is_idle:
                del self._accounts[name]
        return LeaseRequest(self._sequence, asks)

    def _measure(self, now_s: float) -> None:
        """Bring rates and the length of a round up to date, unless that was done just now."""
        since_s = MIN_ROUND_S if self._measured_s is None else now_s - self._measured_s
        if since_s < RETRY_S:
            return
        self._measured_s = now_s
        for account in self._accounts.values():
            account.measure(since_s)
        decisions = self._decisions - self._measured_decisions
        self._measured_decisions = self._decisions
        wished_s = DECISIONS_A_TRIP * since_s / decisions if decisions else MAX_ROUND_S
        self.round_s = min(MAX_ROUND_S, max(MIN_ROUND_S, wished_s))

    def _go_alone(self, now_s: float) -> None:
        """Begin the fallback, or its next round: give what the local share has earned."""
        if not self.is_alone or self._filled_s is None:
            self.is_alone = True
            self._filled_s = now_s
            if self.fallback is Fallback.CLOSED:
                for account in self._accounts.values():
                    account.tokens = 0.0
        self._act_s = now_s + MIN_ROUND_S
        if self.fallback is Fallback.LOCAL_SHARE and self._accounts:
            self._measure(now_s)
            since_s = min(now_s - self._filled_s, LOCAL_BURST_S)
            fill(self._accounts, self.quota_rps / self.nodes, since_s)
        self._filled_s = now_s

    def _refuse(self, account: Account, now_s: float) -> Rejection:
        self._rejected += 1
        is_closed = self.is_alone and self.fallback is Fallback.CLOSED
        reason = QUOTA_UNAVAILABLE if is_closed else QUOTA_EXCEEDED
        wait_s = (self._act_s if self.is_alone else self._wants_at_s) - now_s
        value = account.demand_rps
        return Rejection(self.name, reason, max(0.0, wait_s), value, self.quota_rps)

    def __repr__(self) -> str:
        state = f"alone, {self.fallback.value}" if self.is_alone else f"1 of {self.nodes} nodes"
        return f"<TokenLease {self.quota_rps:g}/s, {state}, {len(self._accounts)} tenants>"
