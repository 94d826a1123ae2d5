"""Reading what nodes say of who serves what."""

import pytest

from hashing.slots import SLOT_COUNT
from shard.policy.topology import NOWHERE, TLS_PORT, Address, parse_shards, parse_slots

ASKED = Address("10.0.0.9", 7009)
ONE, TWO = Address("10.0.0.1", 7001), Address("10.0.0.2", 7002)


def node(address: Address, role: bytes, health: bytes = b"online") -> list[object]:
    """Say a node as CLUSTER SHARDS does in RESP2."""
    host = address.host.encode()
    return [
        b"id", b"x" * 40, b"port", address.port, b"ip", host, b"endpoint", host,
        b"role", role, b"replication-offset", 0, b"health", health,
    ]  # fmt: skip


def test_shards_give_owners_and_replicas() -> None:
    """Each range is its shard's online primary's; slots outside of all are nobody's."""
    reply = [
        [b"slots", [0, 99, 200, 200], b"nodes", [node(TWO, b"replica"), node(ONE, b"master")]],
        [b"slots", [], b"nodes", [node(ASKED, b"master")]],
    ]
    topology = parse_shards(reply, ASKED)

    assert topology.owners[0] == topology.owners[99] == topology.owners[200] == ONE
    assert topology.owners[100] is None
    assert topology.unowned == SLOT_COUNT - 101
    assert topology.primaries == (ONE,)
    assert topology.replicas[ONE] == (TWO,)
    assert topology.nodes == {ONE, TWO, ASKED}


def test_of_two_primaries_in_a_shard_the_online_one_owns() -> None:
    """After a failover the old primary still says "master" until it is back."""
    nodes = [node(ONE, b"master", b"fail"), node(TWO, b"master")]

    topology = parse_shards([[b"slots", [0, 9], b"nodes", nodes]], ASKED)

    assert topology.owners[0] == TWO
    assert topology.replicas[TWO] == (ONE,)


def test_shards_are_read_from_maps_too() -> None:
    """RESP3 sends maps where RESP2 sends flat lists."""
    fields = {b"port": 7001, b"ip": b"10.0.0.1", b"role": b"master", b"health": b"online"}

    topology = parse_shards([{b"slots": [0, 1], b"nodes": [fields]}], ASKED)

    assert topology.owners[:2] == (ONE, ONE)


def test_slots_give_owners_and_replicas() -> None:
    """CLUSTER SLOTS: first, last, primary, replicas."""
    reply = [[0, 5, [b"10.0.0.1", 7001, b"id"], [b"10.0.0.2", 7002, b"id"]]]

    topology = parse_slots(reply, ASKED)

    assert topology.owners[5] == ONE
    assert topology.replicas == {ONE: (TWO,)}


@pytest.mark.parametrize("host", [None, b"", b"?"])
def test_an_unknown_host_is_the_node_that_was_asked(host: bytes | None) -> None:
    """A node that doesn't know its own address is where we reached it."""
    assert parse_slots([[0, 5, [host, 7001, b"id"]]], ASKED).owners[0] == Address("10.0.0.9", 7001)


@pytest.mark.parametrize(
    "reply", [None, b"OK", [b"OK"], [[b"slots", [0, 16_384], b"nodes", [node(ONE, b"master")]]]]
)
def test_another_shape_is_an_error(reply: object) -> None:
    """What can't be read is refused, never half believed."""
    with pytest.raises(ValueError, match=r"expected|outside"):
        parse_shards(reply, ASKED)


def test_moved_corrects_one_slot_and_leaves_the_old_belief_alone() -> None:
    """A Topology is replaced, never changed."""
    corrected = NOWHERE.with_moved(7, ONE)

    assert corrected.owners[7] == ONE
    assert corrected.unowned == SLOT_COUNT - 1
    assert NOWHERE.owners[7] is None
    assert corrected.with_moved(7, ONE) is corrected


def test_who_speaks_tls_takes_the_tls_port() -> None:
    """A node may listen on both."""
    both = [*node(ONE, b"master"), b"tls-port", 7101]
    topology = parse_shards([[b"slots", [0, 9], b"nodes", [both]]], ASKED, TLS_PORT)

    assert topology.primaries == (Address(ONE.host, 7101),)
