"""All algorithms by name, for the laboratory: to compare, also those nobody should pick.

Why beside ``registry``: that one holds what the store and the cache may be set to, and promises
that keys move only to newcomers; modulo, for one, is here to show what happens without.
Not handled: bounded load. It places requests, not keys: ``hashing.bounded`` and
``hashing.compare`` (a key set placed under the paper's bound).
"""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from types import MappingProxyType

from hashing import (
    jump,
    ketama,
    ketama_nginx,
    ketama_twemproxy,
    maglev,
    modulo,
    rendezvous,
    ring_hash,
    slot_map,
)
from hashing.algorithm import Build, Node, Placement, Rebuild

ALGORITHMS: Mapping[str, Build] = MappingProxyType(
    {
        "modulo": modulo.build,
        "ketama": ketama.build,
        "ketama-twemproxy": ketama_twemproxy.build,
        "ketama-nginx": ketama_nginx.build,
        "ring-hash": ring_hash.build,
        "rendezvous": rendezvous.build,
        "jump": jump.build,
        "maglev": maglev.build_envoy,
        "maglev-katran": maglev.build_katran,
        "slot-map": slot_map.build,
    }
)

# Those whose placement after a change depends on what was before, or that can refuse the change.
REBUILDS: Mapping[str, Rebuild] = MappingProxyType(
    {"jump": jump.rebuild, "slot-map": slot_map.rebuild}
)

# Whose nodes have numbers: two clients that list them differently disagree.
ORDERED = frozenset({"modulo", "jump", "slot-map"})

# With equal weights, keys move only to who comes and only from who leaves.
MINIMAL = frozenset(
    {"ketama", "ketama-twemproxy", "ketama-nginx", "rendezvous", "jump", "slot-map"}
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


def rebuild(name: str, before: Sequence[Node], after: Sequence[Node]) -> Placement:
    """Apply an algorithm to nodes that were others before.

    Raises:
        ValueError: As ``build``, and when the algorithm can't make that change (``Refused``: jump).
    """
    find(name)
    if name in REBUILDS:
        return REBUILDS[name](before, after)
    return build(name, after)
