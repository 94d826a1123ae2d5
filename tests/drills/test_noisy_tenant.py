"""The drill ``noisy-tenant`` over the real policies in virtual time: what its verdict rests on."""

import functools

import pytest

from chaos.drill.bound import parse_bound
from chaos.drill.catalogue import DRILLS
from chaos.drill.judge import Finding
from chaos.drill.loading import load_drill
from resilience.policy.bbr import BbrLimiter
from resilience.policy.partitions import TenantPartitions
from tests.drills.class_model import findings

pytestmark = pytest.mark.unit

DRILL = load_drill(DRILLS / "noisy-tenant.yaml")
SEEDS = range(17, 22)
STABLE_SD = 3.0  # drills.md, R4


@functools.cache
def main_arm() -> list[dict[str, Finding]]:
    """Judge the main arm with each seed."""
    return [findings(DRILL, lambda p: TenantPartitions(BbrLimiter(p)), seed) for seed in SEEDS]


@functools.cache
def control_arm() -> list[dict[str, Finding]]:
    """Judge the limiter alone with each seed."""
    return [findings(DRILL, BbrLimiter, seed) for seed in SEEDS]


@pytest.mark.parametrize("name", ["A in time", "fairness"])
def test_with_partitions_every_seed_holds_by_three_deviations(name: str) -> None:
    """A gets what it asks for, and both get what is their due."""
    margins = [run[name].margin_sd for run in main_arm()]

    assert all(run[name].held for run in main_arm())
    assert min(margin or 0.0 for margin in margins) >= STABLE_SD


def test_with_the_limiter_alone_every_seed_is_refuted_by_three_deviations() -> None:
    """A limiter that doesn't ask whose a request is refuses A as often as B."""
    (must_show,) = (parse_bound(each.bound) for each in DRILL.control.refutations())
    seen = [run["A in time"].observed for run in control_arm()]

    margins = [must_show.margin_sd(each.value, each.sd) for each in seen]
    assert all(must_show.holds(each.value) for each in seen)
    assert min(margin or 0.0 for margin in margins) >= STABLE_SD
    assert not any(run["fairness"].held for run in control_arm())
