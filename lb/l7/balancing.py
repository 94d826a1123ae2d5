"""How backends are picked, as the proxy's file says it.

Why a file's section and not a switch: which algorithm fits hangs on what the backends keep
(nothing, a cache, a session) and is decided once; whether it acts is the switch ``p2c``.
The parts are joined from the outside in: the sticky cookie, a level of priorities, a zone, the
canary's share, slow start, and in the middle the algorithm. Each is pure and explained in
``lb.policy``.
Not handled: numbering the proxies of a fleet and counting them by zone: the file says both.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, Protocol, TypeAlias, TypeVar

from hashing import ketama, maglev, rendezvous
from hashing.algorithm import Build
from kit.source import DataPath
from kit.source_types import Part
from lb.l7.affinity import KeyOptions, StickyOptions, key_mistakes, sticky_mistakes
from lb.policy.algorithms import ALGORITHMS
from lb.policy.bounded_load import DEFAULT_BALANCE_PERCENT, MIN_BALANCE_PERCENT, BoundedLoad
from lb.policy.canary import Canary
from lb.policy.key_hash import KeyHash
from lb.policy.priorities import Priorities
from lb.policy.roster import Algorithm
from lb.policy.slow_start import SlowStart
from lb.policy.sticky import Sticky
from lb.policy.subset import DEFAULT_SIZE, subset
from lb.policy.zones import DEFAULT_MIN_ENDPOINTS, ZoneAware

AlgorithmName: TypeAlias = Literal[
    "least_request", "weighted_round_robin", "peak_ewma", "ring_hash", "maglev", "rendezvous",
    "bounded_load",
]  # fmt: skip
BUILDS: Mapping[str, Build] = {
    "ring_hash": ketama.build,
    "maglev": maglev.build_envoy,
    "rendezvous": rendezvous.build,
    "bounded_load": ketama.build,
}
"""Placements of keys, by the algorithm that needs a key."""


class ZoneOptions(Part, frozen=True):
    """Which zone this proxy stands in; backends say theirs.

    Args:
        home: The own zone; "" means that zones don't matter.
        callers: How many proxies stand in each zone, this one included.
        min_backends: Candidates below which zones don't matter, >= 0.
    """

    home: str = ""
    callers: Mapping[str, int] = {}
    min_backends: int = DEFAULT_MIN_ENDPOINTS


class SubsetOptions(Part, frozen=True):
    """Use some of the backends only, so that many proxies share them out evenly.

    Args:
        client: This proxy's number in its fleet, >= 0, without gaps; None: it uses all.
        size: How many it uses, >= 1.
    """

    client: int | None = None
    size: int = DEFAULT_SIZE


class BalanceOptions(Part, frozen=True):
    """Section ``balance``.

    Args:
        algorithm: Who picks.
        key: What of a request is its key; for the four that place keys.
        balance_percent: ``bounded_load``: how much more than its share a backend may have.
        canary_share: Share of requests for backends marked ``canary``, 0..1.
        slow_start_s: Seconds in which a backend that is new grows to its weight; 0: at once.
        sticky: The cookie that keeps a client where it was.
        zone: Which zone is the own one.
        subset: Which part of the backends is this proxy's.
    """

    algorithm: AlgorithmName = "least_request"
    key: KeyOptions = KeyOptions()
    balance_percent: int = DEFAULT_BALANCE_PERCENT
    canary_share: float = 0.0
    slow_start_s: float = 0.0
    sticky: StickyOptions = StickyOptions()
    zone: ZoneOptions = ZoneOptions()
    subset: SubsetOptions = SubsetOptions()


def balance_mistakes(options: BalanceOptions, at: DataPath) -> Iterator[tuple[DataPath, str]]:
    """Name what is out of range, and a key where none is used or none is named."""
    key, name = options.key, options.algorithm
    yield from key_mistakes(key, (*at, "key"))
    yield from sticky_mistakes(options.sticky, (*at, "sticky"))
    if options.sticky.cookie and key.is_named:
        yield (*at, "sticky"), "a sticky cookie and a key each say where a request goes: choose one"
    if name in BUILDS and not key.is_named:
        yield (*at, "algorithm"), f"{name} needs a key; write key: {{header: x-user}}"
    if name not in BUILDS and key.is_named:
        yield (*at, "key"), f"{name} uses no key; {', '.join(BUILDS)} do"
    if options.balance_percent < MIN_BALANCE_PERCENT:
        given = options.balance_percent
        yield (*at, "balance_percent"), f"balance_percent is {given}; give 100 or more"
    if not 0.0 <= options.canary_share <= 1.0:
        yield (*at, "canary_share"), f"canary_share is {options.canary_share:g}; give 0 to 1"
    if options.slow_start_s < 0.0:
        yield (*at, "slow_start_s"), f"slow_start_s is {options.slow_start_s:g}; give 0 or more"
    yield from _zone_mistakes(options.zone, (*at, "zone"))
    subset_of = options.subset
    if subset_of.client is not None and subset_of.client < 0:
        yield (*at, "subset", "client"), f"client is {subset_of.client}; the first is 0"
    if subset_of.size < 1:
        yield (*at, "subset", "size"), f"size is {subset_of.size}; give 1 at least"


class Listed(Protocol):
    """A backend of the file."""

    @property
    def instance(self) -> str:
        """Its name."""

    @property
    def zone(self) -> str:
        """Where it stands."""

    @property
    def priority(self) -> int:
        """Its level, 0 first."""

    @property
    def canary(self) -> bool:
        """Whether it runs the next version."""


ListedT = TypeVar("ListedT", bound=Listed)


def build_algorithm(
    options: BalanceOptions, backends: Sequence[Listed], rng: random.Random
) -> Algorithm:
    """Join the parts that the file asks for.

    Args:
        options: The section.
        backends: Who is there, with levels and canaries.
        rng: Source of chance.
    """
    levels = {one.instance: one.priority for one in backends}
    canaries = {one.instance for one in backends if one.canary}
    make: Callable[[], Algorithm] = lambda: _core(options, rng)  # noqa: E731  it is wrapped below
    if options.slow_start_s > 0:
        make = _slowly(make, options.slow_start_s)
    if canaries:
        make = _with_canaries(make, canaries, options.canary_share, rng)
    if options.zone.home:
        make = _in_zones(make, options.zone, {one.instance: one.zone for one in backends}, rng)
    if any(levels.values()):
        make = _in_levels(make, levels, rng)
    return Sticky(make(), options.sticky.secret.encode()) if options.sticky.cookie else make()


def used_backends(options: SubsetOptions, backends: Sequence[ListedT]) -> Sequence[ListedT]:
    """Return those of the backends that this proxy uses, in the file's order."""
    if options.client is None:
        return backends
    names = frozenset(subset([one.instance for one in backends], options.client, options.size))
    return [one for one in backends if one.instance in names]


