"""What is promised within bounds: weights honoured, and few moves where the least is not."""

from collections import Counter

import pytest

from hashing import laboratory
from hashing.algorithm import Node

KEYS = [b"video:%d" % (number * 7919) for number in range(6000)]
WEIGHTED = [Node("light", 1), Node("middle", 2), Node("heavy", 5)]
EIGHT = [Node(f"node-{number}") for number in range(1, 9)]
WEIGHING = sorted(set(laboratory.ALGORITHMS) - {"jump", "ketama-twemproxy"})


@pytest.mark.parametrize("name", WEIGHING)
def test_weights_are_honoured_within_a_fifth(name: str) -> None:
    """Shares of weights 1, 2 and 5 are those of eight parts, a fifth more or less at most."""
    shares = Counter(map(laboratory.build(name, WEIGHTED).lookup, KEYS))

    for node in WEIGHTED:
        assert shares[node.name] == pytest.approx(len(KEYS) * node.weight / 8, rel=0.2)


@pytest.mark.parametrize("name", ["maglev", "maglev-katran", "ring-hash"])
def test_those_that_move_more_than_must_stay_near_it(name: str) -> None:
    """A ninth node: a ninth of the keys go to it, and no more than a ninth move otherwise."""
    before = laboratory.build(name, EIGHT)
    after = laboratory.rebuild(name, EIGHT, [*EIGHT, Node("node-9")])
    moved = [after.lookup(key) for key in KEYS if after.lookup(key) != before.lookup(key)]
    to_newcomer = moved.count("node-9")

    assert to_newcomer / len(KEYS) == pytest.approx(1 / 9, abs=0.03)
    assert 0 < (len(moved) - to_newcomer) / len(KEYS) < 1 / 9


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    """Building and rebuilding look the name up the same way."""
    with pytest.raises(ValueError, match="did you mean 'maglev'"):
        laboratory.build("maglef", EIGHT)
    with pytest.raises(ValueError, match="did you mean 'maglev'"):
        laboratory.rebuild("maglef", EIGHT, EIGHT)
