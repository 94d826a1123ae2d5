"""A service's way to its store: as the registry says at that moment."""

from faults.rule import FaultRule
from kit.directory import Directory
from kit.members import Member
from kit.state import LabState
from services.dial import dial_of
from shard.policy.topology import Address


def test_a_node_is_dialled_where_the_registry_leads() -> None:
    """Round while a fault of an own link stands, directly before and after."""
    directory = Directory("video")
    dial = dial_of(directory)
    node, other = Address("10.0.0.1", 6379), Address("10.0.0.2", 6379)
    via = {"video>10.0.0.1:6379": "10.0.0.9:15000"}
    directory.update([Member("links.1", "links", 1, "10.0.0.9", 8474, ready=True, via=via)], 0.0)
    assert dial(node) == node
    directory.set_state(LabState(1, {"fault/f": FaultRule("f", "down", "link:video>store-1")}))
    assert (dial(node), dial(other)) == (Address("10.0.0.9", 15000), other)
    directory.set_state(LabState(2))
    assert dial(node) == node
