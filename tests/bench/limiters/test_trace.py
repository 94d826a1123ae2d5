"""The trace: recorded, made anew bit by bit, and what it says it is."""

from itertools import pairwise
from math import isclose, sqrt
from statistics import fmean, pstdev

import pytest

from bench.limiters import trace
from bench.limiters.trace import CVS, PHASES, SLOW, STEP, load, parse, path_of, render
from kit.errors import LabEnvironmentError
from resilience.policy.contract import Criticality

pytestmark = pytest.mark.unit


def test_the_documented_figures_hold() -> None:
    """5 workers of 100 ms, a second to answer in, ten times that asked for; 20 s, under 30."""
    assert (trace.WORKERS, trace.SERVICE_S, trace.CAPACITY_RPS) == (5, 0.1, 50.0)
    assert (trace.DEADLINE_S, trace.CRITICAL_SHARE, trace.CVS) == (1.0, 0.08, (0.25, 1.0))
    assert trace.TENANT_SHARES == {"a": 0.6, "b": 0.3, "c": 0.1}
    assert trace.DURATION_S == 20.0
    assert (STEP.load, SLOW.slowness, STEP.can_carry_rps) == (10.0, 3.0, 50.0)
    assert isclose(SLOW.can_carry_rps, 50 / 3)
    assert [one.name for one in PHASES] == ["steady", "step", "slow", "recovery"]
    assert all(one.end_s == two.begin_s for one, two in pairwise(PHASES))


@pytest.mark.parametrize("cv", CVS)
def test_the_files_are_what_the_seed_makes(cv: float) -> None:
    """Nobody has edited them, and Python's generator has not moved."""
    assert path_of(cv).read_text(encoding="utf-8") == render(cv)


def test_both_traces_have_the_same_arrivals() -> None:
    """Only the services differ; another seed makes another trace."""
    assert load(0.25).arrivals == load(1.0).arrivals
    assert load(0.25).services_s != load(1.0).services_s
    assert render(1.0, seed=1) != render(1.0)


@pytest.mark.parametrize("cv", CVS)
def test_each_second_s_worth_of_services_takes_just_that(cv: float) -> None:
    """So declared capacity is what is carried; and they vary as their name says."""
    services_s = load(cv).services_s

    for begin in range(0, len(services_s) - trace.BLOCK, trace.BLOCK):
        block = services_s[begin : begin + trace.BLOCK]
        assert isclose(fmean(block), trace.SERVICE_S, rel_tol=1e-3)
    assert isclose(pstdev(services_s) / trace.SERVICE_S, cv, rel_tol=0.06)


def test_arrivals_come_at_the_rate_of_their_phase() -> None:
    """Within three deviations of a Poisson count."""
    arrivals = load(1.0).arrivals
    for phase in PHASES:
        count = sum(phase.begin_s <= one.at_s < phase.end_s for one in arrivals)
        expected = phase.load * trace.CAPACITY_RPS * (phase.end_s - phase.begin_s)
        assert abs(count - expected) < 3 * sqrt(expected)


def test_critical_and_tenants_have_their_shares() -> None:
    """8 % critical, the rest sheddable; 6 : 3 : 1."""
    arrivals = load(1.0).arrivals
    critical = sum(one.criticality is Criticality.CRITICAL for one in arrivals)

    assert abs(critical / len(arrivals) - 0.08) < 0.015
    assert {one.criticality for one in arrivals} == {Criticality.CRITICAL, Criticality.SHEDDABLE}
    for tenant, share in trace.TENANT_SHARES.items():
        asked = sum(one.tenant == tenant for one in arrivals)
        assert abs(asked / len(arrivals) - share) < 0.03


@pytest.mark.parametrize("body", ["", "9.0,critical,a,5\n3.0,critical,a,5\n", "x,critical,a,5\n"])
def test_a_file_that_is_no_trace_is_refused(body: str) -> None:
    """Empty, out of order, or not a number."""
    with pytest.raises(ValueError, match=r"arrivals|convert"):
        parse(",".join(trace.HEAD) + "\n" + body, 1.0)


def test_a_missing_file_says_what_makes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, the command in it."""
    monkeypatch.setattr(trace, "FOLDER", trace.FOLDER / "nowhere")
    with pytest.raises(LabEnvironmentError, match=r"python -m bench\.limiters\.trace"):
        load(1.0)
