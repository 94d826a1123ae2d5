"""Maglev: nodes take turns to fill a table of prime size, each in an order that is its own.

Why: lookup is one hash and one index, and the shares are even to a single place of the table. The
price: nodes compete for places, so a change also moves a few keys between nodes that stay.
Sources: Eisenbud et al., "Maglev" (NSDI 2016), section 3.4 and its listing 1. Two descendants:
Envoy (envoy:source/common/upstream/maglev_lb.cc): offset and skip by XXH64 with seeds 0 and 1; a
node lighter than the heaviest waits until its weight has added up. Katran V2
(katran:katran/lib/{MaglevBase,MaglevHashV2}.cpp): by MurmurHash3 of the node's 64-bit hash, with
weights cumulated to the heaviest's. They differ in when a light node first gets a turn.
Both take turns in the order of their configuration; here it is that of names, so that who lists the
same nodes differently agrees. Table size 65 537 in both (maglev.proto; CHHelpers.h).
Not handled: Katran's own hashes of nodes and packets (addresses, by jhash in the kernel): here it
is XXH64 of the name and of the key. Katran's V1 (extra turns in the first round; V2 is its cure).
"""

from array import array
from collections.abc import Iterator, Sequence
from itertools import count, repeat

from hashing.algorithm import Node, checked
from hashing.digests import murmur3_of_words, xxh64

DEFAULT_TABLE_SIZE = 65_537  # the paper's small table, Envoy's and Katran's default; a prime
MAX_TABLE_SIZE = 5_000_011  # maglev.proto: the largest that Envoy takes

# katran:katran/lib/MaglevBase.h: kHashSeed0 to kHashSeed3.
_KATRAN_SEEDS = (0, 2307, 42, 2718281828)
_FREE = -1


class Maglev:
    """A filled table. Lookup is O(1), memory four bytes a place.

    Args:
        name: Which descendant filled it.
        nodes: Whose places they are.
        table: The index of a node for each place.
    """

    def __init__(self, name: str, nodes: Sequence[Node], table: Sequence[int]) -> None:
        self.name = name
        self.table = array("i", table)
        self._names = [node.name for node in nodes]

    def lookup(self, key: bytes) -> str:
        """Name the node at the key's place."""
        return self.at(xxh64(key))

    def at(self, place: int) -> str:
        """Name the node at a place, which is taken modulo the table's size."""
        return self._names[self.table[place % len(self.table)]]


def build_envoy(nodes: Sequence[Node], *, size: int = DEFAULT_TABLE_SIZE) -> Maglev:
    """Fill a table as Envoy does (see ``hashing.algorithm.Build``).

    Args:
        size: Places; a prime, 2..``MAX_TABLE_SIZE``.

    Raises:
        ValueError: When the size is no prime, as Envoy refuses it, or out of range.
    """
    _check_size(size)
    ordered = sorted(checked(nodes))
    hashed = [node.name.encode() for node in ordered]
    steps = [(xxh64(name) % size, xxh64(name, 1) % (size - 1) + 1) for name in hashed]
    total = sum(node.weight for node in ordered)
    turns = _turns_envoy([node.weight / total for node in ordered])
    return Maglev("maglev", ordered, _fill(size, steps, turns))


def build_katran(nodes: Sequence[Node], *, size: int = DEFAULT_TABLE_SIZE) -> Maglev:
    """Fill a table as Katran's V2 does (see ``hashing.algorithm.Build``).

    Raises:
        ValueError: When the size is no prime, out of range, or a weight isn't whole.
    """
    ordered = sorted(checked(nodes))
    table = katran_table(
        [xxh64(node.name.encode()) for node in ordered], [node.weight for node in ordered], size
    )
    return Maglev("maglev-katran", ordered, table)


def katran_table(hashes: Sequence[int], weights: Sequence[float], size: int) -> list[int]:
    """Return which endpoint has each place, as ``MaglevHashV2::generateHashRing`` does.

    Args:
        hashes: 0..2**64 - 1, of each endpoint.
        weights: Whole, > 0, of each.
        size: As in ``build_envoy``.
    """
    _check_size(size)
    if any(weight != int(weight) for weight in weights):
        raise ValueError("Katran's weights are whole numbers: give such")
    zero, one, two, three = _KATRAN_SEEDS
    steps = [
        (
            murmur3_of_words(each, two, zero) % size,
            murmur3_of_words(each, three, one) % (size - 1) + 1,
        )
        for each in hashes
    ]
    return _fill(size, steps, _turns_katran(weights))


def _turns_envoy(shares: Sequence[float]) -> Iterator[int]:
    """Name who may take a place, forever: after so many rounds that its share adds up."""
    heaviest = max(shares)
    targets = [0.0] * len(shares)
    for round_number in count(1):
        for index, share in enumerate(shares):
            if round_number * share >= targets[index]:
                targets[index] += heaviest
                yield index


def _turns_katran(weights: Sequence[float]) -> Iterator[int]:
    """Name who may take a place, forever: whose cumulated weight reaches the heaviest's."""
    heaviest = max(weights)
    saved = [0.0] * len(weights)
    for _ in repeat(None):
        for index, weight in enumerate(weights):
            saved[index] += weight
            if saved[index] >= heaviest:
                saved[index] -= heaviest
                yield index


def _fill(size: int, steps: Sequence[tuple[int, int]], turns: Iterator[int]) -> list[int]:
    """Let nodes take their next free place in turn; O(size * nodes) at most."""
    table = [_FREE] * size
    cursors = [offset for offset, _ in steps]
    skips = [skip for _, skip in steps]
    for _, index in zip(range(size), turns, strict=False):
        place, skip = cursors[index], skips[index]
        while table[place] != _FREE:
            place = (place + skip) % size
        table[place] = index
        cursors[index] = (place + skip) % size
    return table


def _check_size(size: int) -> None:
    if not 2 <= size <= MAX_TABLE_SIZE:
        raise ValueError(f"a table of {size} places: give a prime, 2 to {MAX_TABLE_SIZE}")
    if any(size % divisor == 0 for divisor in range(2, int(size**0.5) + 1)):
        raise ValueError(f"a table of {size} places: the size must be prime, or some are missed")
