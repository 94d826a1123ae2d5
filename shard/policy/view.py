"""What one node of the cluster says of itself and of the others, as values.

Source: valkey: CLUSTER NODES ("Serialization format"), CLUSTER INFO, INFO replication.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from hashing.slots import SLOT_COUNT
from shard.policy.topology import Address


@dataclass(frozen=True, slots=True)
class Row:
    """One line of CLUSTER NODES: a node as another (or itself) sees it.

    Args:
        node_id: 40 hex digits; a node's own for as long as it keeps its nodes.conf.
        address: Where it is believed to listen; host "" when unknown.
        flags: Such as ``myself``, ``master``, ``slave``, ``fail?``, ``fail``, ``handshake``.
        primary_id: Whom it follows; None for a primary.
        is_connected: Whether the bus link to it is up.
        slots: What it owns, without slots on the move.
    """

    node_id: str
    address: Address
    flags: frozenset[str]
    primary_id: str | None
    is_connected: bool
    slots: frozenset[int]

    @property
    def is_replica(self) -> bool:
        """Whether it follows a primary."""
        return "slave" in self.flags

    @property
    def is_settled(self) -> bool:
        """Whether it is known by its real id and not believed to be failing."""
        return not self.flags & {"handshake", "noaddr", "fail?", "fail"}


@dataclass(frozen=True, slots=True)
class View:
    """One node's word.

    Args:
        address: Where it answered.
        rows: By node id; its own among them.
        my_id: Its own id.
        is_ok: Whether it says ``cluster_state:ok``.
        online_replicas: Replicas that follow it and are in step.
    """

    address: Address
    rows: Mapping[str, Row]
    my_id: str
    is_ok: bool
    online_replicas: int

    @property
    def myself(self) -> Row:
        """Its own line, which alone is authoritative for its role and slots."""
        return self.rows[self.my_id]


def parse_view(address: Address, nodes: str, info: str, replication: str) -> View:
    """Join three replies of one node.

    Raises:
        ValueError: When they aren't what such a node says.
    """
    rows = {row.node_id: row for row in map(parse_row, nodes.splitlines()) if row is not None}
    myself = [row.node_id for row in rows.values() if "myself" in row.flags]
    if len(myself) != 1:
        raise ValueError(f"{address} does not list itself among the cluster's nodes")
    online = sum(
        1
        for name, value in _fields(replication).items()
        if name.startswith("slave") and "state=online" in value
    )
    is_ok = _fields(info).get("cluster_state") == "ok"
    return View(address, rows, myself[0], is_ok, online)


def parse_row(line: str) -> Row | None:
    """Read one line of CLUSTER NODES; None when it is empty.

    Raises:
        ValueError: When it has too few fields.
    """
    fields = line.split()
    if not fields:
        return None
    if len(fields) < 8:
        raise ValueError(f"malformed line of CLUSTER NODES: {line!r:.80}")
    node_id, where, flags, primary_id, _, _, _, link, *slots = fields
    host, _, port = where.partition(",")[0].partition("@")[0].rpartition(":")
    return Row(
        node_id,
        Address(host, int(port)),
        frozenset(flags.split(",")),
        None if primary_id == "-" else primary_id,
        link == "connected",
        frozenset(_slots(slots)),
    )


def _slots(words: list[str]) -> set[int]:
    owned: set[int] = set()
    for word in words:
        if word.startswith("["):  # [93-<-id] and [77->-id]: on the move, owned by neither word
            continue
        first, _, last = word.partition("-")
        owned.update(range(int(first), int(last or first) + 1))
    assert not owned or max(owned) < SLOT_COUNT
    return owned


def _fields(text: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in text.splitlines() if ":" in line)
    return {name: value.strip() for name, _, value in pairs}
