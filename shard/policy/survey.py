"""What all nodes of a cluster say, joined: shards, roles, slots, keys, memory, lag, open slots.

A slot is *open* on a node that imports or migrates it. These marks are the nodes' own and survive
whoever set them, so a move that was broken off can be seen here and nowhere else.
Source: valkey: CLUSTER NODES ("Serialization format", ``[93-<-id]`` and ``[77->-id]``), INFO.
Not handled: what a node that doesn't answer would say; the others' word stands in for its role.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shard.policy.topology import Address
from shard.policy.view import Row, parse_row


@dataclass(frozen=True, slots=True)
class NodeState:
    """One node.

    Args:
        row: Its line of CLUSTER NODES: its own where it answers, else another's.
        importing: Open slots to the id of the node they come from.
        migrating: Open slots to the id of the node they go to.
        keys: None when it doesn't answer.
        memory_bytes: What its data take (``used_memory``); None when it doesn't answer.
        offset_bytes: How far its replication stream has come; None when it doesn't answer.
        trouble: Why it says nothing, "" when it answers.
    """

    row: Row
    importing: Mapping[int, str] = field(default_factory=dict)
    migrating: Mapping[int, str] = field(default_factory=dict)
    keys: int | None = None
    memory_bytes: int | None = None
    offset_bytes: int | None = None
    trouble: str = ""

    @property
    def node_id(self) -> str:
        """Its id, 40 hex digits."""
        return self.row.node_id

    @property
    def address(self) -> Address:
        """Where it listens."""
        return self.row.address


@dataclass(frozen=True, slots=True)
class ShardState:
    """A primary and who follows it."""

    primary: NodeState
    replicas: Sequence[NodeState]

    @property
    def node_ids(self) -> tuple[str, ...]:
        """Of all its nodes, the primary's first."""
        return (self.primary.node_id, *(each.node_id for each in self.replicas))

    def lag_bytes(self, replica: NodeState) -> int | None:
        """Return how far a replica is behind; None when either doesn't say."""
        if self.primary.offset_bytes is None or replica.offset_bytes is None:
            return None
        return max(0, self.primary.offset_bytes - replica.offset_bytes)


def parse_node(own_line: str, info: str) -> NodeState:
    """Read a node's own line of CLUSTER NODES and its INFO.

    Raises:
        ValueError: When they aren't what such a node says.
    """
    row = parse_row(own_line)
    if row is None or "myself" not in row.flags:
        raise ValueError(f"not a node's own line: {own_line!r:.80}")
    importing, migrating = open_slots(own_line)
    fields = dict(
        (name, value.strip())
        for name, _, value in (line.partition(":") for line in info.split("\n"))
    )
    offset = "slave_repl_offset" if fields.get("role") == "slave" else "master_repl_offset"
    return NodeState(
        row,
        importing,
        migrating,
        keys=_keys(fields.get("db0", "")),
        memory_bytes=int(fields["used_memory"]) if "used_memory" in fields else None,
        offset_bytes=int(fields[offset]) if offset in fields else None,
    )


def valkey_major(info: str) -> int:
    """Read from INFO of which Valkey a node is; 0 when it is something else, such as Redis."""
    for line in info.splitlines():
        name, _, value = line.partition(":")
        if name == "valkey_version":
            major = value.partition(".")[0]
            return int(major) if major.isdigit() else 0
    return 0


def open_slots(own_line: str) -> tuple[dict[int, str], dict[int, str]]:
    """Return the slots that a node imports, and those that it migrates, with the other's id."""
    importing: dict[int, str] = {}
    migrating: dict[int, str] = {}
    for word in own_line.split()[8:]:
        slot, arrow, other = word.strip("[]").partition("-<-")
        if arrow:
            importing[int(slot)] = other
        slot, arrow, other = word.strip("[]").partition("->-")
        if arrow:
            migrating[int(slot)] = other
    return importing, migrating


def join(states: Sequence[NodeState]) -> list[ShardState]:
    """Group nodes into shards, those with the lowest slots first, who owns none last.

    A primary that is dead and owns nothing any more is left out: it is nobody's shard.
    """
    primaries = [each for each in states if not each.row.is_replica]
    live = [each for each in primaries if each.row.slots or not each.trouble]
    shards = [
        ShardState(one, [each for each in states if each.row.primary_id == one.node_id])
        for one in live
    ]
    return sorted(shards, key=_first_slot)


def _first_slot(shard: ShardState) -> tuple[int, Address]:
    return min(shard.primary.row.slots, default=1 << 20), shard.primary.address


def _keys(word: str) -> int:
    """Read ``keys=3,expires=0,…``; a node without keys has no such line."""
    found = dict(part.partition("=")[::2] for part in word.split(","))
    return int(found.get("keys", "0"))
