"""The courses behind the page's figures: what each way to pick does to the endpoint in trouble."""

import pytest

from tests.lb.policy.balancing_course import Marks, drive
from tests.lb.policy.ejection_course import seconds_to_eject
from tests.lb.policy.subset_course import DEALS, measure

pytestmark = pytest.mark.unit


def marks(pick: str, trouble: str, *, ejects: bool = False) -> Marks:
    """Drive a short course, the same each time."""
    return drive(pick, trouble, 1, ejects=ejects, seconds=4.0)


@pytest.mark.parametrize(
    ("pick", "least", "most"),
    [("round robin", 0.95, 1.05), ("p2c", 0.0, 0.3), ("peak ewma", 0.0, 0.15)],
)
def test_share_of_a_slow_endpoint(pick: str, least: float, most: float) -> None:
    """Turns go on as before, what counts requests or round trips sends fewer there."""
    assert least <= marks(pick, "slow").share <= most


@pytest.mark.parametrize(("pick", "is_drawn"), [("p2c", True), ("peak ewma", False)])
def test_failing_fast_attracts_only_who_counts_requests_in_flight(
    pick: str, is_drawn: bool
) -> None:
    """P2C sends over 1.3 times the fair share into failure, peak EWMA next to nothing."""
    share = marks(pick, "failing").share
    assert share > 1.3 if is_drawn else share < 0.05


def test_ejection_is_what_p2c_needs() -> None:
    """With five failures in a row ejecting, next to nothing is sent into failure."""
    assert marks("p2c", "failing", ejects=True).share < 0.05


def test_a_hot_key_drowns_its_owner_unless_load_is_bounded() -> None:
    """Half of all requests: over four times the fair share, against under twice; most at home."""
    assert marks("key hash", "hot").share > 4.0
    bounded = marks("bounded load", "hot")
    assert bounded.share < 2.0
    assert bounded.at_home > 0.4
    assert bounded.p99_s < marks("key hash", "hot").p99_s / 10


def test_rates_find_what_runs_of_failures_do_not() -> None:
    """One failure in ten: out after one interval of ten seconds, and never by five in a row."""
    assert seconds_to_eject(0.1, 0, by_rates=True) == 10.0
    assert seconds_to_eject(0.1, 0, by_rates=False) == float("inf")


def test_subsets_are_even_and_steady_by_rocksteadier_only() -> None:
    """59 backends, 100 clients, 10 each: random is uneven, deterministic moves over a half."""
    random, deterministic, steady = (measure(DEALS[name], 59, 100, 10) for name in DEALS)
    assert random.most - random.least > 0.8
    assert deterministic.moved > 0.5
    assert steady.moved < 0.03
    assert steady.most - steady.least < 0.2
