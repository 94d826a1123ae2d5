"""Which toxic acts for a kind, and in which directions.

Why: one place to look; adding a toxic is a file with one ``plan`` and one line here.
"""

import random
from collections.abc import Callable, Mapping
from typing import TypeAlias

from faults.kinds import SHARE_OF
from faults.wire.proof import WireProof
from faults.wire.spec import ToxicSpec
from faults.wire.stage import Stage, Stages
from faults.wire.toxics.bandwidth import Bandwidth
from faults.wire.toxics.down import Down
from faults.wire.toxics.latency import Latency
from faults.wire.toxics.limit_data import LimitData
from faults.wire.toxics.loading import make_loading
from faults.wire.toxics.reset_peer import ResetPeer
from faults.wire.toxics.reset_stream import make_reset_stream
from faults.wire.toxics.slicer import Slicer
from faults.wire.toxics.slow_close import SlowClose
from faults.wire.toxics.slow_headers import make_slow_headers
from faults.wire.toxics.timeout import Timeout

Make: TypeAlias = Callable[[ToxicSpec, WireProof, random.Random], Stages]


def one_way(stage: type[Stage]) -> Make:
    """Make a toxic that acts in the direction it is told."""
    return lambda spec, proof, rng: {spec.way: stage(spec, proof, rng)}


TOXICS: Mapping[str, Make] = {
    "latency": one_way(Latency),
    "bandwidth": one_way(Bandwidth),
    "slow_close": one_way(SlowClose),
    "timeout": one_way(Timeout),
    "reset_peer": one_way(ResetPeer),
    "slicer": one_way(Slicer),
    "limit_data": one_way(LimitData),
    "down": one_way(Down),
    "loading": make_loading,
    "reset_stream": make_reset_stream,
    "slow_headers": make_slow_headers,
}

# They follow a protocol, so they must see a connection from its first byte.
PROTOCOL_KINDS = frozenset({"loading", "reset_stream", "slow_headers"})
# Their share is one of commands or streams, drawn for each; the others' is one of connections.
MESSAGE_KINDS = frozenset(SHARE_OF)
