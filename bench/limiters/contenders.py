"""Contenders: every limiter of ours as the lab would run it, none at all, and Envoy's filter.

``default`` is what the lab guards a service with once importance is switched on: BBR on the lab's
pressure, the criticality gate around it. The rest stand alone, so that a row shows the limiter and
nothing else. All get the same service, the same layers around it (Context, deadline) and the
same trace; ``envoy`` gets the service of ``none``, with the filter in a proxy in front.
Not handled: settings other than each limiter's defaults; ``squall experiment`` varies those.
"""

import random
from collections.abc import Callable
from typing import NamedTuple

from bench.limiters.trace import WORKERS
from resilience.policy.aimd import AimdLimit
from resilience.policy.bbr import BbrLimiter
from resilience.policy.contract import Gate
from resilience.policy.criticality_gate import CriticalityGate
from resilience.policy.envoy_gradient import EnvoyGradientLimit
from resilience.policy.fixed import FixedLimit
from resilience.policy.gradient2 import Gradient2Limit
from resilience.policy.limit import AdaptiveLimiter
from resilience.policy.vegas import VegasLimit

SEED = 20_261_123
MANY_RUNS = 10  # the issue: median of 10 runs for the default and Envoy
FEW_RUNS = 3  # and of 3 for the others

Pressure = Callable[[], float]
MakeGate = Callable[[Pressure], Gate]


class Contender(NamedTuple):
    """One row of the table.

    Args:
        name: What ``--only`` takes.
        what: One line for a reader.
        make: Makes the gate from the pressure signal; None runs the service without one.
        runs: How many runs its medians are taken of.
        is_envoy: Whether Envoy stands in front.
    """

    name: str
    what: str
    make: MakeGate | None
    runs: int = FEW_RUNS
    is_envoy: bool = False


DEFAULT = "default"
ENVOY = "envoy"
CONTENDERS = (
    Contender(
        DEFAULT,
        "criticality gate over BBR: the lab's limiter with criticality on",
        lambda pressure: CriticalityGate(BbrLimiter(pressure)),
        MANY_RUNS,
    ),
    Contender(ENVOY, "Envoy's adaptive concurrency filter in front", None, MANY_RUNS, True),
    Contender("none", "no limiter: station and deadline alone", None),
    Contender("bbr", "BBR alone: the lab's limiter as it stands", BbrLimiter),
    Contender("vegas", "Vegas alone", lambda _: AdaptiveLimiter(VegasLimit(random.Random(SEED)))),
    Contender("gradient2", "Gradient2 alone", lambda _: AdaptiveLimiter(Gradient2Limit())),
    Contender("aimd", "AIMD alone", lambda _: AdaptiveLimiter(AimdLimit())),
    Contender(
        "envoy-gradient",
        "our version of Envoy's gradient, inside the service",
        lambda _: AdaptiveLimiter(EnvoyGradientLimit(random.Random(SEED))),
    ),
    Contender(
        "fixed",
        "a fixed limit of as many as there are workers: who knows the capacity needs no learning",
        lambda _: AdaptiveLimiter(FixedLimit(WORKERS)),
    ),
)


def names() -> list[str]:
    """Return the contenders' names in the order of the table."""
    return [each.name for each in CONTENDERS]


def contender(name: str) -> Contender:
    """Return a contender by its name.

    Raises:
        KeyError: There is none.
    """
    for each in CONTENDERS:
        if each.name == name:
            return each
    raise KeyError(name)
