"""Limiters: at most as many at once as the service has shown it can carry, by importance.

None of the eight peers has one that learns, or one that knows who matters.
"""

import random
from collections.abc import Callable

from bench.contender import Contender, Job, Make, Path, Step, Work
from bench.guarded import fill_gate, gate_step
from resilience.policy.aimd import AimdLimit
from resilience.policy.bbr import BbrLimiter
from resilience.policy.contract import Gate
from resilience.policy.criticality_gate import CriticalityGate
from resilience.policy.envoy_gradient import EnvoyGradientLimit
from resilience.policy.fixed import FixedLimit
from resilience.policy.gradient2 import Gradient2Limit
from resilience.policy.limit import AdaptiveLimiter, Limit
from resilience.policy.partitions import TenantPartitions
from resilience.policy.vegas import VegasLimit
from resilience.policy.windowed import WindowedLimit

LIMIT = 25
SEED = 20_261_122


def bbr(work: Work, path: Path) -> Step:
    """Without pressure it only learns; under pressure, and full, it refuses."""
    pressure = 0.0 if path is Path.HAPPY else 1.0
    return _own(BbrLimiter(lambda: pressure), work, path)


def fixed(work: Work, path: Path) -> Step:
    """A number that never moves, in the gate that all limits share."""
    return _own(AdaptiveLimiter(FixedLimit(LIMIT)), work, path)


def adaptive(learner: Callable[[], Limit]) -> Make:
    """The same gate around a limit that learns from every answer."""
    return lambda work, path: _own(AdaptiveLimiter(learner()), work, path)


def partitions(work: Work, path: Path) -> Step:
    """Shares of tenants over the BBR limiter; one tenant asks."""
    pressure = 0.0 if path is Path.HAPPY else 1.0
    return _own(TenantPartitions(BbrLimiter(lambda: pressure)), work, path)


def criticality(work: Work, path: Path) -> Step:
    """Importance over the BBR limiter; a ``critical`` request asks."""
    pressure = 0.0 if path is Path.HAPPY else 1.0
    return _own(CriticalityGate(BbrLimiter(lambda: pressure)), work, path)


def _vegas() -> Limit:
    return VegasLimit(random.Random(SEED))


def _envoy() -> Limit:
    return EnvoyGradientLimit(random.Random(SEED))


def _windowed() -> Limit:
    return WindowedLimit(_vegas())


def _own(gate: Gate, work: Work, path: Path) -> Step:
    if path is Path.REJECTION:
        fill_gate(gate)
    return gate_step(gate, work)


JOBS = (
    Job("bbr", Contender("BbrLimiter", bbr)),
    Job("fixed", Contender("AdaptiveLimiter(FixedLimit)", fixed)),
    Job("aimd", Contender("AdaptiveLimiter(AimdLimit)", adaptive(AimdLimit))),
    Job("vegas", Contender("AdaptiveLimiter(VegasLimit)", adaptive(_vegas))),
    Job("gradient2", Contender("AdaptiveLimiter(Gradient2Limit)", adaptive(Gradient2Limit))),
    Job("envoy_gradient", Contender("AdaptiveLimiter(EnvoyGradientLimit)", adaptive(_envoy))),
    Job("windowed", Contender("AdaptiveLimiter(WindowedLimit(VegasLimit))", adaptive(_windowed))),
    Job("partitions", Contender("TenantPartitions(BbrLimiter)", partitions)),
    Job("criticality_gate", Contender("CriticalityGate(BbrLimiter)", criticality)),
)
