"""What a node and a store say to each other about leases of tokens: values, and nothing that acts.

The node's half is ``token_lease``, the store's ``shard.quota``.
"""

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

ROUNDING = 1e-3  # tokens: figures are rounded on their way


class Fallback(Enum):
    """What holds on a node while the store says nothing."""

    LOCAL_SHARE = "local-share"
    OPEN = "open"
    CLOSED = "closed"


class TenantAsk(NamedTuple):
    """What a node asks for one tenant.

    Args:
        weight: His due in relation to others.
        demand_rps: What his requests here cost a second, refused ones included.
        want: Tokens.
        back: Tokens returned; below 0 what was spent on credit.
    """

    weight: float
    demand_rps: float
    want: float
    back: float


class LeaseRequest(NamedTuple):
    """A question to the store; the same number is the same question, asked again."""

    sequence: int
    asks: Mapping[str, TenantAsk]


class LeaseGrant(NamedTuple):
    """The store's answer.

    Args:
        sequence: Of the question.
        nodes: How many nodes are alive, this one included.
        tokens: Granted, by tenant; 0 for who isn't named.
    """

    sequence: int
    nodes: int
    tokens: Mapping[str, float]


def is_sound(grant: LeaseGrant, request: LeaseRequest) -> bool:
    """Whether an answer can be meant: no more than was wanted, for who was asked for."""
    if grant.sequence != request.sequence or grant.nodes < 1:
        return False
    wants = request.asks
    return all(
        tenant in wants and 0.0 <= tokens <= wants[tenant].want + ROUNDING
        for tenant, tokens in grant.tokens.items()
    )
