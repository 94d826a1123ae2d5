"""Adaptive limiters: at most as many at once as the service has shown it can carry.

None of the eight peers has one.
"""

from bench.contender import Contender, Job, Path, Step, Work
from bench.guarded import fill_gate, gate_step
from resilience.policy.bbr import BbrLimiter


def bbr(work: Work, path: Path) -> Step:
    """Without pressure it only learns; under pressure, and full, it refuses."""
    pressure = 0.0 if path is Path.HAPPY else 1.0
    gate = BbrLimiter(lambda: pressure)
    if path is Path.REJECTION:
        fill_gate(gate)
    return gate_step(gate, work)


JOBS = (Job("bbr", Contender("BbrLimiter", bbr)),)
