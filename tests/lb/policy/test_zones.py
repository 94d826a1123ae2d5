"""Zones: Envoy's examples, and that staying at home is never unfair."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.policy.p2c import P2C
from lb.policy.zones import DEFAULT_MIN_ENDPOINTS, ZoneAware, zone_shares
from resilience.policy.contract import Request
from tests.lb.policy.patience import PATIENT

pytestmark = pytest.mark.unit


def test_default_is_envoys() -> None:
    """min_cluster_size is 6."""
    assert DEFAULT_MIN_ENDPOINTS == 6


@pytest.mark.paper
def test_published_example_of_what_can_stay() -> None:
    """load_balancer_impl.cc: with 20 % of callers and 10 % of endpoints half can stay."""
    shares = zone_shares("x", {"x": 2, "y": 8}, {"x": 1, "y": 9})
    assert shares == pytest.approx({"x": 0.5, "y": 0.5})


@pytest.mark.paper
def test_published_example_of_spare_capacity() -> None:
    """load_balancer_impl.cc: callers 40, 40, 20 and endpoints 25, 50, 25: the rest goes 10 to 5."""
    shares = zone_shares("x", {"x": 40, "y": 40, "z": 20}, {"x": 25, "y": 50, "z": 25})
    assert shares == pytest.approx({"x": 0.625, "y": 0.25, "z": 0.125})


@pytest.mark.parametrize(
    ("callers", "endpoints", "shares"),
    [
        ({"x": 1, "y": 1}, {"x": 3, "y": 3}, {"x": 1.0}),  # as many there as ask
        ({"x": 1, "y": 1}, {"x": 4, "y": 2}, {"x": 1.0}),  # more
        ({"x": 1, "y": 1}, {"x": 2, "y": 3}, {"x": 0.4, "y": 0.6}),  # five are too few
        ({}, {"x": 3, "y": 3}, {"x": 0.5, "y": 0.5}),  # nobody told who else asks
        ({"x": 1, "y": 1}, {"y": 6}, {"y": 1.0}),  # nothing at home
        ({"x": 1, "y": 1}, {"x": 0, "y": 0}, {}),  # nothing at all
        ({"x": 1, "y": 1}, {"x": 2, "z": 4}, {"x": 2 / 3, "z": 1 / 3}),  # y has only callers
    ],
)
def test_shares(
    callers: dict[str, int], endpoints: dict[str, int], shares: dict[str, float]
) -> None:
    """All stay, none matter, or what can't stay goes where capacity is spare."""
    assert zone_shares("x", callers, endpoints) == pytest.approx(shares)


COUNTS = st.fixed_dictionaries({"x": st.integers(1, 20), "y": st.integers(1, 20)}) | (
    st.fixed_dictionaries({zone: st.integers(1, 20) for zone in "xyz"})
)


@pytest.mark.property
@PATIENT
@given(callers=COUNTS, endpoints=COUNTS)
def test_every_endpoint_gets_the_same_whatever_the_zones(
    callers: dict[str, int], endpoints: dict[str, int]
) -> None:
    """All callers together send each zone its share of the endpoints."""
    if sum(endpoints.values()) < DEFAULT_MIN_ENDPOINTS:
        endpoints = {zone: count + DEFAULT_MIN_ENDPOINTS for zone, count in endpoints.items()}
    sent = dict.fromkeys("xyz", 0.0)
    for home, count in callers.items():
        shares = zone_shares(home, callers, endpoints)
        assert sum(shares.values()) == pytest.approx(1.0)
        for zone, share in shares.items():
            sent[zone] += share * count
    for zone, count in endpoints.items():
        fair = count / sum(endpoints.values()) * sum(callers.values())
        assert sent[zone] == pytest.approx(fair)


def zonal(callers: dict[str, int]) -> ZoneAware:
    """Make one at home in x, over two endpoints in x and four in y."""
    rng = random.Random(1)
    one = ZoneAware(rng, "x", lambda name: name[0], lambda: P2C(rng))
    one.set_endpoints(["x1", "x2", "y1", "y2", "y3", "y4"])
    one.set_callers(callers)
    return one


def test_picks_stay_at_home_as_far_as_is_fair() -> None:
    """Two of six endpoints and half of the callers: two thirds stay; with a third all do."""
    one = zonal({"x": 1, "y": 1})
    picks = Counter(str(one.pick(Request(), (), 0.0))[0] for _ in range(12_000))
    assert abs(picks["x"] - 8_000) < 300
    one.set_callers({"x": 1, "y": 2})
    assert {str(one.pick(Request(), (), 0.0))[0] for _ in range(200)} == {"x"}


def test_candidates_that_go_change_what_can_stay() -> None:
    """Without one of two at home only a fifth of five endpoints is there: no zones below six."""
    one = zonal({"x": 1, "y": 2})
    one.set_candidates(["x1", "y1", "y2", "y3", "y4"])
    assert one.shares == pytest.approx({"x": 0.2, "y": 0.8})
