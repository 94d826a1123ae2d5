"""Which toxic acts for a kind, and in which directions.

Why: one place to look; adding a toxic is a file with one ``plan`` and one line here.
"""

import random
from collections.abc import Callable, Mapping
from typing import TypeAlias

from faults.wire.proof import WireProof
from faults.wire.spec import ToxicSpec
from faults.wire.stage import Stage, Stages
from faults.wire.toxics.down import Down
from faults.wire.toxics.latency import Latency
from faults.wire.toxics.reset_peer import ResetPeer

Make: TypeAlias = Callable[[ToxicSpec, WireProof, random.Random], Stages]


def one_way(stage: type[Stage]) -> Make:
    """Make a toxic that acts in the direction it is told."""
    return lambda spec, proof, rng: {spec.way: stage(spec, proof, rng)}


TOXICS: Mapping[str, Make] = {
    "latency": one_way(Latency),
    "reset_peer": one_way(ResetPeer),
    "down": one_way(Down),
}

# They follow a protocol, so they must see a connection from its first byte, and draw their share
# for each command or stream instead of once a connection.
PROTOCOL_KINDS = frozenset({"loading", "reset_stream", "slow_headers"})
