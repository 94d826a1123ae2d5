"""How six nodes become one cluster, or find themselves again: what to do next, and what is missing.

Level-triggered: each round looks at what every node says now and names the commands that bring the
cluster nearer to its goal. Nothing is remembered between rounds, every command may be given twice,
and two processes that form at once name the same ones. So it serves alike for fresh nodes, for a
restart, for nodes that came back at new addresses, and for one that came back empty.

The goal: all nodes known to each other and settled, every slot owned and its owner known to all,
every primary followed by a replica in step. The steps, each as soon as its precondition holds:

1. *Epochs*: nodes that know nobody get different ones, so that no two claims collide.
2. *Meet*: who doesn't know another at its present address is introduced. This also teaches new
   addresses: the handshake ends in "I know you", and the address is corrected.
3. *Slots*: those that nobody claims, in anyone's memory, go where the algorithm puts them. Slots of
   a node that is gone are claimed while a replica of it lives: that has the data and takes over.
4. *Replicas*: a primary without slots, else a second replica, follows the primary that lacks one.
5. *Forget* who is at none of the addresses and is followed by nobody: nodes that come back empty
   leave their old selves behind.
6. *Take over*: after some seconds, a replica whose primary is at none of the addresses and has not
   been elected in its stead (its data is too old in the cluster's eyes, for example since all nodes
   restarted) is told to. Nobody has newer data.

Source: valkey's ``valkey-cli --cluster create`` does 1 to 4 once, by hand; Kubernetes controllers
for the level-triggered shape.
Spare nodes, which a cluster may have been grown by, take part when they belong to it
(``with_members``); the goal never takes one in by itself.

Not handled: fewer primaries than three (no majority); growing a cluster (``shard.move``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from hashing.slots import SLOT_COUNT
from shard.policy.assignment import ranges, slots_by_owner
from shard.policy.view import View

MIN_PRIMARIES = 3  # fewer have no majority when one fails
TAKEOVER_AFTER_S = 5.0  # an election takes 1 to 2 s at a node timeout of 1 s


class Action(NamedTuple):
    """A command for the node at an index of the list of nodes."""

    node: int
    command: tuple[str | int, ...]


@dataclass(slots=True)
class Plan:
    """What to do now, and what the goal still lacks, in words for people; done when both are empty.

    Commands of a plan are independent of each other; one that fails is named again next round.
    """

    actions: list[Action] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def shard_name(number: int) -> str:
    """Name a shard for the algorithm that assigns slots: ``shard-1`` and on.

    Not its address, which changes from machine to machine while the assignment must not.
    """
    return f"shard-{number + 1}"


def with_members(
    views: Sequence[View | str], spares: Sequence[View | str]
) -> list[View | str | None]:
    """Add the spare nodes to the others; None in the place of one that isn't of the cluster.

    A spare is a member when it knows other nodes; or when the others know somebody at its address:
    then it has come back empty. One that says nothing is waited for while the others miss somebody
    who is at no address that answers. Not handled: a member that is back empty and elsewhere.
    """
    known = [row for view in views if isinstance(view, View) for row in view.rows.values()]
    addresses = {row.address for row in known}
    here = {view.address for view in (*views, *spares) if isinstance(view, View)}
    misses = any(row.address not in here and not row.is_connected for row in known)

    def is_member(spare: View | str) -> bool:
        if isinstance(spare, str):
            return misses
        return len(spare.rows) > 1 or spare.address in addresses

    return [*views, *(spare if is_member(spare) else None for spare in spares)]


def plan_formation(
    views: Sequence[View | str | None], assignment: Sequence[str], elapsed_s: float
) -> Plan:
    """Name the next commands.

    Args:
        views: What each node says, in the order of the list of nodes; text why it says nothing;
            None for one that takes no part.
        assignment: The shard's name of each slot, for slots that nobody claims.
        elapsed_s: Since forming began.
    """
    plan = Plan()
    present = {index: view for index, view in enumerate(views) if isinstance(view, View)}
    silent = [view for view in views if isinstance(view, str)]
    plan.missing.extend(silent)
    _set_epochs(plan, present)
    _meet(plan, present)
    if not silent:  # an absent node may own what seems free
        _add_slots(plan, present, assignment)
        _replicate(plan, present)
        _forget(plan, present)
        _take_over(plan, present, elapsed_s)
    _check(plan, present)
    return plan


def _set_epochs(plan: Plan, present: Mapping[int, View]) -> None:
    for index, view in present.items():
        if len(view.rows) == 1 and not view.myself.slots:
            plan.actions.append(Action(index, ("CLUSTER", "SET-CONFIG-EPOCH", index + 1)))


def _meet(plan: Plan, present: Mapping[int, View]) -> None:
    """Introduce each pair once, by the first of the two: both at once would cross on the way.

    Who is known at the right address is never met again, connected or not: the nodes connect by
    themselves ten times a second, and a second introduction tears down what they have.
    """
    apart = 0
    for index, view in present.items():
        for other in (present[later] for later in present if later > index):
            mine, theirs = view.rows.get(other.my_id), other.rows.get(view.my_id)
            known = mine is not None and mine.address == other.address and theirs is not None
            if mine is None or theirs is None or not (mine.is_connected and theirs.is_connected):
                apart += 1
            if not known and not _is_meeting(view, other):
                command = ("CLUSTER", "MEET", other.address.host, other.address.port)
                plan.actions.append(Action(index, command))
    if apart:
        plan.missing.append(f"{apart} pairs of nodes are not connected")


def _is_meeting(view: View, other: View) -> bool:
    """Whether a node is in the middle of an introduction to another."""
    return any(
        "handshake" in row.flags and row.address == other.address for row in view.rows.values()
    )


def _add_slots(plan: Plan, present: Mapping[int, View], assignment: Sequence[str]) -> None:
    claimed: set[int] = set()
    alive = _live(present) | _followed(present) | _unlisted(present)
    for view in present.values():
        for row in view.rows.values():
            if row.node_id in alive:
                claimed |= row.slots
    free = set(range(SLOT_COUNT)) - claimed
    if not free:
        return
    plan.missing.append(f"{len(free)} slots have no owner")
    idle = _idle(present)
    for name, slots in slots_by_owner(assignment).items():
        index = int(name.rpartition("-")[2]) - 1
        if present[index].myself.is_replica:  # roles have changed since the cluster was formed
            index = idle[0] if idle else index
        bounds = ranges(free.intersection(slots))
        if bounds:
            flat = (bound for pair in bounds for bound in pair)
            plan.actions.append(Action(index, ("CLUSTER", "ADDSLOTSRANGE", *flat)))


def _replicate(plan: Plan, present: Mapping[int, View]) -> None:
    lacking = [
        view.my_id
        for view in present.values()
        if view.myself.slots and not _followers(view, present)
    ]
    for primary_id, index in zip(lacking, _spare(present), strict=False):
        if primary_id in present[index].rows:  # else it hasn't heard of it yet
            plan.actions.append(Action(index, ("CLUSTER", "REPLICATE", primary_id)))


def _followers(view: View, present: Mapping[int, View]) -> list[int]:
    """Return who follows a primary, by the followers' own word."""
    return [index for index, each in present.items() if each.myself.primary_id == view.my_id]


