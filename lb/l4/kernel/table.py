"""Which backend has which place: a Maglev table, and what changes from one table to the next.

Why: the kernel looks up one place per new connection, so a change of backends must change few
places, and a restarted balancer must come to the same table from the same file. Maglev is both.
Why 4,093: a prime near 4,096. Shares are even to 1 % for up to 40 backends (the paper asks for a
hundred places each), and nft replaces it whole within tens of milliseconds.
Source: Eisenbud et al., "Maglev" (NSDI 2016), section 3.4; ``hashing.maglev``.
Not handled: the hash of a connection, which the kernel computes (``lb.l4.kernel.nft``).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

from hashing.algorithm import Node
from hashing.maglev import build_envoy

DEFAULT_PLACES = 4093  # the largest prime below 4096


class Target(NamedTuple):
    """Where a new connection is sent.

    Args:
        host: An IPv4 address.
        port: 1..65535.
    """

    host: str
    port: int


Table: TypeAlias = tuple[Target, ...]
"""The target of each place; empty when nobody may get connections."""


class Changes(NamedTuple):
    """What makes one table out of another.

    Args:
        removed: Places whose element goes, in order.
        added: The new element of a place; a place that changes stands in both.
    """

    removed: tuple[int, ...]
    added: Mapping[int, Target]

    @property
    def moved(self) -> int:
        """Places that are not as they were."""
        return len(self.added.keys() | set(self.removed))


def fill(weights: Mapping[Target, float], places: int = DEFAULT_PLACES) -> Table:
    """Fill a table; O(places * targets) at worst.

    Args:
        weights: > 0, of each target; none at all gives the empty table.
        places: A prime.

    Raises:
        ValueError: When the number of places is no prime.
    """
    if not weights:
        return ()
    # Maglev orders by name, so a target's name must not depend on its neighbours.
    by_name = {f"{target.host}:{target.port}": target for target in weights}
    nodes = [Node(name, weights[target]) for name, target in by_name.items()]
    maglev = build_envoy(nodes, size=places)
    return tuple(by_name[maglev.at(place)] for place in range(places))


def diff(old: Sequence[Target], new: Sequence[Target]) -> Changes:
    """Tell what must be removed and added to make ``new`` of ``old``."""
    before, after = dict(enumerate(old)), dict(enumerate(new))
    removed = tuple(place for place, target in before.items() if after.get(place) != target)
    added = {place: target for place, target in after.items() if before.get(place) != target}
    return Changes(removed, added)
