"""How backends are picked, as the proxy's file says it.

Why a file's section and not a switch: which algorithm fits hangs on what the backends keep
(nothing, a cache, a session) and is decided once; whether it acts is the switch ``p2c``.
The parts are joined from the outside in: a level of priorities, the canary's share, slow start, and
in the middle the algorithm. Each is pure and explained in ``lb.policy``.
Not handled: zones (who calls from where is known to a fleet, not to one file), the sticky cookie.
"""

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, Protocol, TypeAlias

from hashing import ketama, maglev, rendezvous
from hashing.algorithm import Build
from kit.source import DataPath
from kit.source_types import Part
from lb.l7.headers import Headers
from lb.policy.bounded_load import DEFAULT_BALANCE_PERCENT, MIN_BALANCE_PERCENT, BoundedLoad
from lb.policy.canary import Canary
from lb.policy.key_hash import KeyHash
from lb.policy.p2c import P2C
from lb.policy.peak_ewma import PeakEwma
from lb.policy.priorities import Priorities
from lb.policy.roster import Algorithm
from lb.policy.slow_start import SlowStart
from lb.policy.weighted_round_robin import SmoothWeighted

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

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110 5.6.2: a token


class KeyOptions(Part, frozen=True):
    """What of a request is its key: one of the three.

    Args:
        header: A header's value, by its name.
        cookie: A cookie's value, by its name.
        path: The path without its query.
    """

    header: str = ""
    cookie: str = ""
    path: bool = False

    @property
    def is_named(self) -> bool:
        """Whether there is a key."""
        return bool(self.header or self.cookie or self.path)


class BalanceOptions(Part, frozen=True):
    """Section ``balance``.

    Args:
        algorithm: Who picks.
        key: What of a request is its key; for the four that place keys.
        balance_percent: ``bounded_load``: how much more than its share a backend may have.
        canary_share: Share of requests for backends marked ``canary``, 0..1.
        slow_start_s: Seconds in which a backend that is new grows to its weight; 0: at once.
    """

    algorithm: AlgorithmName = "least_request"
    key: KeyOptions = KeyOptions()
    balance_percent: int = DEFAULT_BALANCE_PERCENT
    canary_share: float = 0.0
    slow_start_s: float = 0.0


def balance_mistakes(options: BalanceOptions, at: DataPath) -> Iterator[tuple[DataPath, str]]:
    """Name what is out of range, and a key where none is used or none is named."""
    key, name = options.key, options.algorithm
    if (key.header != "") + (key.cookie != "") + key.path > 1:
        yield (*at, "key"), "a key is one of header, cookie and path: name one"
    for field, text in (("header", key.header), ("cookie", key.cookie)):
        if text and not _NAME.fullmatch(text):
            yield (*at, "key", field), f"{text!r} is no name of a {field}"
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


class Listed(Protocol):
    """A backend of the file."""

    @property
    def instance(self) -> str:
        """Its name."""

    @property
    def priority(self) -> int:
        """Its level, 0 first."""

    @property
    def canary(self) -> bool:
        """Whether it runs the next version."""


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
    if any(levels.values()):
        return Priorities(rng, lambda name: levels.get(name, 0), make)
    return make()


def key_reader(options: KeyOptions) -> Callable[[bytes, Headers], str] | None:
    """Return what finds a request's key in its target and headers; None without a key.

    A request that doesn't have it has the key "", and goes to anyone.
    """
    if options.path:
        return lambda target, headers: target.partition(b"?")[0].decode("latin-1")
    if options.header:
        wanted = options.header.lower().encode()
        return lambda target, headers: next(
            (value.decode("latin-1") for name, value in headers if name.lower() == wanted), ""
        )
    if options.cookie:
        cookie = options.cookie.encode()
        return lambda target, headers: _cookie(cookie, headers)
    return None


def _core(options: BalanceOptions, rng: random.Random) -> Algorithm:
    name = options.algorithm
    if name == "bounded_load":
        return BoundedLoad(rng, BUILDS[name], balance_percent=options.balance_percent)
    if name in BUILDS:
        return KeyHash(rng, BUILDS[name])
    if name == "weighted_round_robin":
        return SmoothWeighted(rng)
    return PeakEwma(rng) if name == "peak_ewma" else P2C(rng)


def _slowly(make: Callable[[], Algorithm], window_s: float) -> Callable[[], Algorithm]:
    return lambda: SlowStart(make(), window_s=window_s)


def _with_canaries(
    make: Callable[[], Algorithm], canaries: set[str], share: float, rng: random.Random
) -> Callable[[], Algorithm]:
    return lambda: Canary(rng, canaries.__contains__, make, share)


def _cookie(wanted: bytes, headers: Headers) -> str:
    """Return a cookie's value (RFC 6265 5.4: pairs with semicolons between)."""
    for name, value in headers:
        if name.lower() == b"cookie":
            for pair in value.split(b";"):
                found, equals, text = pair.strip().partition(b"=")
                if equals and found == wanted:
                    return text.decode("latin-1")
    return ""
