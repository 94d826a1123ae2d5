"""The client against fake nodes: what it makes of each thing a node can say or fail to say."""

import asyncio
import time

import pytest

from resilience import context
from resilience.errors import LimitExceeded, ServiceError
from shard.connection import Limits
from shard.policy.topology import Address, Topology
from shard.store import (
    DEFAULT_MAX_OPERATIONS,
    DEFAULT_OPERATION_TIMEOUT_S,
    Durability,
    Script,
    StoreClient,
    WriteStatus,
)
from tests.ports import free_port
from tests.shard.fake import FakeNode, echo, fake_node, until
from tests.shard.one_node import Answers, serving

pytestmark = pytest.mark.integration


def test_documented_defaults() -> None:
    """A second per command, 4,096 of them at once."""
    assert (DEFAULT_OPERATION_TIMEOUT_S, DEFAULT_MAX_OPERATIONS) == (1.0, 4096)


def test_a_client_without_seeds_is_refused() -> None:
    """There would be nobody to ask."""
    with pytest.raises(ValueError, match="no seeds"):
        StoreClient([])


@pytest.mark.parametrize(
    "error",
    [
        b"-LOADING Valkey is loading the dataset in memory\r\n",
        b"-CLUSTERDOWN Hash slot not served\r\n",
        b"-TRYAGAIN Multiple keys request during rehashing of slot\r\n",
        b"-READONLY You can't write against a read only replica.\r\n",
        b"-MASTERDOWN Link with MASTER is down\r\n",
    ],
)
async def test_what_a_node_cannot_do_yet_is_tried_again(error: bytes) -> None:
    """Read and write alike: the refusal says that nothing was executed."""
    async with serving(error, b"+one\r\n", error, error, b"+OK\r\n") as (client, _, answers):
        assert await client.read("GET", "k") == b"one"
        assert (await client.write("SET", "k", "v")).value == b"OK"
        assert len(answers.seen) == 5


async def test_a_node_that_never_can_ends_the_command_in_time() -> None:
    """Refused within the deadline, with what the node said."""
    down = [b"-CLUSTERDOWN The cluster is down\r\n"] * 1000
    async with serving(*down) as (client, _, _):
        deadline_s = time.monotonic() + 1.5
        done = await client.write("SET", "k", "v", deadline_s=deadline_s)

        assert (done.status, done.reason) == (WriteStatus.REFUSED, "STORE_UNAVAILABLE")
        assert "CLUSTERDOWN" in done.message


async def test_a_read_lost_with_its_connection_is_sent_again() -> None:
    """Reading twice harms nobody."""
    async with serving(None) as (client, node, answers):
        reading = asyncio.create_task(client.read("GET", "k"))
        await until(lambda: len(answers.seen) == 1)
        node.hang_up()

        assert await reading == b"k"
        assert len(answers.seen) == 2


@pytest.mark.parametrize("durability", list(Durability))
async def test_a_write_lost_with_its_connection_is_unknown(durability: Durability) -> None:
    """It may have been executed, so it isn't sent again."""
    async with serving(None) as (client, node, answers):
        writing = asyncio.create_task(client.write("SET", "k", "v", durability=durability))
        await until(lambda: len(answers.seen) == 1)
        node.hang_up()
        done = await writing

        assert (done.status, done.reason) == (WriteStatus.UNKNOWN, "STORE_UNAVAILABLE")
        assert len(answers.seen) == 1


async def test_a_write_to_a_dead_node_is_refused() -> None:
    """No connection, no doubt: not executed."""
    answers = Answers()
    async with fake_node(answers) as node:
        answers.owner = Address("127.0.0.1", free_port())
        client = StoreClient([node.address])
        await client.connect()
        done = await client.write("SET", "k", "v", deadline_s=time.monotonic() + 1.5)
        await client.close()

    assert (done.status, done.reason) == (WriteStatus.REFUSED, "STORE_UNAVAILABLE")


async def test_a_redirection_that_leads_nowhere_ends_the_command() -> None:
    """Half an address isn't followed."""
    async with serving(b"-MOVED 1 nowhere\r\n") as (client, _, _):
        with pytest.raises(ServiceError, match="malformed redirection"):
            await client.read("GET", "k")


