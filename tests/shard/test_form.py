"""Forming a real cluster: again, after restarts, at new addresses, with an empty node, in vain."""

import asyncio

import pytest

from shard.form import (
    DEFAULT_ALGORITHM,
    DEFAULT_LIMIT_S,
    POLL_S,
    NotFormed,
    assignment_of,
    form,
    main,
    read_nodes,
)
from shard.policy.topology import Address
from shard.store import Durability, StoreClient
from tests.ports import free_ports
from tests.shard.cluster import StoreCluster, first_good, free_network
from tests.shard.fake import until

pytestmark = pytest.mark.integration

VALUES = {f"kept:{number}": b"%d" % number for number in range(30)}


def followers(cluster: StoreCluster) -> list[int]:
    """Return the numbers of the nodes that run and follow a primary."""
    running = [n for n, node in enumerate(cluster.nodes) if node.process.poll() is None]
    return [n for n in running if cluster.nodes[n].cli("ROLE").startswith("slave")]


async def fill(cluster: StoreCluster) -> None:
    """Write values that a second node has, too."""
    client = StoreClient(cluster.addresses)
    await client.connect()
    for key, value in VALUES.items():
        await first_good(client, "SET", key, value, durability=Durability.REPLICATED, limit_s=30)
    await client.close()


async def fill_and_kill_all(cluster: StoreCluster) -> None:
    """Kill every node; written through first, since killing both of a shard promises nothing."""
    for node in cluster.nodes:
        node.cli("CONFIG", "SET", "appendfsync", "always")
    await fill(cluster)
    for number in range(6):
        cluster.kill(number)


async def check(cluster: StoreCluster) -> None:
    """Find every value, and REPLICATED writes possible at every primary."""
    client = StoreClient(cluster.addresses)
    await client.connect()
    assert len(client.topology.primaries) == 3
    assert set(client.topology.primaries) <= set(cluster.addresses)
    assert await client.read_many([("GET", key) for key in VALUES]) == list(VALUES.values())
    await client.close()
    await fill(cluster)


def test_documented_defaults() -> None:
    """Rendezvous, a minute, twenty looks a second."""
    assert (DEFAULT_ALGORITHM, DEFAULT_LIMIT_S, POLL_S) == ("rendezvous", 60.0, 0.05)


async def test_a_formed_cluster_is_found_without_a_command(cluster: StoreCluster) -> None:
    """A second run changes nothing and says so."""
    done = await form(cluster.addresses, limit_s=30)

    assert done[:3] == (3, 3, 0)
    assert done.seconds < 15.0  # half of its limit


async def test_another_algorithm_moves_nothing_in_a_formed_cluster(cluster: StoreCluster) -> None:
    """The algorithm decides on slots that nobody owns, and on no others."""
    done = await form(cluster.addresses, algorithm="ketama", limit_s=30)

    assert done.commands == 0


async def test_all_nodes_killed_and_restarted_are_one_cluster_again(cluster: StoreCluster) -> None:
    """nodes.conf and the append-only file bring back cluster and data."""
    await fill_and_kill_all(cluster)
    for number in range(6):
        cluster.start(number)

    await form(cluster.addresses, limit_s=30)

    await check(cluster)


async def test_all_nodes_back_at_new_addresses_find_each_other(cluster: StoreCluster) -> None:
    """Containers may come back with other addresses: the nodes keep their ids and slots."""
    await fill_and_kill_all(cluster)
    network = free_network(79)
    for number in range(6):
        cluster.start(number, host=f"{network}.{number + 1}")

    await form(cluster.addresses, limit_s=30)

    await check(cluster)


async def test_an_empty_replica_follows_the_shard_that_lacks_one(cluster: StoreCluster) -> None:
    """It comes back with a new id and copies everything; its old self is forgotten."""
    await fill(cluster)
    (number, *_) = followers(cluster)
    cluster.kill(number)
    cluster.start(number, empty=True)

    await form(cluster.addresses, limit_s=30)

    await check(cluster)
    assert "fail" not in cluster.nodes[0].cli("CLUSTER", "NODES")


async def test_an_empty_former_primary_follows_who_took_over(cluster: StoreCluster) -> None:
    """Once its replica has taken over, an empty node in its place can't do harm.

    Before that it could: the replica would copy its emptiness. Hence the append-only file.
    """
    await fill(cluster)
    replicas = followers(cluster)
    number = next(each for each in range(6) if each not in replicas)
    cluster.kill(number)
    await until(lambda: len(followers(cluster)) < len(replicas), limit_s=30)
    cluster.start(number, empty=True)

    await form(cluster.addresses, limit_s=30)

    await check(cluster)
    assert number in followers(cluster)


async def test_two_runs_at_once_do_each_other_no_harm(cluster: StoreCluster) -> None:
    """Both name the same commands; a second one is refused or repeats the first."""
    for number in (4, 5):
        cluster.kill(number)
        cluster.start(number, empty=True)

    both = await asyncio.gather(*(form(cluster.addresses, limit_s=30) for _ in range(2)))

    assert [done[:2] for done in both] == [(3, 3), (3, 3)]


async def test_what_is_missing_is_named_when_time_is_up(cluster: StoreCluster) -> None:
    """The message names the node that doesn't answer and the primary without a replica."""
    cluster.kill(5)

    with pytest.raises(NotFormed, match=rf"{cluster.addresses[5]} does not answer"):
        await form(cluster.addresses, limit_s=0.3)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "0 nodes: give an even number, 6 at least"),
        ("a:1,b:2,c:3,d:4,e:5", "5 nodes"),
        ("a:1,b:2,c:3,d:4,e:5,f", "'f' is not host:port"),
        ("a:1,b:2,c:3,d:4,e:5,f:99999", "'f:99999' is not host:port"),
        ("a:1,a:1", "a node is listed twice"),
    ],
)
def test_a_wrong_environment_ends_with_code_2(
    text: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which entry is wrong, and which variables to set."""
    assert main({"SQUALL_STORE": text}) == 2

    said = capsys.readouterr().err
    assert complaint in said
    assert "SQUALL_STORE" in said


def test_an_unknown_algorithm_ends_with_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    """The nearest name is offered."""
    nodes = ",".join(f"h{number}:1" for number in range(6))

    assert main({"SQUALL_STORE": nodes, "SQUALL_SLOT_ALGORITHM": "ketma"}) == 2
    assert "did you mean 'ketama'" in capsys.readouterr().err


def test_running_out_of_time_ends_with_code_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody there: every node is named."""
    monkeypatch.setattr("shard.form.DEFAULT_LIMIT_S", 0.2)
    nodes = [f"127.0.0.1:{port}" for port in free_ports(6)]

    assert main({"SQUALL_STORE": ",".join(nodes)}) == 3
    said = capsys.readouterr().err
    assert all(f"{node} does not answer" in said for node in nodes)


def test_nodes_are_read_as_written() -> None:
    """Spaces and a comma at the end do no harm."""
    assert read_nodes("store-1:6379, 10.0.0.2:7000,") == [
        Address("store-1", 6379),
        Address("10.0.0.2", 7000),
    ]


def test_more_nodes_make_more_shards() -> None:
    """Half of the nodes are primaries of a fresh cluster."""
    assert set(assignment_of(8, "ketama")) == {"shard-1", "shard-2", "shard-3", "shard-4"}
