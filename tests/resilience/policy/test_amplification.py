"""Amplification: three tiers of three attempts make 27 of one, unless something holds them."""

from collections.abc import Callable

import pytest

from resilience.policy.budget import Budget, RetryBudget, SwitchedBudget
from resilience.policy.contract import Mode
from resilience.policy.finagle_budget import FinagleBudget
from resilience.policy.token_throttle import TokenThrottle
from tests.golden import transcript
from tests.resilience.policy.amplification_model import Tiers, amplification

RATE, SECONDS = 100, 10


def no_budget() -> SwitchedBudget:
    """Make a budget that refuses nobody."""
    return SwitchedBudget(RetryBudget(), lambda: Mode.OFF)


def test_without_anything_three_tiers_make_twenty_seven_of_one() -> None:
    """Three to the third, exactly, when all fails and nobody holds back."""
    assert amplification(no_budget, tells_deeper=False, rate=50, seconds=2) == 27.0


def test_with_deeper_only_the_last_hop_retries() -> None:
    """An error that names whose failure it was is retried once, not at every tier: three of one."""
    assert amplification(no_budget, tells_deeper=True) == 3.0


@pytest.mark.parametrize(("tells_deeper", "tiers"), [(False, 3), (True, 1)])
def test_finagle_s_budget_holds_each_tier_to_a_fifth_and_its_trickle(
    tells_deeper: bool, tiers: int
) -> None:
    """At most 1.2^k a call, and 10 a second for each tier, amplified by the tiers below it."""
    model = Tiers([FinagleBudget() for _ in range(3)], tells_deeper=tells_deeper)
    model.run(RATE, SECONDS)
    most = float(model.received[0])
    for _ in range(tiers):
        most = 1.2 * most + 10 * (SECONDS + 10)  # the reserve of the first ten seconds, and on

    assert model.received[-1] <= most
    assert model.received[-1] > model.received[0]


@pytest.mark.parametrize(("tells_deeper", "tiers"), [(False, 3), (True, 1)])
def test_finagle_s_share_alone_is_1_2_to_the_power_of_the_tiers(
    tells_deeper: bool, tiers: int
) -> None:
    """Without the trickle the bound is the share's, tier by tier."""
    factor = amplification(lambda: FinagleBudget(0.2, 0.0), tells_deeper=tells_deeper)

    assert 1.0 < factor <= 1.2**tiers


@pytest.mark.parametrize(("tells_deeper", "tiers"), [(False, 3), (True, 1)])
def test_envoy_s_share_alone_is_1_25_to_the_power_of_the_tiers(
    tells_deeper: bool, tiers: int
) -> None:
    """A call that is being retried counts as a call too: r / (1 + r) of 20 per cent is 25."""
    factor = amplification(
        lambda: RetryBudget(0.2, 0), tells_deeper=tells_deeper, rate=400, seconds=3
    )

    assert 1.0 < factor <= 1.25**tiers


def test_envoy_s_floor_lets_a_quiet_client_retry_freely() -> None:
    """The trap: at a call every two seconds the floor of 3 at once hardly binds: 27 is back."""
    assert amplification(RetryBudget, tells_deeper=False, rate=0.5, seconds=100) > 26
    assert amplification(RetryBudget, tells_deeper=False, rate=400, seconds=2) < 2.5


def test_grpc_s_throttle_lets_next_to_nothing_through() -> None:
    """Five failures and it is shut for all: four retries a tier in the whole outage."""
    model = Tiers([TokenThrottle() for _ in range(3)], tells_deeper=False)
    model.run(RATE, SECONDS)

    assert model.received[-1] <= model.received[0] + 3 * 4


@pytest.mark.golden
def test_the_table_of_the_page() -> None:
    """What docs/policies/retry-and-hedge.md shows: 300 calls a second for 2 s, seed 1."""
    budgets: dict[str, Callable[[], Budget]] = {
        "none": no_budget,
        "Envoy (20 %, 3 at once)": RetryBudget,
        "Finagle (20 %, 10/s)": FinagleBudget,
        "gRPC throttle (10, 0.1)": TokenThrottle,
    }
    lines = ["calls at the bottom for one at the top, all failing", ""]
    for name, make in budgets.items():
        blind, told = (
            amplification(make, tells_deeper=tells, rate=300, seconds=2) for tells in (False, True)
        )
        lines.append(f"{name:24}  each tier retries {blind:6.2f}  only the last {told:5.2f}")
    transcript.check("amplification", lines)
