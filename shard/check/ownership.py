"""One owner for each slot, and no key on a node that doesn't own its slot.

Two owners are two truths; a key in two places is the old value that a later failover brings back.
"""

from collections.abc import Sequence

from hashing.slots import SLOT_COUNT, slot_of
from shard.check.events import Holding, Ownership
from shard.check.violation import Violation

TWO_OWNERS = "slots have two owners"
NO_OWNER = "slots have no owner"
STRAY = "a key is on a node that doesn't own its slot"


def judge_ownership(owners: Sequence[Ownership], holdings: Sequence[Holding]) -> list[Violation]:
    """Compare what the primaries say they own, and what they hold."""
    if not owners:
        return []
    owned_by: list[list[Ownership]] = [[] for _ in range(SLOT_COUNT)]
    for each in owners:
        for first, last in each.slots:
            for slot in range(max(0, first), min(SLOT_COUNT - 1, last) + 1):
                owned_by[slot].append(each)
    return [*_judge_slots(owned_by, owners), *_judge_keys(owned_by, holdings)]


def _judge_slots(
    owned_by: Sequence[Sequence[Ownership]], owners: Sequence[Ownership]
) -> list[Violation]:
    found: list[Violation] = []
    free = [slot for slot, claims in enumerate(owned_by) if not claims]
    if free:
        lines = tuple(each.line for each in owners)
        who = f"nobody claims {len(free)}"
        found.append(Violation(NO_OWNER, f"slot {free[0]}", "every slot has one", who, lines))
    twice = [slot for slot, claims in enumerate(owned_by) if len(claims) > 1]
    if twice:
        claims = owned_by[twice[0]]
        who = f"{len(twice)} claimed by {' and '.join(each.node for each in claims)}"
        lines = tuple(each.line for each in claims)
        found.append(Violation(TWO_OWNERS, f"slot {twice[0]}", "every slot has one", who, lines))
    return found


def _judge_keys(
    owned_by: Sequence[Sequence[Ownership]], holdings: Sequence[Holding]
) -> list[Violation]:
    found: list[Violation] = []
    for holding in holdings:
        for key in holding.keys:
            owners = [each.node for each in owned_by[slot_of(key.encode())]]
            if holding.node not in owners:
                owner = f"its slot is {' and '.join(owners) or 'nobody'}'s"
                there = f"{holding.node} holds it"
                found.append(Violation(STRAY, key, owner, there, (holding.line,)))
    return found
