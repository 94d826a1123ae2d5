"""Slow start: Envoy's formula, who starts slowly, and what the algorithm below is told."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.policy import slow_start
from lb.policy.p2c import P2C
from lb.policy.slow_start import SlowStart, slow_start_ratio
from resilience.policy.contract import Outcome, Request
from tests.lb.policy.patience import PATIENT

pytestmark = pytest.mark.unit
REQUEST = Request()


def slowly(*names: str) -> SlowStart:
    """Make one over these that have been there for long."""
    one = SlowStart(P2C(random.Random(1)), window_s=60.0)
    one.set_endpoints(names)
    one.pick(REQUEST, (), 0.0)
    return one


def share(one: SlowStart, name: str, now_s: float) -> float:
    """Return its share of 10,000 picks at one moment."""
    return Counter(one.pick(REQUEST, (), now_s) for _ in range(10_000))[name] / 10_000


def test_defaults_are_envoys() -> None:
    """Aggression 1, at least 10 %, at least a second; the window of its example."""
    assert slow_start.DEFAULT_AGGRESSION == 1.0
    assert slow_start.DEFAULT_MIN_RATIO == 0.1
    assert slow_start.LEAST_AGE_S == 1.0
    assert slow_start.DEFAULT_WINDOW_S == 60.0


@pytest.mark.paper
@pytest.mark.parametrize(
    ("age_s", "aggression", "ratio"),
    [
        (0.0, 1.0, 0.1),  # 1 s of 60 is less than the minimum
        (6.0, 1.0, 0.1),
        (30.0, 1.0, 0.5),
        (60.0, 1.0, 1.0),
        (15.0, 2.0, 0.5),  # the root of a quarter
        (30.0, 0.5, 0.25),  # the square of a half
        (0.0, 10.0, (1 / 60) ** 0.1),
    ],
)
def test_published_formula(age_s: float, aggression: float, ratio: float) -> None:
    """Envoy, slow_start.rst: max(minimum, (time / window) ** (1 / aggression))."""
    assert slow_start_ratio(age_s, 60.0, aggression) == pytest.approx(ratio)


def test_a_newcomer_gets_its_share_little_by_little() -> None:
    """Beside an old one: a tenth of its weight at first, a half after half a minute, then all."""
    one = slowly("old")
    one.pick(REQUEST, (), 100.0)
    one.set_endpoints(["old", "new"])
    assert share(one, "new", 200.0) == pytest.approx(0.1 / 1.1, abs=0.015)
    assert share(one, "new", 230.0) == pytest.approx(0.5 / 1.5, abs=0.02)
    assert one.snapshot()["starting"] == 1
    assert share(one, "new", 260.0) == pytest.approx(0.5, abs=0.02)
    assert one.snapshot()["starting"] == 0


def test_coming_back_into_health_starts_slowly_and_others_go_on() -> None:
    """Whoever wasn't a candidate begins again; who stayed keeps its age."""
    one = slowly("a", "b")
    one.pick(REQUEST, (), 100.0)
    one.set_candidates(["a"])
    one.pick(REQUEST, (), 110.0)
    one.set_candidates(["a", "b"])
    one.pick(REQUEST, (), 120.0)
    assert (one.ratio("a", 120.0), one.ratio("b", 120.0)) == (1.0, 0.1)


def test_all_new_share_alike() -> None:
    """Where everybody is new, nobody waits for anybody."""
    one = slowly("a", "b")
    assert share(one, "a", 1.0) == pytest.approx(0.5, abs=0.02)


def test_counts_reach_the_algorithm_below() -> None:
    """In flight is the inner algorithm's, across changes of weights."""
    one = slowly("a", "b")
    one.on_start("a", 0.0)
    one.pick(REQUEST, (), 30.0)
    assert one.snapshot()["a"] == 1
    one.on_finish("a", Outcome.OK, 31.0)
    assert one.snapshot()["a"] == 0


@pytest.mark.parametrize("bad", [{"window_s": 0.0}, {"aggression": 0.0}, {"min_ratio": 0.0}])
def test_numbers_out_of_range_are_refused(bad: dict[str, float]) -> None:
    """The message says all three."""
    with pytest.raises(ValueError, match="must be above 0"):
        SlowStart(P2C(random.Random(1)), **bad)


@pytest.mark.property
@PATIENT
@given(st.floats(0, 200), st.floats(0, 200), st.floats(0.1, 10))
def test_ratio_never_falls_with_age(one_s: float, other_s: float, aggression: float) -> None:
    """It stays within minimum and 1, and grows with age."""
    young, old = sorted((one_s, other_s))
    ratios = [slow_start_ratio(age_s, 60.0, aggression) for age_s in (young, old)]
    assert 0.1 <= ratios[0] <= ratios[1] <= 1.0
