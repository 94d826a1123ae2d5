"""Algorithms that need nothing but endpoints, by the names that people choose them by.

Why a table: the file of a proxy and the choice ``balance`` of the lab mean the same by a name.
Not handled: algorithms that need a key, a zone or a secret; only a file can give those.
"""

import random
from collections.abc import Callable, Mapping

from lb.policy.p2c import P2C
from lb.policy.peak_ewma import PeakEwma
from lb.policy.roster import Algorithm
from lb.policy.weighted_round_robin import SmoothWeighted

DEFAULT_ALGORITHM = "least_request"
ALGORITHMS: Mapping[str, Callable[[random.Random], Algorithm]] = {
    "least_request": P2C,
    "weighted_round_robin": SmoothWeighted,
    "peak_ewma": PeakEwma,
}