def _spare(present: Mapping[int, View]) -> list[int]:
    """Return who is free to follow: primaries without slots, then replicas beyond the first.

    Before any slot is owned nobody is: the primaries aren't known yet.
    """
    owners = [view for view in present.values() if view.myself.slots]
    if len(owners) < MIN_PRIMARIES:
        return []
    surplus = [index for view in owners for index in _followers(view, present)[1:]]
    return _idle(present) + surplus


def _idle(present: Mapping[int, View]) -> list[int]:
    """Return the primaries that own nothing."""
    return [
        index
        for index, view in present.items()
        if not view.myself.is_replica and not view.myself.slots
    ]


def _live(present: Mapping[int, View]) -> set[str]:
    """Return the ids that answer at one of the addresses."""
    return {view.my_id for view in present.values()}


def _followed(present: Mapping[int, View]) -> set[str]:
    """Return the ids that somebody alive follows."""
    followed = (view.myself.primary_id for view in present.values())
    return {primary_id for primary_id in followed if primary_id is not None}


def _unlisted(present: Mapping[int, View]) -> set[str]:
    """Return the members elsewhere that somebody is connected to: shards that were added later.

    One that is still down when all listed nodes are up isn't seen so, and is forgotten.
    """
    listed = {view.address for view in present.values()}
    return {
        row.node_id
        for view in present.values()
        for row in view.rows.values()
        if row.is_connected and row.is_settled and row.address not in listed
    }


def _forget(plan: Plan, present: Mapping[int, View]) -> None:
    keep = _live(present) | _followed(present) | _unlisted(present)
    for index, view in present.items():
        for row in view.rows.values():
            if row.node_id in keep or "handshake" in row.flags:
                continue
            plan.missing.append(f"{view.address} remembers a node that is gone: {row.node_id[:8]}")
            plan.actions.append(Action(index, ("CLUSTER", "FORGET", row.node_id)))


def _take_over(plan: Plan, present: Mapping[int, View], elapsed_s: float) -> None:
    live = _live(present)
    orphans: dict[str, int] = {}
    for index, view in present.items():
        primary_id = view.myself.primary_id
        if primary_id is not None and primary_id not in live:
            orphans.setdefault(primary_id, index)
    for primary_id, index in orphans.items():
        plan.missing.append(f"{present[index].address} follows a node that is gone")
        if elapsed_s >= TAKEOVER_AFTER_S and present[index].rows[primary_id].slots:
            plan.actions.append(Action(index, ("CLUSTER", "FAILOVER", "TAKEOVER")))


def _check(plan: Plan, present: Mapping[int, View]) -> None:
    for view in present.values():
        if not view.is_ok:
            plan.missing.append(f"{view.address} does not say cluster_state:ok")
        if view.myself.slots and not view.online_replicas:
            plan.missing.append(f"{view.address} has no replica in step")
        known = set[int]().union(*(row.slots for row in view.rows.values()))
        if len(known) < SLOT_COUNT:  # owners tell it by pings, within half a node timeout
            unheard = SLOT_COUNT - len(known)
            plan.missing.append(f"{view.address} has not heard who owns {unheard} slots")
        unsettled = sum(1 for row in view.rows.values() if not row.is_settled)
        if unsettled:
            plan.missing.append(f"{view.address} is unsure of {unsettled} nodes")
