"""Lookups: what finding a key's node costs, ours beside uhashring, CPU nanoseconds.

Why uhashring: it is the ring that Python programs install. Its ketama and ours agree to the point,
so both find the same node for every key, which is checked before anything is timed.
Source: issue 6, "Figures": lookups at most 0.35 of uhashring's. Times as ``bench.timing`` has them,
of a thousand different keys in a row, so that no cache of the last one helps.
Not handled: building; ``squall hash compare`` shows that.
"""

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from typing import NamedTuple

from bench.timing import Stopwatch
from hashing.algorithm import Node
from hashing.laboratory import ALGORITHMS, build

AIM_RATIO = 0.35  # issue 6, of uhashring
HELD_TO_AIM = ("ketama", "slot-map")  # what the cache and the store place keys by
PEER = "uhashring"
NODES = 8
KEYS = 1000
HEAD = ("algorithm", "best ns", "median ns", "of uhashring", "")
LEGEND = (
    f"CPU nanoseconds per lookup of {KEYS} keys on {NODES} nodes; the ratio is of bests. "
    f"The aim is {AIM_RATIO} for what the cache (ketama) and the store (slot-map) use."
)


class Lookup(NamedTuple):
    """What one contender costs.

    Args:
        name: An algorithm of ours, or the peer's.
        best_ns: The best round, per lookup.
        median_ns: The median round.
        ratio: Best over the peer's best; None without the peer.
    """

    name: str
    best_ns: float
    median_ns: float
    ratio: float | None

    @property
    def verdict(self) -> str:
        """Whether the aim is held; "" where there is none."""
        if self.name not in HELD_TO_AIM:
            return ""
        if self.ratio is None:
            return "unknown"
        return "held" if self.ratio <= AIM_RATIO else "missed"


def measure_lookups(watch: Stopwatch, rounds: int) -> list[Lookup]:
    """Time every algorithm of the laboratory and the peer, in turns.

    Args:
        watch: In use.
        rounds: Samples of each, >= 1.

    Raises:
        AssertionError: The peer places a key elsewhere: then it is no peer.
    """
    nodes = [f"node-{number}" for number in range(NODES)]
    names = [f"video:{number}" for number in range(KEYS)]
    keys = [name.encode() for name in names]
    ours = {name: build(name, [Node(each) for each in nodes]).lookup for name in ALGORITHMS}
    steps: dict[str, Callable[[], object]] = {
        name: _all(lookup, keys) for name, lookup in ours.items()
    }
    theirs = _peer(nodes)
    if theirs is not None:
        assert all(theirs(n) == ours["ketama"](k) for n, k in zip(names, keys, strict=True))
        steps[PEER] = _all(theirs, names)
    samples = watch.side_by_side(steps, rounds)
    best = {name: min(each) / KEYS for name, each in samples.items()}
    return [
        Lookup(
            name,
            best[name],
            median(each) / KEYS,
            best[name] / best[PEER] if PEER in best else None,
        )
        for name, each in samples.items()
    ]


def peer_version() -> str:
    """Return the peer's version; "" where it isn't installed."""
    try:
        return version(PEER)
    except PackageNotFoundError:
        return ""


def rows(found: Sequence[Lookup]) -> list[tuple[str, ...]]:
    """Return the rows below ``HEAD``, the cheapest first."""
    return [
        (
            each.name,
            f"{each.best_ns:.0f}",
            f"{each.median_ns:.0f}",
            "" if each.ratio is None else f"{each.ratio:.2f}",
            each.verdict,
        )
        for each in sorted(found, key=lambda each: each.best_ns)
    ]


def as_json(found: Sequence[Lookup]) -> Mapping[str, object]:
    """Return the section ``lookups``."""
    return {
        "peer": PEER,
        "peer_version": peer_version(),
        "nodes": NODES,
        "keys": KEYS,
        "aim_ratio": AIM_RATIO,
        "algorithms": [{**each._asdict(), "verdict": each.verdict} for each in found],
    }


def _all(lookup: Callable[..., object], keys: Sequence[object]) -> Callable[[], object]:
    def step() -> None:
        for key in keys:
            lookup(key)

    return step


def _peer(nodes: Sequence[str]) -> Callable[[str], str] | None:
    try:
        from uhashring import HashRing
    except ImportError:
        return None
    lookup: Callable[[str], str] = HashRing(nodes=list(nodes), hash_fn="ketama").get_node
    return lookup
