"""Every algorithm by name, for what must hold of all of them."""

import random
from collections.abc import Callable, Mapping

from hashing import rendezvous
from lb.policy.bounded_load import BoundedLoad
from lb.policy.canary import Canary
from lb.policy.key_hash import KeyHash
from lb.policy.p2c import P2C
from lb.policy.peak_ewma import PeakEwma
from lb.policy.priorities import Priorities
from lb.policy.roster import Algorithm
from lb.policy.slow_start import SlowStart
from lb.policy.sticky import Sticky
from lb.policy.weighted_round_robin import SmoothWeighted
from lb.policy.zones import ZoneAware

SECRET = b"of sixteen bytes"


def _zones(rng: random.Random) -> Algorithm:
    made = ZoneAware(rng, "odd", _parity, lambda: P2C(rng), min_endpoints=2)
    made.set_callers({"odd": 1, "even": 1})
    return made


def _parity(name: str) -> str:
    return "odd" if ord(name[-1]) % 2 else "even"


ALGORITHMS: Mapping[str, Callable[[random.Random], Algorithm]] = {
    "p2c": P2C,
    "weighted_round_robin": SmoothWeighted,
    "peak_ewma": PeakEwma,
    "key_hash": KeyHash,
    "key_hash over rendezvous": lambda rng: KeyHash(rng, rendezvous.build),
    "bounded_load": BoundedLoad,
    "zone_aware": _zones,
    "priorities": lambda rng: Priorities(
        rng, lambda name: ord(name[-1]) % 2, lambda: P2C(rng), panic_threshold=0.0
    ),
    "canary": lambda rng: Canary(rng, lambda name: name == "c", lambda: P2C(rng), 0.2),
    "sticky": lambda rng: Sticky(P2C(rng), SECRET),
    "slow_start": lambda rng: SlowStart(P2C(rng), window_s=10.0),
}
