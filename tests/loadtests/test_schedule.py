"""The schedule of arrivals: plain numbers."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.schedule import CONSTANT, POISSON, Phase, build_arrivals, total_seconds
from loadtests.zipf import Zipf

pytestmark = pytest.mark.unit

ZIPF = Zipf(10, 1.0)


def test_constant_arrivals_are_evenly_spaced() -> None:
    """Ten a second for two seconds are twenty arrivals, 0.1 s apart."""
    arrivals = build_arrivals([Phase("run", 2.0, {"home": 10})], gaps=CONSTANT, seed=1, zipf=ZIPF)

    gaps = [b.at_s - a.at_s for a, b in itertools.pairwise(arrivals)]
    assert len(arrivals) == 20
    assert gaps == pytest.approx([0.1] * 19)


def test_poisson_gaps_have_mean_and_deviation_of_one_over_the_rate() -> None:
    """At 100 a second the gaps' mean and standard deviation are both 10 ms."""
    arrivals = build_arrivals([Phase("run", 200, {"home": 100})], gaps=POISSON, seed=1, zipf=ZIPF)

    gaps = [b.at_s - a.at_s for a, b in itertools.pairwise(arrivals)]
    mean = sum(gaps) / len(gaps)
    variance = sum((gap - mean) ** 2 for gap in gaps) / len(gaps)
    assert mean == pytest.approx(0.01, rel=0.03)
    assert variance**0.5 == pytest.approx(0.01, rel=0.05)


def test_phases_follow_each_other() -> None:
    """A spike's arrivals lie between its own begin and end."""
    phases = [
        Phase("a", 10, {"list": 10}),
        Phase("b", 10, {"list": 100}),
        Phase("c", 10, {"list": 10}),
    ]

    arrivals = build_arrivals(phases, gaps=CONSTANT, seed=3, zipf=ZIPF)

    per_phase = [sum(s <= a.at_s < s + 10 for a in arrivals) for s in (0, 10, 20)]
    assert per_phase == [100, 1000, 100]
    assert total_seconds(phases) == 30


def test_changing_one_route_leaves_the_others_alone() -> None:
    """The home arrivals are the same whatever the rate of pages."""
    few = build_arrivals([Phase("a", 5, {"home": 10, "page": 1})], gaps=POISSON, seed=5, zipf=ZIPF)
    many = build_arrivals(
        [Phase("a", 5, {"home": 10, "page": 99})], gaps=POISSON, seed=5, zipf=ZIPF
    )

    assert [a.at_s for a in few if a.route == "home"] == [a.at_s for a in many if a.route == "home"]


def test_unknown_gaps_are_refused() -> None:
    """Only constant and poisson exist."""
    with pytest.raises(ValueError, match="constant, poisson"):
        build_arrivals([Phase("a", 1, {"home": 1})], gaps="weird", seed=1, zipf=ZIPF)


@given(st.integers(), st.floats(0, 50), st.floats(0.1, 5))
def test_same_seed_gives_the_same_ordered_arrivals(seed: int, rate: float, seconds: float) -> None:
    """A schedule is a function of its seed; numbers count up, times don't go back."""
    phases = [Phase("a", seconds, {"home": rate, "list": rate / 2})]

    one = build_arrivals(phases, gaps=POISSON, seed=seed, zipf=ZIPF)
    two = build_arrivals(phases, gaps=POISSON, seed=seed, zipf=ZIPF)

    assert one == two
    assert [a.number for a in one] == list(range(len(one)))
    assert all(a.at_s <= b.at_s for a, b in itertools.pairwise(one))
    assert all(0 <= a.at_s < seconds for a in one)
