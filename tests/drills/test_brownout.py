"""The drill ``brownout`` over the real policies in virtual time: the gaps its verdict rests on."""

import functools

import pytest

from chaos.drill.bound import parse_bound
from chaos.drill.catalogue import DRILLS
from chaos.drill.judge import Finding
from chaos.drill.loading import load_drill
from chaos.drill.metrics import Arrivals
from chaos.drill.schema import FAULT
from resilience.policy.bbr import BbrLimiter
from resilience.policy.criticality_gate import CriticalityGate
from tests.drills.class_model import findings, play

pytestmark = pytest.mark.unit

DRILL = load_drill(DRILLS / "brownout.yaml")
SEEDS = range(17, 22)
STABLE_SD = 3.0  # drills.md, R4


@functools.cache
def main_arm() -> list[dict[str, Finding]]:
    """Judge the main arm with each seed."""
    return [findings(DRILL, lambda p: CriticalityGate(BbrLimiter(p)), seed) for seed in SEEDS]


@functools.cache
def control_arm() -> list[dict[str, Finding]]:
    """Judge the limiter alone with each seed."""
    return [findings(DRILL, BbrLimiter, seed) for seed in SEEDS]


@pytest.mark.parametrize("name", ["critical in time", "sheddable served"])
def test_with_the_gate_every_seed_holds_by_three_deviations(name: str) -> None:
    """All that matters is served, and the rest of the capacity goes to the sheddable."""
    margins = [run[name].margin_sd for run in main_arm()]

    assert all(run[name].held for run in main_arm())
    assert min(margin or 0.0 for margin in margins) >= STABLE_SD


def test_with_the_limiter_alone_every_seed_is_refuted_by_three_deviations() -> None:
    """A limiter that doesn't ask how much a request matters refuses the critical by chance."""
    (must_show,) = (parse_bound(each.bound) for each in DRILL.control.refutations())
    seen = [run["critical in time"].observed for run in control_arm()]

    margins = [must_show.margin_sd(each.value, each.sd) for each in seen]
    assert all(must_show.holds(each.value) for each in seen)
    assert min(margin or 0.0 for margin in margins) >= STABLE_SD


def test_the_gate_leaves_nothing_idle() -> None:
    """Both arms serve about as many in time: the gate chooses, it doesn't refuse more."""

    def served(arrivals: Arrivals) -> int:
        return sum(record.is_success for record in arrivals.of(FAULT))

    gated = sum(served(play(DRILL, lambda p: CriticalityGate(BbrLimiter(p)), s)) for s in (17, 18))
    alone = sum(served(play(DRILL, BbrLimiter, seed)) for seed in (17, 18))
    assert gated >= 0.95 * alone
