"""Accounts of a token lease: what each tenant holds on a node, asks for, and earns in the fallback.

Kept apart from ``token_lease`` because the arithmetic is worth reading without the state machine:
``measure`` turns requests into a rate, ``ask`` a rate into a question, ``fill`` a local share into
tokens.
"""

from collections.abc import Mapping
from math import inf

from resilience.policy.contract import Permit
from resilience.policy.fair_share import fair_shares
from resilience.policy.lease import TenantAsk

LOCAL_BURST_S = 0.2  # what a tenant's local share saves up: two of the fallback's rounds
KEPT_TOKENS = 1.0  # so that the next request of a slow tenant needs no trip either


class Account:
    """One tenant on this node.

    Args:
        weight: His due in relation to others.
        tokens: What he starts with.
        owed: How much of it is on credit.

    Attributes:
        asked: Costs of his requests since they were last measured, refused ones included.
        demand_rps: The same as a rate.
        is_scarce: Whether the store gave less than was wanted.
        last_s: When he last asked.
    """

    __slots__ = ("asked", "demand_rps", "is_scarce", "last_s", "owed", "tokens", "weight")

    def __init__(self, weight: float, tokens: float, owed: float) -> None:
        self.weight = weight
        self.tokens = tokens
        self.owed = owed
        self.asked = 0.0
        self.demand_rps = 0.0
        self.is_scarce = False
        self.last_s = -inf

    def measure(self, since_s: float) -> None:
        """Turn what was asked in that time into a rate, which rises at once and falls by half."""
        rate_rps = self.asked / since_s
        self.asked = 0.0
        self.demand_rps = max(rate_rps, (self.demand_rps + rate_rps) / 2.0)

    def is_low(self, round_s: float) -> bool:
        """Whether he, who got what he wanted, holds less than half a round's demand."""
        demand = max(self.demand_rps * round_s, self.asked)
        return not self.is_scarce and self.tokens < demand / 2.0

    def ask(self, round_s: float, *, is_alone: bool, is_idle: bool) -> TenantAsk:
        """Say what he needs until the next round but one, and give back what is far beyond it.

        Args:
            round_s: Until the next question.
            is_alone: His tokens are not the store's, so there is nothing to settle with it.
            is_idle: He is about to be forgotten, and gives back everything.
        """
        target = 0.0 if is_idle else max(KEPT_TOKENS, 2.0 * self.demand_rps * round_s)
        back = max(0.0, self.tokens - 2.0 * target)
        self.tokens -= back
        settled = 0.0 if is_alone else back - self.owed
        self.owed = 0.0
        return TenantAsk(self.weight, self.demand_rps, max(0.0, target - self.tokens), settled)

    def __repr__(self) -> str:
        return f"<Account {self.tokens:g} tokens, asked for {self.demand_rps:g}/s>"


class LeasedPermit(Permit):
    """A permit that knows whose tokens it took; cost 0 when it took none."""

    __slots__ = ("account",)

    account: Account


def fill(accounts: Mapping[str, Account], capacity_rps: float, since_s: float) -> None:
    """Give tenants what the local share has earned in that time.

    What they don't ask for is divided by weight, so that whoever asks next finds something.
    """
    demands = {name: each.demand_rps for name, each in accounts.items()}
    weights = {name: each.weight for name, each in accounts.items()}
    shares = fair_shares(demands, weights, capacity_rps)
    spare_rps = max(0.0, capacity_rps - sum(shares.values()))
    total = sum(weights.values())
    for name, account in accounts.items():
        share_rps = shares[name] + spare_rps * account.weight / total
        limit = max(KEPT_TOKENS, share_rps * LOCAL_BURST_S)
        account.tokens = max(account.tokens, min(limit, account.tokens + share_rps * since_s))
