"""P2C: fairness when idle, the less busy when not, weights in proportion."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.policy.p2c import DEFAULT_BIAS, DEFAULT_WEIGHT, P2C
from resilience.policy.contract import Outcome, Request
from tests.lb.policy.patience import PATIENT

REQUEST = Request()
pytestmark = pytest.mark.unit


def picker(*names: str, seed: int = 1) -> P2C:
    """Make a picker over these names."""
    made = P2C(random.Random(seed))
    made.set_endpoints(names)
    return made


def test_defaults_are_the_documented_ones() -> None:
    """Bias 1 as in Envoy, weight 1."""
    assert (DEFAULT_BIAS, DEFAULT_WEIGHT) == (1.0, 1.0)


def test_nobody_and_only_one() -> None:
    """No endpoint gives None, one gives that one, excluding it None."""
    assert picker().pick(REQUEST, (), 0.0) is None
    assert picker("a").pick(REQUEST, (), 0.0) == "a"
    assert picker("a").pick(REQUEST, ("a",), 0.0) is None


def test_of_two_the_less_busy_is_always_taken() -> None:
    """With two endpoints both are looked at each time, so the busier one gets nothing."""
    one = picker("a", "b")
    one.on_start("a", 0.0)
    assert {one.pick(REQUEST, (), 0.0) for _ in range(100)} == {"b"}


def test_idle_endpoints_share_evenly() -> None:
    """Of 30,000 picks among three idle endpoints each gets a third, within 3 %."""
    one = picker("a", "b", "c")
    counts = Counter(one.pick(REQUEST, (), 0.0) for _ in range(30_000))
    assert all(abs(count - 10_000) < 300 for count in counts.values())


def test_busiest_of_three_gets_nothing() -> None:
    """The busiest endpoint loses every pair it is drawn in."""
    one = picker("a", "b", "c")
    one.on_start("a", 0.0)
    assert "a" not in {one.pick(REQUEST, (), 0.0) for _ in range(1000)}


def test_weights_share_in_proportion() -> None:
    """Idle endpoints of weights 1 and 3 get a quarter and three quarters, within 3 %."""
    one = P2C(random.Random(1))
    one.set_endpoints({"a": 1.0, "b": 3.0})
    counts = Counter(one.pick(REQUEST, (), 0.0) for _ in range(20_000))
    assert abs(counts["b"] - 15_000) < 450


def test_load_takes_from_a_weight() -> None:
    """Weight 3 with two in flight counts as weight 1: 3 / (2 + 1)."""
    one = P2C(random.Random(1))
    one.set_endpoints({"a": 1.0, "b": 3.0})
    one.on_start("b", 0.0)
    one.on_start("b", 0.0)
    counts = Counter(one.pick(REQUEST, (), 0.0) for _ in range(20_000))
    assert abs(counts["b"] - 10_000) < 300


def test_bias_zero_ignores_load() -> None:
    """With bias 0 a busy endpoint gets its share all the same."""
    one = P2C(random.Random(1), bias=0.0)
    one.set_endpoints(["a", "b"])
    one.on_start("a", 0.0)
    counts = Counter(one.pick(REQUEST, (), 0.0) for _ in range(10_000))
    assert abs(counts["a"] - 5_000) < 200


@pytest.mark.parametrize("weights", [{"a": 0.0}, {"a": -1.0}])
def test_weight_must_be_positive(weights: dict[str, float]) -> None:
    """A weight of zero or less is refused by name."""
    with pytest.raises(ValueError, match="weight of a"):
        P2C(random.Random(1)).set_endpoints(weights)


def test_endpoint_that_left_is_forgotten_when_its_last_request_ends() -> None:
    """What is in flight stays counted across a leave, and across a return."""
    one = picker("a", "b")
    one.on_start("a", 0.0)
    one.set_endpoints(["b"])
    assert one.pick(REQUEST, (), 0.0) == "b"
    assert one.active("a") == 1
    one.set_endpoints(["a", "b"])
    assert one.snapshot() == {"a": 1, "b": 0}
    one.set_endpoints(["b"])
    one.on_finish("a", Outcome.OK, 0.0)
    assert one.snapshot() == {"b": 0}


NAMES = ("a", "b", "c", "d")


@pytest.mark.property
@PATIENT
@given(
    st.lists(st.tuples(st.sampled_from(["pick", "finish", "leave", "join"]), st.integers(0, 3))),
    st.integers(0, 1000),
)
def test_counts_equal_what_is_in_flight_whatever_happens(
    steps: list[tuple[str, int]], seed: int
) -> None:
    """Whoever leaves or returns, the counts are those of a plain list of what is in flight."""
    one = picker(*NAMES, seed=seed)
    present, flying = set(NAMES), []
    for step, index in steps:
        name = NAMES[index]
        if step == "pick":
            chosen = one.pick(REQUEST, (), 0.0)
            assert (chosen is None) == (not present)
            if chosen is not None:
                assert chosen in present
                one.on_start(chosen, 0.0)
                flying.append(chosen)
        elif step == "finish" and flying:
            one.on_finish(flying.pop(index % len(flying)), Outcome.OK, 0.0)
        elif step in ("leave", "join"):
            (present.discard if step == "leave" else present.add)(name)
            one.set_endpoints(sorted(present))
        assert all(one.active(n) == flying.count(n) for n in NAMES)


@pytest.mark.property
@PATIENT
@given(st.sets(st.sampled_from(NAMES)), st.integers(0, 1000))
def test_excluded_endpoints_are_never_picked(exclude: set[str], seed: int) -> None:
    """A pick is outside ``exclude``, and None only when nothing is left."""
    one = picker(*NAMES, seed=seed)
    chosen = one.pick(REQUEST, tuple(exclude), 0.0)
    assert chosen not in exclude
    assert (chosen is None) == (exclude == set(NAMES))
