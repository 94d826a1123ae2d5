"""Limiters: at most as many at once as the service has shown it can carry, by importance.

None of the eight peers has one that learns, or one that knows who matters.
"""

from bench.contender import Contender, Job, Path, Step, Work
from bench.guarded import fill_gate, gate_step
from resilience.policy.bbr import BbrLimiter
from resilience.policy.contract import Gate
from resilience.policy.criticality_gate import CriticalityGate
from resilience.policy.fixed import FixedLimit
from resilience.policy.limit import AdaptiveLimiter


def bbr(work: Work, path: Path) -> Step:
    """Without pressure it only learns; under pressure, and full, it refuses."""
    pressure = 0.0 if path is Path.HAPPY else 1.0
    return _own(BbrLimiter(lambda: pressure), work, path)


def fixed(work: Work, path: Path) -> Step:
    """A number that never moves, in the gate that all limits share."""
    return _own(AdaptiveLimiter(FixedLimit(LIMIT)), work, path)


def criticality(work: Work, path: Path) -> Step:
    """Importance over the BBR limiter; a ``critical`` request asks."""
    pressure = 0.0 if path is Path.HAPPY else 1.0
    return _own(CriticalityGate(BbrLimiter(lambda: pressure)), work, path)


def _own(gate: Gate, work: Work, path: Path) -> Step:
    if path is Path.REJECTION:
        fill_gate(gate)
    return gate_step(gate, work)


LIMIT = 25
JOBS = (
    Job("bbr", Contender("BbrLimiter", bbr)),
    Job("fixed", Contender("AdaptiveLimiter(FixedLimit)", fixed)),
    Job("criticality_gate", Contender("CriticalityGate(BbrLimiter)", criticality)),
)
