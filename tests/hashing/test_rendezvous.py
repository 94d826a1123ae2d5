"""Rendezvous hashing: ranking, weights, and pinned placements."""

from collections import Counter

import pytest

from hashing.algorithm import Node
from hashing.rendezvous import DIGEST_BYTES, Rendezvous

PINNED = "221331211223"  # the last letter of each owner
KEYS = [b"key:%d" % number for number in range(20_000)]


def test_documented_constants() -> None:
    """Scores come from 64 bits of blake2b."""
    assert DIGEST_BYTES == 8


def test_placement_is_pinned() -> None:
    """A change of hash would move every key in every store: these must never change."""
    placement = Rendezvous([Node("shard-1"), Node("shard-2"), Node("shard-3")])

    assert [placement.lookup(b"%d" % number)[-1] for number in range(12)] == list(PINNED)


def test_ranking_starts_with_the_owner_and_names_everyone_once() -> None:
    """The order of scores is the order of succession."""
    nodes = [Node(f"n{number}") for number in range(6)]
    placement = Rendezvous(nodes)

    for key in KEYS[:200]:
        ranking = placement.ranked(key)
        assert ranking[0] == placement.lookup(key)
        assert sorted(ranking) == [node.name for node in nodes]
        assert placement.ranked(key, 2) == ranking[:2]


def test_the_second_in_rank_inherits() -> None:
    """When the owner leaves, exactly the next in its ranking owns the key."""
    nodes = [Node(f"n{number}") for number in range(4)]
    placement = Rendezvous(nodes)

    for key in KEYS[:200]:
        owner, heir = placement.ranked(key, 2)
        rest = Rendezvous([node for node in nodes if node.name != owner])
        assert rest.lookup(key) == heir


@pytest.mark.paper
def test_weights_give_proportional_shares() -> None:
    """Schindelhauer and Schomaker 2005: with -w/ln(u) the share of a node is its weight's."""
    placement = Rendezvous([Node("light", 1), Node("middle", 2), Node("heavy", 5)])

    shares = Counter(placement.lookup(key) for key in KEYS)

    for name, weight in (("light", 1), ("middle", 2), ("heavy", 5)):
        assert shares[name] / len(KEYS) == pytest.approx(weight / 8, abs=0.012)


@pytest.mark.paper
def test_raising_one_weight_moves_keys_only_to_that_node() -> None:
    """Schindelhauer and Schomaker 2005: a changed weight concerns only its own node's keys."""
    before = Rendezvous([Node("a"), Node("b"), Node("c")])
    after = Rendezvous([Node("a"), Node("b"), Node("c", 1.5)])

    moved = [key for key in KEYS[:4_000] if before.lookup(key) != after.lookup(key)]

    assert moved
    assert {after.lookup(key) for key in moved} == {"c"}
