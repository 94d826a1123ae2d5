"""What holds for every algorithm: total, deterministic, minimal change, fair."""

from collections import Counter
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashing import laboratory, registry
from hashing.algorithm import DEFAULT_WEIGHT, Node

NAMES = sorted(laboratory.ALGORITHMS)
KEYS = [b"key:%d" % number for number in range(4_000)]
NODES = [Node(f"node-{number}") for number in range(5)]
SCATTERED = [
    sha256(key).hexdigest().encode() for key in KEYS
]  # sequential ones are 32-bit FNV's pitfall


@pytest.mark.parametrize("name", NAMES)
def test_no_nodes_is_refused(name: str) -> None:
    """Without a node there is no owner, so building fails instead of looking up."""
    with pytest.raises(ValueError, match="no nodes"):
        laboratory.build(name, [])


@pytest.mark.parametrize("name", NAMES)
def test_a_name_twice_is_refused(name: str) -> None:
    """Two nodes of one name would make ownership depend on their order."""
    with pytest.raises(ValueError, match="listed twice"):
        laboratory.build(name, [Node("a"), Node("a")])


@pytest.mark.parametrize("weight", [0.0, -1.0, float("inf"), float("nan")])
def test_a_weight_that_is_no_share_is_refused(weight: float) -> None:
    """A weight must be a finite number above zero."""
    with pytest.raises(ValueError, match="above zero"):
        laboratory.build("rendezvous", [Node("a", weight)])


def test_the_store_chooses_among_what_moves_least() -> None:
    """The registry of settings stays what it was: its algorithms are the laboratory's too."""
    assert sorted(registry.ALGORITHMS) == ["ketama", "rendezvous"]
    assert set(registry.ALGORITHMS) < set(laboratory.ALGORITHMS)


def test_default_weight_is_one() -> None:
    """A node without a weight counts as one share."""
    assert DEFAULT_WEIGHT == Node("a").weight == 1.0


def test_unknown_algorithm_names_the_nearest() -> None:
    """A typing error gets the name that was meant."""
    with pytest.raises(ValueError, match=r"did you mean 'rendezvous'.*ketama, .*rendezvous"):
        laboratory.find("rendezvo")


@pytest.mark.parametrize("name", sorted(set(NAMES) - laboratory.ORDERED))
def test_order_of_nodes_does_not_matter(name: str) -> None:
    """Two clients that list the same nodes differently agree on every key."""
    forth, back = laboratory.build(name, NODES), laboratory.build(name, NODES[::-1])

    assert [forth.lookup(key) for key in KEYS] == [back.lookup(key) for key in KEYS]


@pytest.mark.parametrize("name", sorted(laboratory.MINIMAL))
def test_adding_a_node_moves_keys_only_to_it(name: str) -> None:
    """Consistency: whatever moves on an addition moves to the newcomer, about one key in n + 1."""
    before = laboratory.build(name, NODES)
    after = laboratory.rebuild(name, NODES, [*NODES, Node("node-5")])

    moved = [key for key in SCATTERED if before.lookup(key) != after.lookup(key)]

    assert {after.lookup(key) for key in moved} == {"node-5"}
    assert 0.10 < len(moved) / len(KEYS) < 0.24  # 1/6 is the optimum


@pytest.mark.parametrize("name", NAMES)
def test_equal_nodes_get_about_equal_shares(name: str) -> None:
    """No node of five has more than 1.25 times its fair share."""
    placement = laboratory.build(name, NODES)

    shares = Counter(placement.lookup(key) for key in SCATTERED)

    assert set(shares) == {node.name for node in NODES}
    assert max(shares.values()) < 1.25 * len(KEYS) / len(NODES)


@pytest.mark.property
@pytest.mark.parametrize("name", sorted(laboratory.MINIMAL))
@given(
    names=st.sets(st.text(min_size=1, max_size=12), min_size=2, max_size=6),
    keys=st.lists(st.binary(max_size=20), min_size=1, max_size=30),
)
def test_removing_a_node_moves_only_its_own_keys(
    name: str, names: set[str], keys: list[bytes]
) -> None:
    """Whatever the node that leaves didn't own stays where it was."""
    nodes = [Node(each) for each in sorted(names)]
    gone = nodes[-1].name  # the last: jump can't lose another
    before, after = laboratory.build(name, nodes), laboratory.rebuild(name, nodes, nodes[:-1])

    for key in keys:
        if before.lookup(key) != gone:
            assert after.lookup(key) == before.lookup(key)
