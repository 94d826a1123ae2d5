"""Bounded load: a ring whose hottest node takes at most c times its fair share.

Why: consistent hashing spreads keys, not requests. One key that everybody wants, and its node is
alone with it. Here a key has an ordered list of candidates, the ring's owner first; a request goes
to the first of them that is below its bound, so what is too much for one spills to the next, and
always to the same next: what spilled is found again.
Source: Mirrokni, Thorup and Zadimoghaddam, "Consistent Hashing with Bounded Loads" (2016): bound =
ceil(c * load / nodes). c = 1.25 is what Andrew Rodland chose for Vimeo ("Improving load balancing
with a new consistent-hashing algorithm", 2016) and brought into HAProxy as ``hash-balance-factor``.
Differs from the paper: only the first ``DEFAULT_CANDIDATES`` are used, so that who deletes a key
knows everywhere it can be; when all of them are at their bound, the least loaded takes it.
Not handled: weights. A node counts as one, as its bound does.
"""

from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from math import ceil

from hashing.algorithm import Node, checked
from hashing.ketama import Ketama, hash_key

DEFAULT_BALANCE_FACTOR = 1.25  # Vimeo's c; HAProxy suggests 125 to 200 (percent)
DEFAULT_CANDIDATES = 3  # the owner and two more: three deletes a write, two failures survived


class BoundedRing:
    """A ketama ring that names successors. Lookup is O(log points).

    Args:
        names: Unique; at least one.
        candidates: How many nodes a key may be on, >= 1; all of them when there are fewer.
        balance_factor: The paper's c, > 1: how much more than its share a node may get.

    Raises:
        ValueError: When there is no name, one comes twice, or a number is out of range.
    """

    name = "bounded"

    def __init__(
        self,
        names: Sequence[str],
        *,
        candidates: int = DEFAULT_CANDIDATES,
        balance_factor: float = DEFAULT_BALANCE_FACTOR,
    ) -> None:
        if candidates < 1:
            raise ValueError(f"{candidates} candidates: a key needs at least one")
        if not 1.0 < balance_factor < float("inf"):
            raise ValueError(f"a balance factor of {balance_factor}: must be above 1")
        self.balance_factor = balance_factor
        ring = Ketama(checked([Node(name) for name in names]))
        self._points = ring.points
        self._candidates = _successors(ring.owners, min(candidates, len(names)))

    def lookup(self, key: bytes) -> str:
        """Name the owner: the same node as ``ketama`` does."""
        return self.candidates(key)[0]

    def candidates(self, key: bytes) -> tuple[str, ...]:
        """Name the nodes a key may be on: its owner, then who takes what is too much for it."""
        position = bisect_left(self._points, hash_key(key))
        return self._candidates[position if position < len(self._points) else 0]

    def choose(self, usable: Sequence[str], loads: Mapping[str, float]) -> int:
        """Say which of a key's usable candidates takes the next request.

        Args:
            usable: In the order of ``candidates``; at least one.
            loads: Load of every node that could take requests, in any unit, >= 0.

        Returns:
            The index in ``usable``.
        """
        bound = bound_of(loads, self.balance_factor)
        for index, name in enumerate(usable):
            if loads[name] < bound:
                return index
        return min(range(len(usable)), key=lambda index: loads[usable[index]])


def bound_of(loads: Mapping[str, float], balance_factor: float = DEFAULT_BALANCE_FACTOR) -> int:
    """Return the load at which a node takes no more: ceil(c * (load + this one) / nodes)."""
    return ceil(balance_factor * (sum(loads.values()) + 1.0) / len(loads))


def _successors(owners: Sequence[str], count: int) -> list[tuple[str, ...]]:
    """Return for each point its owner and the owners of the next points, each node once.

    A node too light for a point owns nothing; with equal weights there is none.
    """
    known: list[tuple[str, ...]] = []
    after: tuple[str, ...] = _first_distinct(owners, count)
    for owner in reversed(owners):
        after = (owner, *_without(after, owner))[:count]
        known.append(after)
    known.reverse()
    return known


def _first_distinct(owners: Sequence[str], count: int) -> tuple[str, ...]:
    return tuple(dict.fromkeys(owners))[:count]


def _without(names: Collection[str], name: str) -> tuple[str, ...]:
    return tuple(each for each in names if each != name)
