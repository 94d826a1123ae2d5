"""Who a slot is with, by what all nodes said at one look. Pure.

During a move both sides may say that a slot is theirs, or neither knows of the other's mark; and a
failover changes which node of a shard is asked, but not which shard.
"""

from collections.abc import Iterable, Sequence

from shard.policy.survey import NodeState


class Holders:
    """One look at the nodes.

    Args:
        states: Of all of them.
    """

    def __init__(self, states: Iterable[NodeState]) -> None:
        nodes = list(states)
        self._primaries = [each for each in nodes if not each.row.is_replica]
        self._replicas = [each for each in nodes if each.row.is_replica]

    def primary(self, node_ids: Sequence[str]) -> NodeState | None:
        """Find who of a shard's nodes is its primary now: after a failover the one with slots.

        Returns:
            None when none of them answers as a primary.
        """
        found = [each for each in self.primaries() if each.node_id in node_ids]
        return max(found, key=lambda state: len(state.row.slots), default=None)

    def other_than(self, target: NodeState, slot: int) -> NodeState | None:
        """Find who else says that a slot is its own, or still has a mark on it."""
        others = (each for each in self.primaries() if each is not target)
        return next((e for e in others if slot in e.row.slots or slot in e.migrating), None)

    def open_slots(self) -> set[int]:
        """Return the slots with a mark on any primary."""
        return {slot for one in self._primaries for slot in (*one.importing, *one.migrating)}

    def silent(self) -> list[NodeState]:
        """Return primaries that didn't answer and may own something."""
        return [each for each in self._primaries if each.trouble and each.row.slots]

    def replicas(self, primary: NodeState) -> list[NodeState]:
        """Return those of a primary's replicas that answered."""
        followers = (each for each in self._replicas if each.row.primary_id == primary.node_id)
        return [each for each in followers if not each.trouble]

    def primaries(self) -> list[NodeState]:
        """Return those that answered."""
        return [each for each in self._primaries if not each.trouble]
