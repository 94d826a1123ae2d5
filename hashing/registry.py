"""The algorithms by name, for settings and command lines."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from types import MappingProxyType

from hashing import ketama, rendezvous
from hashing.algorithm import Build, Node, Placement

ALGORITHMS: Mapping[str, Build] = MappingProxyType(
    {"ketama": ketama.build, "rendezvous": rendezvous.build}
)


def find(name: str) -> Build:
    """Return the build function of an algorithm.

    Raises:
        ValueError: When there is none of that name; the message lists the nearest and all.
    """
    try:
        return ALGORITHMS[name]
    except KeyError:
        near = get_close_matches(name, ALGORITHMS, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        known = ", ".join(sorted(ALGORITHMS))
        raise ValueError(f"no hash algorithm {name!r}: {hint}known are {known}") from None


def build(name: str, nodes: Sequence[Node]) -> Placement:
    """Apply an algorithm to nodes.

    Raises:
        ValueError: When the name is unknown or the nodes can't be placed on.
    """
    return find(name)(nodes)
