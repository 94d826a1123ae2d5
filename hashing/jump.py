"""Jump: five lines, no memory, and buckets that have numbers instead of names.

Why: with n buckets a key's bucket is computed by jumping to where it would have moved as buckets
were added one by one, O(log n) jumps; balance is that of the hash (skew about 1 %), an addition
moves exactly 1/(n + 1) of the keys. The price: only the last bucket can leave. Remove another and
every bucket behind it takes its neighbour's number, so ``rebuild`` refuses, and says so.
Source: Lamping and Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm" (2014), figure 1;
guava:guava/src/com/google/common/hash/Hashing.java, ``consistentHash``, has the same buckets.
Not handled: weights (the paper has none; give a strong node several buckets).
"""

from collections.abc import Sequence

from hashing.algorithm import Node, Refused, checked, equal_weights
from hashing.digests import xxh64

_MULTIPLIER = 2862933555777941757  # the paper's linear congruential generator
_MASK_64 = (1 << 64) - 1
_TWO_TO_31 = float(1 << 31)


class Jump:
    """Nodes as buckets 0..n - 1, in the order they came. Lookup is O(log n).

    Args:
        nodes: Unique names, all of one weight; their order is their number.

    Raises:
        ValueError: When weights differ.
    """

    name = "jump"

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._names = [node.name for node in equal_weights(checked(nodes), self.name)]

    def lookup(self, key: bytes) -> str:
        """Name the node whose bucket the key's XXH64 jumps to."""
        return self._names[bucket(xxh64(key), len(self._names))]


def build(nodes: Sequence[Node]) -> Jump:
    """Number the nodes (see ``hashing.algorithm.Build``)."""
    return Jump(nodes)


def rebuild(before: Sequence[Node], after: Sequence[Node]) -> Jump:
    """Number the nodes after a change, if jump can do it.

    Raises:
        Refused: When a node changed its number: one left that wasn't last, or order changed.
    """
    old, new = [node.name for node in before], [node.name for node in after]
    for number, (was, now) in enumerate(zip(old, new, strict=False)):
        if was != now:
            verb = "changes its place" if was in new else "leaves from the middle"
            raise Refused(
                f"jump refuses: {was!r} {verb}, bucket {number} of {len(old)}, and all behind it "
                "would get another number; only the last can leave, newcomers go to the end"
            )
    return Jump(after)


def bucket(key: int, count: int) -> int:
    """Return a key's bucket, 0..count - 1.

    Args:
        key: 0..2**64 - 1.
        count: Buckets, >= 1.
    """
    if count < 1:
        raise ValueError(f"{count} buckets: there must be at least one")
    last, following = -1, 0
    while following < count:
        last = following
        key = (key * _MULTIPLIER + 1) & _MASK_64
        following = int((last + 1) * (_TWO_TO_31 / ((key >> 33) + 1)))
    return last
