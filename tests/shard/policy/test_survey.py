"""What nodes say, joined: the marks of open slots, and who belongs to whose shard."""

import pytest

from shard.policy.survey import NodeState, join, open_slots, parse_node, valkey_major
from shard.policy.view import parse_row

A, B, C, D = ("a" * 40, "b" * 40, "c" * 40, "d" * 40)
LINE_A = f"{A} 10.0.0.1:6379@16379 myself,master - 0 0 1 connected 0-99 [93-<-{B}] [77->-{B}]"
LINE_B = f"{B} 10.0.0.2:6379@16379 master - 0 0 2 connected 100-16383"
LINE_C = f"{C} 10.0.0.3:6379@16379 slave {A} 0 0 1 connected"
INFO_A = "role:master\r\nmaster_repl_offset:120\r\nused_memory:2048\r\ndb0:keys=7,expires=0"
INFO_C = "role:slave\r\nslave_repl_offset:100\r\nmaster_repl_offset:100\r\nused_memory:1024\r\n"


def state(line: str, *, trouble: str = "") -> NodeState:
    """A node as another sees it."""
    row = parse_row(line)
    assert row is not None
    return NodeState(row, trouble=trouble)


def test_the_marks_of_open_slots() -> None:
    """valkey: ``[93-<-id]`` is importing, ``[77->-id]`` migrating; owned are neither."""
    assert open_slots(LINE_A) == ({93: B}, {77: B})
    assert parse_node(LINE_A, INFO_A).row.slots == frozenset(range(100))


def test_keys_memory_and_lag_are_read() -> None:
    """A replica's offset is its own, not that of those who might follow it."""
    primary = parse_node(LINE_A, INFO_A)
    follower = parse_node(LINE_C.replace("slave", "myself,slave"), INFO_C)
    assert (primary.keys, primary.memory_bytes) == (7, 2048)
    assert follower.keys == 0
    (shard,) = join([primary, follower])
    assert shard.lag_bytes(follower) == 20
    assert shard.node_ids == (A, C)


def test_shards_come_in_the_order_of_their_slots_and_newcomers_last() -> None:
    """A dead primary without slots is nobody's shard; a dead one with slots still is one."""
    newcomer = state(f"{D} 10.0.0.4:6379@16379 master - 0 0 0 connected")
    shards = join([newcomer, state(LINE_B), state(LINE_C), state(LINE_A)])
    assert [shard.primary.node_id for shard in shards] == [A, B, D]
    gone = state(f"{D} 10.0.0.4:6379@16379 master,fail - 0 0 0 disconnected", trouble="silent")
    assert [shard.primary.node_id for shard in join([gone, state(LINE_B)])] == [B]


def test_another_nodes_line_is_refused() -> None:
    """Only a node's own line has its marks."""
    with pytest.raises(ValueError, match="own line"):
        parse_node(LINE_B, INFO_A)


@pytest.mark.parametrize(
    ("info", "major"),
    [
        ("server_name:valkey\r\nvalkey_version:8.1.4\r\n", 8),
        ("redis_version:7.2.4\r\nvalkey_version:10.0.0\r\n", 10),
        ("redis_version:7.0.15\r\nredis_mode:cluster\r\n", 0),
        ("valkey_version:unstable\r\n", 0),
        ("", 0),
    ],
)
def test_of_which_valkey_a_node_is(info: str, major: int) -> None:
    """Redis has no such line; what isn't a number is none."""
    assert valkey_major(info) == major
