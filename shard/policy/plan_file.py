"""A plan as text: JSON with a version and a checksum, so that half a file is never half a move.

Slots are joined into ranges: a plan for a fourth shard is some kilobytes. The same text lies in the
store while a move is under way (``shard.move.journal``).
"""

import json
from collections.abc import Mapping
from hashlib import sha256

from hashing.slots import SLOT_COUNT
from shard.policy.assignment import Move, ranges
from shard.policy.plan import Plan, PlanRefused, in_turns

SCHEMA = "squall.shard-plan/1"


def to_text(plan: Plan) -> str:
    """Write a plan down."""
    body = {
        "algorithm": plan.algorithm,
        "members": {name: list(ids) for name, ids in plan.members.items()},
        "moves": _joined(plan),
    }
    return json.dumps({"schema": SCHEMA, "checksum": _checksum(body), **body}, indent=1) + "\n"


def from_text(text: str) -> Plan:
    """Read a plan.

    Raises:
        PlanRefused: It is cut short, changed by hand, of another version, or none.
    """
    try:
        data = json.loads(text)
    except ValueError as error:
        raise PlanRefused(f"not a whole plan ({error}): make it again, squall shard plan") from None
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise PlanRefused(f"not a plan of {SCHEMA}: make it with this version's squall shard plan")
    body = {name: data.get(name) for name in ("algorithm", "members", "moves")}
    if data.get("checksum") != _checksum(body):
        raise PlanRefused("the plan's checksum is wrong: it was cut or edited; make it again")
    return _plan(body)


def _plan(body: Mapping[str, object]) -> Plan:
    """Build what a body of a right checksum says; who writes a checksum himself is checked, too."""
    members, listed = body["members"], body["moves"]
    if not isinstance(members, dict) or not isinstance(listed, list):
        raise PlanRefused("the plan has no members or no moves: make it again")
    found: list[Move] = []
    for entry in listed:
        match entry:
            case [int(first), int(last), str(source), str(target)] if (
                0 <= first <= last < SLOT_COUNT and source in members and target in members
            ):
                found.extend(Move(slot, source, target) for slot in range(first, last + 1))
            case _:
                raise PlanRefused(f"the plan has a wrong move, {entry!r:.80}: make it again")
    known = {str(name): tuple(map(str, ids)) for name, ids in members.items()}
    return Plan(str(body["algorithm"]), known, tuple(in_turns(found)))


def _joined(plan: Plan) -> list[list[object]]:
    pairs = sorted({(move.source, move.target) for move in plan.moves})
    return [
        [first, last, source, target]
        for source, target in pairs
        for first, last in ranges(
            move.slot for move in plan.moves if (move.source, move.target) == (source, target)
        )
    ]


def _checksum(body: Mapping[str, object]) -> str:
    return sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]
