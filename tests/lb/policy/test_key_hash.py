"""Key hash: the placement's owner, the same followers for everybody, and little that moves."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashing import ketama, rendezvous
from hashing.algorithm import Node
from lb.policy.key_hash import KeyHash
from resilience.policy.contract import Request
from tests.lb.policy.patience import PATIENT

pytestmark = pytest.mark.unit
NAMES = ("a", "b", "c", "d", "e")
KEYS = [f"key:{n}" for n in range(400)]


def picker(seed: int = 1) -> KeyHash:
    """Make one over five."""
    one = KeyHash(random.Random(seed))
    one.set_endpoints(NAMES)
    return one


def owners(one: KeyHash, exclude: tuple[str, ...] = ()) -> dict[str, str | None]:
    """Name who is picked for each key."""
    return {key: one.pick(Request(key=key), exclude, 0.0) for key in KEYS}


def test_picks_are_those_of_the_ring() -> None:
    """The owner is what ketama says, and two balancers agree whatever their chance."""
    ring = ketama.build([Node(name) for name in NAMES])
    assert owners(picker()) == {key: ring.lookup(key.encode()) for key in KEYS}
    assert owners(picker(1)) == owners(picker(2))


def test_weights_reach_the_placement() -> None:
    """An endpoint of weight 6 beside four of 1 owns more than half of the keys."""
    one = KeyHash(random.Random(1), rendezvous.build)
    one.set_endpoints(dict.fromkeys(NAMES, 1.0) | {"a": 6.0})
    assert sum(owner == "a" for owner in owners(one).values()) > len(KEYS) / 2


@pytest.mark.property
@PATIENT
@given(gone=st.sampled_from(NAMES))
def test_only_keys_of_who_leaves_move_and_they_come_back(gone: str) -> None:
    """Others keep their owner; with the return all is as it was."""
    one = picker()
    before = owners(one)
    one.set_candidates([name for name in NAMES if name != gone])
    during = owners(one)
    moved = {key for key in KEYS if before[key] != during[key]}
    assert moved == {key for key in KEYS if before[key] == gone}
    one.set_candidates(NAMES)
    assert owners(one) == before


def test_a_second_attempt_goes_to_the_same_other_for_everybody() -> None:
    """Excluding the owner gives the key's follower, and one owner's keys spread over all others."""
    first = owners(picker(1))
    keys = [key for key in KEYS if first[key] == "a"]
    seconds = {key: picker(1).pick(Request(key=key), ("a",), 0.0) for key in keys}
    assert seconds == {key: picker(2).pick(Request(key=key), ("a",), 0.0) for key in keys}
    assert set(seconds.values()) == set(NAMES) - {"a"}


def test_no_key_is_a_random_pick_and_nobody_is_none() -> None:
    """Requests without a key reach everybody; with all excluded, or nobody known, there is None."""
    one = picker()
    assert {one.pick(Request(), (), 0.0) for _ in range(200)} == set(NAMES)
    assert one.pick(Request(), NAMES, 0.0) is None
    assert one.pick(Request(key="k"), NAMES, 0.0) is None
    empty = KeyHash(random.Random(1))
    assert empty.pick(Request(key="k"), (), 0.0) is None
    assert empty.owner("k") is None
    assert empty.followers("k") == []
