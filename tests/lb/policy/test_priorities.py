"""Priorities: Envoy's published tables, and picks that follow them."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.policy.p2c import P2C
from lb.policy.priorities import DEFAULT_OVERPROVISIONING, Priorities, healths, loads
from resilience.policy.contract import Request
from tests.lb.policy.patience import PATIENT

pytestmark = pytest.mark.unit


def levels(*names: str, panic_threshold: float = 0.5) -> Priorities:
    """Make one over names whose first digit is their level."""
    rng = random.Random(1)
    one = Priorities(
        rng, lambda name: int(name[0]), lambda: P2C(rng), panic_threshold=panic_threshold
    )
    one.set_endpoints(names)
    return one


def percent(usable: tuple[int, ...]) -> list[int]:
    """Return loads for levels of a hundred endpoints, so many usable of each."""
    return loads(healths(usable, (100,) * len(usable)))


@pytest.mark.paper
@pytest.mark.parametrize(
    ("usable", "sent"),
    [
        ((100, 100), [100, 0]),
        ((72, 100), [100, 0]),
        ((71, 100), [99, 1]),
        ((50, 100), [70, 30]),
        ((25, 100), [35, 65]),
        ((0, 100), [0, 100]),
        ((72, 72), [100, 0]),
        ((71, 71), [99, 1]),
        ((50, 50), [70, 30]),
        ((25, 25), [50, 50]),
        ((100, 100, 100), [100, 0, 0]),
        ((72, 72, 100), [100, 0, 0]),
        ((71, 71, 100), [99, 1, 0]),
        ((50, 50, 100), [70, 30, 0]),
        ((25, 100, 100), [35, 65, 0]),
        ((25, 25, 100), [35, 35, 30]),
        ((25, 25, 20), [36, 36, 28]),
    ],
)
def test_published_tables(usable: tuple[int, ...], sent: list[int]) -> None:
    """Envoy, priority.rst: percentages usable by level, and the loads they give."""
    assert percent(usable) == sent


@pytest.mark.paper
def test_published_example_of_normalising() -> None:
    """Envoy, priority.rst: healths of 20 and 30 give loads of 40 and 60."""
    assert loads([20, 30]) == [40, 60]
    assert DEFAULT_OVERPROVISIONING == 1.4


@pytest.mark.paper
@pytest.mark.parametrize(
    ("usable", "sent", "panicking"),
    [
        ((72, 72), [100, 0], ()),
        ((71, 71), [99, 1], ()),
        ((25, 25), [50, 50], (0, 1)),
        ((5, 65), [7, 93], (0,)),
        ((25, 100), [35, 65], ()),
        ((0, 0), [100, 0], (0, 1)),
    ],
)
def test_published_panics(
    usable: tuple[int, int], sent: list[int], panicking: tuple[int, ...]
) -> None:
    """Envoy, panic_threshold.rst. Its rows 50/60 and 25/100 say loads that priority.rst denies."""
    one = levels(*(f"{level}-{n}" for level in (0, 1) for n in range(100)))
    one.set_candidates([f"{level}-{n}" for level in (0, 1) for n in range(usable[level])])
    assert [round(one.shares[level] * 100) for level in (0, 1)] == sent
    assert one.panicking == panicking


def test_picks_follow_the_loads() -> None:
    """Half of the first level usable: 70 % stay, on those usable, the rest goes to the second."""
    one = levels("0a", "0b", "1a", "1b")
    one.set_candidates(["0a", "1a", "1b"])
    picks = Counter(one.pick(Request(), (), 0.0) for _ in range(10_000))
    assert set(picks) == {"0a", "1a", "1b"}
    assert abs(picks["0a"] - 7_000) < 250


def test_the_second_level_serves_a_retry_when_the_first_is_excluded() -> None:
    """A level without load is better than none."""
    assert levels("0a", "1a").pick(Request(), ("0a",), 0.0) == "1a"


def test_nobody_usable_is_a_panic_and_without_panic_nobody() -> None:
    """Envoy: all traffic to level 0, or 503 where the threshold is 0."""
    one = levels("0a", "1a")
    one.set_candidates(())
    assert {one.pick(Request(), (), 0.0) for _ in range(50)} == {"0a"}
    calm = levels("0a", "1a", panic_threshold=0.0)
    calm.set_candidates(())
    assert calm.pick(Request(), (), 0.0) is None
    one.set_candidates(["1a"])
    assert {one.pick(Request(), (), 0.0) for _ in range(50)} == {"1a"}


def test_bad_factor_is_refused() -> None:
    """A factor of 0 would make everything unhealthy."""
    with pytest.raises(ValueError, match="factor must be above 0, not 0"):
        Priorities(random.Random(1), lambda name: 0, lambda: P2C(random.Random(1)), factor=0)


@pytest.mark.property
@PATIENT
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=5))
def test_loads_are_whole_and_none_goes_to_what_has_no_health(counts: list[tuple[int, int]]) -> None:
    """Loads add up to 100; a level without a usable endpoint gets none while another has one."""
    health = healths([min(pair) for pair in counts], [max(pair) for pair in counts])
    sent = loads(health)
    assert sum(sent) == 100
    assert all(load >= 0 for load in sent)
    if any(health):
        assert all(load == 0 for load, level in zip(sent, health, strict=True) if not level)