async def test_read_many_sends_again_only_what_failed() -> None:
    """Three commands leave in one write; one of them was refused and follows alone."""
    async with serving(b"+a\r\n", b"-TRYAGAIN later\r\n", b"+c\r\n", b"+b\r\n") as (
        client,
        node,
        _,
    ):
        replies = await client.read_many([("GET", "1"), ("GET", "2"), ("GET", "3")])

        assert replies == [b"a", b"b", b"c"]
        assert node.reads[-2:] == [3, 1]


async def test_a_script_is_sent_by_source_when_its_digest_is_unknown() -> None:
    """Once: afterwards the digest is enough."""
    script = Script("return 1")
    async with serving(b"-NOSCRIPT No matching script.\r\n", b":1\r\n") as (client, _, answers):
        assert (await client.eval(script, ["k"], [])).value == 1
        await client.eval(script, ["k"], [])

        verbs = [command[0] for command in answers.seen]
        assert verbs == [b"EVALSHA", b"EVAL", b"EVALSHA"]
        assert answers.seen[0][1].decode() == script.sha


async def test_too_many_commands_under_way_are_refused_at_once() -> None:
    """The bound covers those that wait, too, and is given back."""
    async with serving(None, max_operations=1) as (client, node, answers):
        first = asyncio.create_task(client.read("GET", "k"))
        await until(lambda: len(answers.seen) == 1)
        with pytest.raises(LimitExceeded, match="too many commands under way"):
            await client.read("GET", "k")
        node.say(b"+late\r\n")

        assert await first == b"late"
        assert await client.read("GET", "k") == b"k"


async def test_connect_waits_for_a_cluster_that_is_not_there_yet() -> None:
    """Services start in any order."""
    port = free_port()
    client = StoreClient([("127.0.0.1", port)])
    connecting = asyncio.create_task(client.connect())
    await asyncio.sleep(0)
    assert not connecting.done()

    answers = Answers()
    node = FakeNode(Address("127.0.0.1", port), answers)
    answers.owner = node.address
    server = await asyncio.start_server(node.serve, "127.0.0.1", port)
    await asyncio.wait_for(connecting, 5)
    assert repr(client) == f"<StoreClient 127.0.0.1:{port}>"
    await client.close()
    server.close()
    node.hang_up()
    await until(lambda: True)


async def test_servers_before_7_are_asked_for_slots() -> None:
    """CLUSTER SHARDS is unknown there."""

    def handler(command: list[bytes]) -> bytes | None:
        if command[:2] == [b"CLUSTER", b"SHARDS"]:
            return b"-ERR Unknown subcommand or wrong number of arguments for 'SHARDS'\r\n"
        if command[:2] == [b"CLUSTER", b"SLOTS"]:
            return b"*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$0\r\n\r\n:%d\r\n" % port[0]
        return echo(command)

    port: list[int] = []
    async with fake_node(handler) as node:
        port.append(node.address.port)
        client = StoreClient([node.address])
        await client.connect()

        assert client.topology.primaries == (node.address,)
        assert await client.read("GET", "k") == b"k"
        await client.close()


class Listener:
    """An observer that keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []
        self.topologies = 0

    def on_operation(self, operation: str, result: str, duration_s: float) -> None:
        """Keep what it was and how it ended."""
        assert duration_s >= 0
        self.heard.append((operation, result))

    def on_connection(self, address: Address, event: str) -> None:
        """Keep the event."""
        self.heard.append(("connection", event))

    def on_topology(self, topology: Topology) -> None:
        """Count it."""
        self.topologies += 1


async def test_a_write_refused_for_want_of_a_replica_looks_for_another_primary() -> None:
    """A node that was cut off, and is a replica since, doesn't keep a client for ever."""
    async with fake_node() as other, serving() as (client, node, answers):
        await client.write("SET", "k", "v", durability=Durability.REPLICATED)
        watch = client._nodes.commit(node.address)._watch
        waits = [b":0\r\n", b"-ERR WAIT cannot be used with replica instances\r\n"]

        def cut_off(command: list[bytes]) -> bytes | None:
            return waits.pop(0) if command[0] == b"WAIT" and waits else answers(command)

        node.handler = cut_off
        watch.on_count(0, time.monotonic() - watch.probe_interval_s)
        client._keeper._next_s = 0.0  # the question at connecting was long ago
        refreshes = client.snapshot()["topology_refreshes"]
        done = await client.write("SET", "k", "v", durability=Durability.REPLICATED)
        assert (done.status, done.reason) == (WriteStatus.REFUSED, "NOT_REPLICATED")
        await until(lambda: client.snapshot()["topology_refreshes"] == refreshes + 1)

        answers.script = [b"-MOVED 7629 %b:%d\r\n" % (other.address[0].encode(), other.address[1])]
        watch._next_probe_s = 0.0
        done = await client.write("SET", "k", "v", durability=Durability.REPLICATED)
        assert (done.status, done.value) == (WriteStatus.ACKNOWLEDGED, b"v")


