"""On which side of a cut a drill's own clients are, and until when the other side is out of reach.

Why: a store that is torn in two loses what clients of the wrong half are told. The lab's services
reach both halves; so the drill's writers, when the primary that they write to is to be cut off,
are those who see only that half. They reach no other node from the beginning on, so that no
connection of theirs outlives the cut's begin, and every node once the cut is over.
Source: Jepsen's partitions, which put clients beside their node; drills.md, row 20.
Not handled: services on the primary's side; they are the majority's clients here.
"""

from collections.abc import Sequence

from chaos.drill import shard_role
from chaos.drill.arms import Arm, fault_windows
from chaos.drill.schema import Drill
from chaos.drill.shard_role import PRIMARY, StoreNode
from chaos.drivers.host_fault import ISOLATE
from shard.check.events import History, Op, Outcome
from shard.policy.topology import Address

OUT_OF_REACH = Address("127.0.0.1", 1)  # tcpmux: nobody listens there, and a refusal comes at once


class Side:
    """What the clients reach.

    Args:
        only: The one node that they reach; None for all.
        until_s: When they reach all again, on the run's clock.
    """

    def __init__(self, only: Address | None = None, until_s: float = 0.0) -> None:
        self.only = only
        self.until_s = until_s
        self._is_apart = only is not None

    @property
    def is_apart(self) -> bool:
        """Whether other nodes are out of reach now."""
        return self._is_apart

    def rejoin(self) -> None:
        """From now on reach all; clients that dial this way must be told (``redial``)."""
        self._is_apart = False

    def dial(self, address: Address) -> Address:
        """Say where to connect for a node's address."""
        return OUT_OF_REACH if self._is_apart and address != self.only else address


async def side_of(drill: Drill, arm: Arm, nodes: Sequence[StoreNode]) -> Side:
    """Return where a drill's writers are: beside the primary that they write to, if it is cut off.

    Raises:
        ConfigError: There is no such shard.
        LabEnvironmentError: The store doesn't answer, or the shard has no primary now.
    """
    target = f"shard.{drill.writes.shard}.{PRIMARY}" if drill.writes else ""
    cuts = [w for w in fault_windows(drill, arm) if w.fault.kind == ISOLATE and w.target == target]
    if not cuts:
        return Side()
    name = await shard_role.resolve(target, nodes)
    node = next(each for each in nodes if each.name == name)
    return Side(Address(node.host, node.port), max(cut.window.to_s for cut in cuts))


def last_good_s(history: History, from_s: float, to_s: float) -> float:
    """Return when a node that is cut off took a LOCAL write for the last time.

    Args:
        history: Of clients that reach only that node.
        from_s: When the cut began, on the history's clock.
        to_s: When those clients reached all nodes again.

    Returns:
        Seconds since the cut; 0 for never.
    """
    ends = [
        each.ended_s
        for each in history.operations
        if each.op is Op.PROBE and each.outcome is Outcome.OK and each.ended_s is not None
    ]
    return max((end_s - from_s for end_s in ends if from_s <= end_s <= to_s), default=0.0)
