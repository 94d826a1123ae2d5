"""Reading what one node says of itself and the others."""

import pytest

from shard.policy.topology import Address
from shard.policy.view import parse_row, parse_view

HERE = Address("127.0.0.1", 30001)
NODES = """\
aaaa 127.0.0.1:30001@31001,host,shard-id=1 myself,master - 0 0 1 connected 0-2 7 [9-<-bbbb]
bbbb 127.0.0.1:30002@31002 slave,fail? aaaa 0 0 1 disconnected
cccc :0@0 master,noaddr - 0 0 3 disconnected 8
"""
INFO = "cluster_enabled:1\r\ncluster_state:ok\r\n"
REPLICATION = (
    "role:master\r\nconnected_slaves:2\r\n"
    "slave0:ip=127.0.0.1,port=30002,state=online,offset=14,lag=1,type=replica\r\n"
    "slave1:ip=127.0.0.1,port=30003,state=wait_bgsave,offset=0,lag=0,type=replica\r\n"
)


def test_a_view_joins_three_replies() -> None:
    """Its own line, the others, its state, and only the replicas in step."""
    view = parse_view(HERE, NODES, INFO, REPLICATION)

    assert view.my_id == "aaaa"
    assert view.myself.slots == {0, 1, 2, 7}, "slots on the move are left out"
    assert view.is_ok
    assert view.online_replicas == 1
    assert set(view.rows) == {"aaaa", "bbbb", "cccc"}


def test_a_row_says_role_address_and_state() -> None:
    """Flags and the link tell whether the node is settled."""
    view = parse_view(HERE, NODES, INFO, REPLICATION)
    replica, lost = view.rows["bbbb"], view.rows["cccc"]

    assert replica.is_replica
    assert replica.primary_id == "aaaa"
    assert replica.address == Address("127.0.0.1", 30002)
    assert not replica.is_connected
    assert not replica.is_settled
    assert lost.address == Address("", 0)
    assert not lost.is_settled
    assert view.myself.is_settled


def test_what_is_no_such_reply_is_an_error() -> None:
    """A line too short, or a table in which the node doesn't find itself."""
    with pytest.raises(ValueError, match="malformed line"):
        parse_row("aaaa 127.0.0.1:1")
    with pytest.raises(ValueError, match="does not list itself"):
        parse_view(HERE, "", INFO, REPLICATION)
