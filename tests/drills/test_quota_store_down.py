"""The drill ``quota-store-down``: row eight of the catalogue, and played over the real policy.

Two gateways without a store, as the fault leaves them; requests come as the drill sends them and
go to either by chance. The gap that its verdict rests on.
"""

import functools
import random
from collections.abc import Mapping

import pytest

from chaos.drill.catalogue import DRILLS
from chaos.drill.fairness import jain, max_min_shares
from chaos.drill.loading import load_drill
from chaos.drill.schema import FAULT
from resilience.policy.contract import Mode, Permit, Request
from resilience.policy.lease import Fallback
from resilience.policy.token_lease import TokenLease

pytestmark = pytest.mark.unit

DRILL = load_drill(DRILLS / "quota-store-down.yaml")
GATEWAYS = 2
SEEDS = range(8)


def quota_rps() -> float:
    """The rate that the drill sets."""
    return DRILL.setup.settings["gateway"]["quota_rps"]


def arrivals(seed: int) -> list[tuple[float, str, int]]:
    """Return when whose request comes, and to which gateway, under the drill's fault."""
    rng = random.Random(seed)
    phase = DRILL.phase(FAULT)
    found = []
    for name, rate in phase.rates.items():
        offset_s = rng.random() / rate
        for number in range(int(rate * phase.seconds)):
            found.append((offset_s + number / rate, name, rng.randrange(GATEWAYS)))
    return sorted(found)


@functools.cache
def played(seed: int, fallback: Fallback) -> Mapping[str, float]:
    """Return how many a second of each class two lonely gateways let in."""
    leases = [
        TokenLease(quota_rps(), fallback=fallback, expected_nodes=GATEWAYS) for _ in range(GATEWAYS)
    ]
    admitted = dict.fromkeys(DRILL.phase(FAULT).rates, 0)
    for at_s, name, gateway in arrivals(seed):
        tenant = DRILL.load.classes[name].tenant
        decision = leases[gateway].admit(Request(tenant=tenant), at_s)
        admitted[name] += isinstance(decision, Permit)
    return {name: count / DRILL.phase(FAULT).seconds for name, count in admitted.items()}


def of_quota(seed: int, fallback: Fallback) -> float:
    """Return what was let in, in quotas."""
    return sum(played(seed, fallback).values()) / quota_rps()


def fairness(seed: int, fallback: Fallback) -> float:
    """Return Jain's index of what each got of his due."""
    due = max_min_shares(DRILL.phase(FAULT).rates, quota_rps())
    return jain([rate / due[name] for name, rate in played(seed, fallback).items()])


def test_the_local_share_keeps_the_quota_and_its_fairness() -> None:
    """0.93 to 0.95 of it, whatever the seed; nobody's due goes to another."""
    shares = [of_quota(seed, Fallback.LOCAL_SHARE) for seed in SEEDS]
    assert 0.9 <= min(shares) <= max(shares) <= 1.0
    assert min(fairness(seed, Fallback.LOCAL_SHARE) for seed in SEEDS) >= 0.98


def test_open_lets_all_in_and_closed_nobody() -> None:
    """Twice the quota, most of it the loud one's; or nothing at all."""
    assert {round(of_quota(seed, Fallback.OPEN), 2) for seed in SEEDS} == {2.0}
    assert max(fairness(seed, Fallback.OPEN) for seed in SEEDS) <= 0.8
    assert {of_quota(seed, Fallback.CLOSED) for seed in SEEDS} == {0.0}


def test_it_is_row_eight() -> None:
    """Three tenants at twice the quota, all cache nodes killed for 15 s, 0.7 to 1.3 against 1.8."""
    rates = DRILL.phase(FAULT).rates
    assert sum(rates.values()) == 2 * quota_rps()
    assert len({DRILL.load.classes[name].tenant for name in rates}) == 3
    assert DRILL.capacity is not None
    assert DRILL.capacity.rps == quota_rps()
    faults = {(each.kind, each.on, each.at, each.seconds) for each in DRILL.faults}
    assert faults == {("kill", f"cache-{n}", 0, 15) for n in (1, 2, 3)}
    assert DRILL.phase(FAULT).seconds == 15
    assert {(h.metric, h.bound) for h in DRILL.hypotheses} >= {
        ("admitted_of_quota", ">= 0.7"),
        ("admitted_of_quota", "<= 1.3"),
        ("error_count", "<= 0"),
        ("jain_index", ">= 0.93"),
    }
    assert DRILL.policies["quota"] == {"gateway": Mode.ON}
    assert DRILL.control.off == ("quota_local",)
    assert {r.name: r.bound for r in DRILL.control.refutations()} == {
        "not too much": ">= 1.8",
        "fairness": "<= 0.86",
    }


def test_only_the_quota_refuses() -> None:
    """Stations take eight times what is sent, and nobody is above his due before the fault."""
    video = DRILL.setup.stations["video"]
    assert 3 * video.workers * 1000 / video.mean_ms >= 8 * sum(DRILL.phase(FAULT).rates.values())
    assert "limiter" not in DRILL.policies
    assert sum(DRILL.phase("steady").rates.values()) <= 0.5 * quota_rps()