def _core(options: BalanceOptions, rng: random.Random) -> Algorithm:
    name = options.algorithm
    if name == "bounded_load":
        return BoundedLoad(rng, BUILDS[name], balance_percent=options.balance_percent)
    if name in BUILDS:
        return KeyHash(rng, BUILDS[name])
    return ALGORITHMS[name](rng)


def _slowly(make: Callable[[], Algorithm], window_s: float) -> Callable[[], Algorithm]:
    return lambda: SlowStart(make(), window_s=window_s)


def _with_canaries(
    make: Callable[[], Algorithm], canaries: set[str], share: float, rng: random.Random
) -> Callable[[], Algorithm]:
    return lambda: Canary(rng, canaries.__contains__, make, share)


def _in_zones(
    make: Callable[[], Algorithm],
    options: ZoneOptions,
    zones: Mapping[str, str],
    rng: random.Random,
) -> Callable[[], Algorithm]:
    def made() -> Algorithm:
        algorithm = ZoneAware(
            rng,
            options.home,
            lambda name: zones.get(name, ""),
            make,
            min_endpoints=options.min_backends,
        )
        algorithm.set_callers(options.callers)
        return algorithm

    return made


def _in_levels(
    make: Callable[[], Algorithm], levels: Mapping[str, int], rng: random.Random
) -> Callable[[], Algorithm]:
    return lambda: Priorities(rng, lambda name: levels.get(name, 0), make)


def _zone_mistakes(options: ZoneOptions, at: DataPath) -> Iterator[tuple[DataPath, str]]:
    if options.home and options.callers.get(options.home, 0) < 1:
        told = f"write callers: {{{options.home}: 1, ...}}, this proxy included"
        yield (*at, "callers"), f"how many proxies stand in {options.home}? {told}"
    if not options.home and options != ZoneOptions():
        yield at, "name the proxy's own zone; write home: ZONE"
    for zone, count in options.callers.items():
        if count < 0:
            yield (*at, "callers", zone), f"{zone} has {count} proxies; give 0 or more"
    if options.min_backends < 0:
        yield (*at, "min_backends"), f"min_backends is {options.min_backends}; give 0 or more"