async def test_an_observer_hears_of_every_end() -> None:
    """Operations by kind and result, connections, topologies."""
    listener = Listener()
    replies = (b"+0\r\n", b"+1\r\n", b"-ERR no\r\n", b"+OK\r\n")
    async with serving(*replies, observer=listener) as (client, _, _):
        await client.read_many([("GET", "k")])
        await client.read("GET", "k")
        await client.write("SET", "k", 1)
        await client.write("SET", "k", 1, durability=Durability.REPLICATED)

    assert listener.topologies == 1
    assert [each for each in listener.heard if each[0] != "connection"] == [
        ("read", "ok"),
        ("read", "ok"),
        ("write-local", "STORE_ERROR"),
        ("write-replicated", "ok"),
    ]
    assert listener.heard.count(("connection", "connected")) == 2


class Faulty:
    """A fault point that answers in the node's stead a number of times."""

    def __init__(self, times: int) -> None:
        self.times = times

    async def before_send(self, address: Address) -> str | None:
        """Say LOADING as often as told."""
        self.times -= 1
        return "LOADING injected" if self.times >= 0 else None


@pytest.mark.parametrize("many", [False, True])
async def test_faults_are_met_as_if_the_node_had_spoken(many: bool) -> None:
    """An injected error is retried as the real one, and never reaches the node."""
    async with serving(faults=Faulty(2)) as (client, _, answers):
        if many:
            assert await client.read_many([("GET", "k"), ("GET", "l")]) == [b"k", b"l"]
        else:
            assert await client.read("GET", "k") == b"k"

        assert len(answers.seen) == (2 if many else 1)


async def test_what_was_decided_is_noted_for_explain() -> None:
    """Retries and the end that wasn't good, in the request's Context."""
    async with serving(b"-TRYAGAIN later\r\n", b"-ERR wrong\r\n") as (client, _, _):
        token = context.enter(context.Context("r", "t", "s", time.monotonic()))
        try:
            await client.write("SET", "k", 1)
            current = context.current()
        finally:
            context.leave(token)

    assert current is not None
    assert [(note.policy, note.what, note.detail) for note in current.notes] == [
        ("store", "retry", {"why": "TRYAGAIN"}),
        ("store", "refused", {"reason": "STORE_ERROR"}),
    ]


async def test_a_command_without_a_key_is_a_programming_error() -> None:
    """The key decides where it goes."""
    async with serving() as (client, _, _):
        with pytest.raises(ValueError, match="no key"):
            await client.read("DBSIZE")


async def test_connections_to_nodes_out_of_use_are_dropped() -> None:
    """A node that left the cluster keeps no connection."""
    async with fake_node() as gone, serving() as (client, _, _):
        await client._nodes.plain(gone.address).open()
        assert client.snapshot()["connections"] == 2
        client._keeper._next_s = 0.0
        await client._keeper.refresh(1.0)

        assert client.snapshot()["connections"] == 1


async def test_a_wait_longer_than_a_reply_may_take_is_refused() -> None:
    """Such a client would close its own connections."""
    with pytest.raises(AssertionError, match="look overdue"):
        StoreClient([("h", 1)], limits=Limits(reply_timeout_s=0.2), wait_timeout_s=0.3)
