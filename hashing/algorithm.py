"""What every hash algorithm is: nodes in, a placement out, a key in, a node out.

The laboratory compares algorithms, so they share one shape: ``build(nodes)`` does all the work that
depends on the nodes once, and the ``Placement`` it returns answers ``lookup(key)``. A change of
nodes is another build; what moved is the difference of two placements. All of it is pure and needs
nothing but the standard library: the same placement on every machine and in every process (which is
why ``hash()``, seeded per process, is used nowhere).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeAlias

DEFAULT_WEIGHT = 1.0


class Refused(ValueError):
    """The nodes are fine, but this algorithm can't go from those before to those after."""


class Node(NamedTuple):
    """Something that can own keys.

    Args:
        name: Unique among the nodes; a node that keeps its name keeps its keys.
        weight: Share relative to the others, > 0.
    """

    name: str
    weight: float = DEFAULT_WEIGHT


class Placement(Protocol):
    """An algorithm applied to a set of nodes; immutable."""

    def lookup(self, key: bytes) -> str:
        """Name the node that owns the key."""


Build: TypeAlias = Callable[[Sequence[Node]], Placement]
Rebuild: TypeAlias = Callable[[Sequence[Node], Sequence[Node]], Placement]
"""From the nodes before and those after: for what must know where keys were."""


def checked(nodes: Sequence[Node]) -> Sequence[Node]:
    """Return the nodes as they came, once they can be placed on.

    Raises:
        ValueError: When there are none, a name comes twice, or a weight isn't above zero.
    """
    if not nodes:
        raise ValueError("no nodes to place keys on: give at least one")
    seen: set[str] = set()
    for node in nodes:
        if node.name in seen:
            raise ValueError(f"node {node.name!r} is listed twice: names must be unique")
        if not 0.0 < node.weight < float("inf"):
            raise ValueError(f"node {node.name!r} has weight {node.weight}: must be above zero")
        seen.add(node.name)
    return nodes


def equal_weights(nodes: Sequence[Node], algorithm: str) -> Sequence[Node]:
    """Return the nodes as they came, once all have one weight.

    Raises:
        ValueError: When two weights differ.
    """
    for node in nodes:
        if node.weight != nodes[0].weight:
            raise ValueError(
                f"{algorithm} has no weights, and {node.name!r} has {node.weight} where "
                f"{nodes[0].name!r} has {nodes[0].weight}: give all the same"
            )
    return nodes
