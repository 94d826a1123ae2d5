"""Who serves which slot, as a client believes it: an immutable map and its readings.

A Topology is replaced, never changed. It comes whole from a node's CLUSTER SHARDS (or CLUSTER SLOTS
from servers before 7), and single slots are corrected by MOVED. It is a belief: any node may be
behind, and only the node that executes a command knows better.
Source: Redis Cluster specification, "Clients first connection and handling of redirections";
valkey: CLUSTER SHARDS, whose maps are flat lists in RESP2.
Not handled: hostnames preferred over addresses, availability zones.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from hashing.slots import SLOT_COUNT


class Address(NamedTuple):
    """Where a node listens for clients."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Topology:
    """A belief about the cluster.

    Args:
        owners: The primary of each slot, None where nobody owns it; 16384 long.
        replicas: The replicas that each primary has, alive or not yet.
    """

    owners: tuple[Address | None, ...]
    replicas: Mapping[Address, tuple[Address, ...]]

    @property
    def primaries(self) -> tuple[Address, ...]:
        """Every node that owns a slot, in order of its first."""
        return tuple(dict.fromkeys(owner for owner in self.owners if owner is not None))

    @property
    def nodes(self) -> frozenset[Address]:
        """Every node named, primaries and replicas."""
        followers = (each for group in self.replicas.values() for each in group)
        return frozenset((*self.primaries, *self.replicas, *followers))

    @property
    def unowned(self) -> int:
        """How many slots nobody owns."""
        return self.owners.count(None)

    def with_moved(self, slot: int, owner: Address) -> "Topology":
        """Return the belief with one slot corrected; O(slots), 30 µs."""
        if self.owners[slot] == owner:
            return self
        owners = (*self.owners[:slot], owner, *self.owners[slot + 1 :])
        return Topology(owners, self.replicas)


LAST_PORT = 65_535
PLAIN_PORT, TLS_PORT = b"port", b"tls-port"  # a node may listen on both
NOWHERE = Topology((None,) * SLOT_COUNT, {})


def parse_shards(reply: object, asked: Address, port: bytes = PLAIN_PORT) -> Topology:
    """Read the reply of CLUSTER SHARDS.

    Args:
        reply: As it came, bytes and lists (RESP2) or maps (RESP3).
        asked: The node that answered; it stands in where a node says no address.
        port: Which of a node's ports: ``PLAIN_PORT`` or ``TLS_PORT``.

    Raises:
        ValueError: When the reply has another shape.
    """
    owners: list[Address | None] = [None] * SLOT_COUNT
    replicas: dict[Address, tuple[Address, ...]] = {}
    for shard in _list(reply):
        fields = _map(shard)
        primary, followers = _roles(fields.get(b"nodes"), asked, port)
        if primary is None:
            continue
        replicas[primary] = followers
        bounds = [_int(bound) for bound in _list(fields.get(b"slots"))]
        for first, last in zip(bounds[::2], bounds[1::2], strict=True):
            _own(owners, first, last, primary)
    return Topology(tuple(owners), replicas)


def parse_slots(reply: object, asked: Address) -> Topology:
    """Read the reply of CLUSTER SLOTS; arguments and errors as ``parse_shards``."""
    owners: list[Address | None] = [None] * SLOT_COUNT
    replicas: dict[Address, tuple[Address, ...]] = {}
    for entry in _list(reply):
        first, last, *nodes = _list(entry)
        where = [_address(*_pair(node), asked) for node in nodes]
        if where:
            _own(owners, _int(first), _int(last), where[0])
            replicas[where[0]] = tuple(where[1:])
    return Topology(tuple(owners), replicas)


def _own(owners: list[Address | None], first: int, last: int, owner: Address) -> None:
    if not 0 <= first <= last < SLOT_COUNT:
        raise ValueError(f"slots {first}-{last} are outside 0-{SLOT_COUNT - 1}")
    owners[first : last + 1] = [owner] * (last + 1 - first)


def _roles(
    nodes: object, asked: Address, port: bytes
) -> tuple[Address | None, tuple[Address, ...]]:
    """Tell a shard's primary from its replicas.

    After a failover both the old primary and the new one may say "master"; the one online is it.
    """
    primaries: list[Address] = []
    followers: list[Address] = []
    for fields in _online_first(nodes):
        where = _address(fields.get(b"endpoint") or fields.get(b"ip"), fields.get(port), asked)
        (primaries if fields.get(b"role") == b"master" else followers).append(where)
    if not primaries:
        return None, ()
    return primaries[0], (*followers, *primaries[1:])


def _online_first(nodes: object) -> Iterator[Mapping[object, object]]:
    known = [_map(node) for node in _list(nodes)]
    yield from sorted(known, key=lambda fields: fields.get(b"health") != b"online")


def _address(host: object, port: object, asked: Address) -> Address:
    """Read an address; a null, empty or "?" host means the node that was asked."""
    name, number = host.decode() if isinstance(host, bytes) else "", _int(port)
    if not 0 < number <= LAST_PORT:
        raise ValueError(f"no port: {number}")
    return Address(name if name not in ("", "?") else asked.host, number)


def _list(value: object) -> Sequence[object]:
    if not isinstance(value, list):
        raise ValueError(f"expected a list, got {value!r:.80}")
    return value


def _pair(node: object) -> tuple[object, object]:
    match node:
        case [host, port, *_]:
            return host, port
    raise ValueError(f"expected host, port, ..., got {node!r:.80}")


def _int(value: object) -> int:
    if not isinstance(value, int):
        raise ValueError(f"expected a number, got {value!r:.80}")
    return value


def _map(value: object) -> Mapping[object, object]:
    if isinstance(value, dict):
        return value
    flat: Iterable[object] = _list(value)
    pairs = iter(flat)
    # Names are strings; what isn't one is nothing we look for, and may be nothing a dict takes.
    known = ((name, each) for name, each in zip(pairs, pairs, strict=False))
    return {name: each for name, each in known if isinstance(name, bytes)}
