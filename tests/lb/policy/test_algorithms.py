"""What holds of every algorithm, whatever it prefers."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lb.policy.p2c import P2C
from lb.policy.priorities import Priorities
from resilience.policy.contract import Outcome, Request
from tests.lb.policy.algorithms import ALGORITHMS
from tests.lb.policy.patience import PATIENT

pytestmark = pytest.mark.unit

NAMES = ("a", "b", "c", "d")
SUBSETS = st.sets(st.sampled_from(NAMES))
STEP = st.tuples(
    st.sampled_from(["pick", "pick", "finish", "know", "choose"]),
    SUBSETS,
    st.sampled_from(["", "k1", "k2"]),
    st.sampled_from(list(Outcome)),
)


@pytest.mark.property
@pytest.mark.parametrize("name", sorted(ALGORITHMS))
@settings(PATIENT, max_examples=25)
@given(steps=st.lists(STEP, max_size=40), seed=st.integers(0, 1000))
def test_only_a_usable_one_is_picked_and_always_one_if_there_is(
    name: str, steps: list[tuple[str, set[str], str, Outcome]], seed: int
) -> None:
    """Whoever comes, leaves, fails or is excluded: a pick is a candidate, None only without one."""
    one = ALGORITHMS[name](random.Random(seed))
    one.set_endpoints(NAMES)
    known, usable, flying = set(NAMES), set(NAMES), list[str]()
    for number, (step, names, key, outcome) in enumerate(steps):
        now_s = number * 0.3
        if step == "pick":
            chosen = one.pick(Request(key=key), tuple(names), now_s)
            assert (chosen in usable - names) if usable - names else chosen is None
            if chosen is not None:
                one.on_start(chosen, now_s)
                flying.append(chosen)
        elif step == "finish" and flying:
            one.on_finish(flying.pop(0), outcome, now_s)
        elif step == "know":
            known = usable = names
            one.set_endpoints(sorted(names))
        elif step == "choose":
            usable = names & known
            one.set_candidates(sorted(names))
    assert {n: c for n in NAMES if (c := one.snapshot().get(n, 0))} in ({}, Counter(flying))


@pytest.mark.parametrize("name", sorted(set(ALGORITHMS) - {"peak_ewma"}))
def test_every_algorithm_shows_what_is_in_flight(name: str) -> None:
    """The snapshot counts a request until it has ended, also where the endpoint has left."""
    one = ALGORITHMS[name](random.Random(1))
    one.set_endpoints(NAMES)
    one.on_start("a", 0.0)
    one.set_endpoints(NAMES[1:])
    assert one.snapshot()["a"] == 1
    one.on_finish("a", Outcome.OK, 1.0)
    assert "a" not in one.snapshot()


@pytest.mark.parametrize(
    "name", ["p2c", "weighted_round_robin", "key_hash over rendezvous", "sticky"]
)
def test_shares_converge_to_weights_when_nothing_else_differs(name: str) -> None:
    """Idle endpoints of weights 1, 2 and 5 get 1, 2 and 5 eighths of 20,000 picks, within 3 %."""
    one = ALGORITHMS[name](random.Random(1))
    one.set_endpoints({"a": 1.0, "b": 2.0, "c": 5.0})
    picks = Counter(one.pick(Request(key=f"key:{n}"), (), 0.0) for n in range(20_000))
    assert all(abs(picks[n] / 20_000 - w / 8) < 0.03 for n, w in zip("abc", (1, 2, 5), strict=True))


@pytest.mark.property
@PATIENT
@given(usable=SUBSETS, seed=st.integers(0, 1000))
def test_an_unusable_one_is_picked_in_a_panic_only(usable: set[str], seed: int) -> None:
    """Priorities know all endpoints: they pick unusable ones in a level that panics, no other."""
    one = Priorities(random.Random(seed), lambda name: ord(name) % 2, lambda: P2C(random.Random(2)))
    one.set_endpoints(NAMES)
    one.set_candidates(sorted(usable))
    chosen = one.pick(Request(), (), 0.0)
    assert chosen in usable or ord(str(chosen)) % 2 in one.panicking
