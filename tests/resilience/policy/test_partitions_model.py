"""Partitions in front of a service of known capacity: the noisy tenant, and fair shares."""

from functools import cache

import pytest

from resilience.policy.bbr import BbrLimiter
from resilience.policy.criticality_gate import CriticalityGate
from resilience.policy.partitions import TenantPartitions
from tests.resilience.policy.admission_model import AdmissionModel, MakeDoor, Slots, Stream, jain

CALM = [Stream("A", 8.0, tenant="A"), Stream("B", 4.0, tenant="B")]
NOISE = [Stream("A", 8.0, tenant="A"), Stream("B", 100.0, tenant="B")]
FAIR_RPS = {"A": 8.0, "B": 12.0}  # max-min: A asks for less than half of 20, B gets the rest

DOORS: dict[str, MakeDoor | None] = {
    "none": None,
    "bbr": BbrLimiter,
    "fixed": lambda _: Slots(4),
    "partitions over bbr": lambda pressure: TenantPartitions(BbrLimiter(pressure)),
    "partitions over fixed": lambda _: TenantPartitions(Slots(4)),
    "gate over partitions": lambda pressure: CriticalityGate(
        TenantPartitions(BbrLimiter(pressure))
    ),
}


@cache
def noisy_runs(door: str) -> list[AdmissionModel]:
    """Play the noisy tenant with 20 seeds."""
    phases = [(5.0, CALM), (20.0, NOISE), (1.0, CALM)]
    return [AdmissionModel(phases, DOORS[door], seed).run() for seed in range(20)]


def in_noise(run: AdmissionModel, tenant: str) -> tuple[int, int]:
    """Return how many came during the noise, and how many of them were answered in time."""
    tally = run.tallies[tenant]
    came = sum(5.0 <= arrived_s < 25.0 for arrived_s in tally.arrived_s)
    return came, sum(5.0 <= arrived_s < 25.0 for arrived_s, _ in tally.answers)


def shares_in_time(door: str) -> list[float]:
    """Return A's share answered in time, by seed."""
    found = [in_noise(run, "A") for run in noisy_runs(door)]
    return [answered / came for came, answered in found]


@pytest.mark.parametrize("limiter", ["bbr", "fixed"])
def test_a_noisy_tenant_costs_its_neighbour_nothing(limiter: str) -> None:
    """drills.md, 7: A in time >= 0.95, Jain over fair shares >= 0.9, nothing wasted."""
    door = f"partitions over {limiter}"
    shares = shares_in_time(door)
    assert sum(shares) / len(shares) > 0.97
    assert min(shares) > 0.93
    for run in noisy_runs(door):
        assert jain([in_noise(run, each)[1] / 20 / FAIR_RPS[each] for each in "AB"]) > 0.95
    goodput, alone = (sum(run.goodput for run in noisy_runs(each)) / 20 for each in (door, limiter))
    assert goodput > alone - 0.02


@pytest.mark.parametrize("door", ["none", "bbr", "fixed"])
def test_without_partitions_the_neighbour_gets_a_fifth(door: str) -> None:
    """drills.md, 7, control: A in time <= 0.40 (0.19 expected)."""
    assert max(shares_in_time(door)) < 0.35


def test_three_tenants_get_max_min_shares() -> None:
    """A asks for 5 of 20 and gets it; B and C, who want far more, get half of the rest each."""
    streams = [Stream(name, rps, tenant=name) for name, rps in (("A", 5), ("B", 100), ("C", 50))]
    fair_rps = {"A": 5.0, "B": 7.5, "C": 7.5}
    got = dict.fromkeys("ABC", 0.0)
    for seed in range(20):
        run = AdmissionModel([(20.0, streams)], DOORS["partitions over fixed"], seed).run()
        for tenant in "ABC":
            got[tenant] += len(run.tallies[tenant].answers) / 20 / 20

    assert jain([got[tenant] / fair_rps[tenant] for tenant in "ABC"]) > 0.99
    assert min(got[tenant] / fair_rps[tenant] for tenant in "ABC") > 0.85


def test_weights_divide_what_both_want() -> None:
    """With weight 3 against 1, and both wanting all, A gets three quarters."""
    streams = [Stream("A", 60.0, tenant="A"), Stream("B", 60.0, tenant="B")]
    weights = {"A": 3.0, "B": 1.0}
    got = {"A": 0, "B": 0}
    for seed in range(20):
        model = AdmissionModel(
            [(20.0, streams)], lambda _: TenantPartitions(Slots(4), weights), seed
        )
        for tenant, tally in model.run().tallies.items():
            got[tenant] += len(tally.answers)

    assert 0.68 < got["A"] / (got["A"] + got["B"]) < 0.82
