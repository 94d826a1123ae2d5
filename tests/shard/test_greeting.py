"""What is said first on a connection: RESP 2 or 3, user and password, READONLY, TLS."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest

from shard.connection import Connection, Limits
from shard.greeting import DEFAULT_USER, PLAINLY, Greeting
from shard.link import Link
from shard.policy.topology import Address
from shard.resp import pack
from shard.store import StoreClient, WriteStatus
from tests.lb.l7.certificates import make_pair
from tests.ports import free_port
from tests.shard.fake import FakeNode, echo, fake_node, until
from tests.shard.one_node import Answers
from tests.valkey import Valkey, start_valkey

pytestmark = pytest.mark.integration

PATIENT = Limits(connect_timeout_s=10.0, reply_timeout_s=10.0)
READER = Greeting(2, "reader", "tiger")


@pytest.fixture(scope="module")
def server() -> Iterator[Valkey]:
    """Run a server that wants a password, and knows a user who may only read."""
    with start_valkey() as valkey:
        valkey.cli("ACL", "SETUSER", "reader", "on", ">tiger", "+@all", "-@write", "~*")
        valkey.cli("CONFIG", "SET", "requirepass", "lion")
        yield valkey


@asynccontextmanager
async def linked(
    where: Valkey | FakeNode, greeting: Greeting, **options: Any
) -> AsyncIterator[Link]:
    """Make a link and close it."""
    address = where.address if isinstance(where, FakeNode) else Address(where.host, where.port)
    link = Link(address, PATIENT, Random(1), greeting=greeting, **options)
    yield link
    await link.close()


def test_documented_defaults() -> None:
    """RESP2, nobody in particular, in plain."""
    assert Greeting() == PLAINLY == Greeting(2, DEFAULT_USER, None, None, False)


def test_a_password_does_not_show() -> None:
    """A repr may end in a log."""
    assert "tiger" not in repr(READER)


def test_another_protocol_is_refused() -> None:
    """There are two."""
    with pytest.raises(ValueError, match="protocol 4"):
        Greeting(4)  # type: ignore[arg-type]


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("login", [("default", "lion"), ("reader", "tiger")])
async def test_who_gives_the_password_is_let_in(
    server: Valkey, protocol: Any, login: tuple[str, str]
) -> None:
    """As the user named, in the RESP asked for."""
    async with linked(server, Greeting(protocol, *login)) as link:
        connection = await link.open()
        assert connection is not None
        assert await connection.send(pack(("ACL", "WHOAMI"))) == login[0].encode()
        shape = await connection.send(pack(("CONFIG", "GET", "port")))
        assert isinstance(shape, dict if protocol == 3 else list)


@pytest.mark.parametrize(
    ("greeting", "kind"),
    [
        (PLAINLY, "NOAUTH"),
        (Greeting(3), "NOAUTH"),
        (Greeting(2, DEFAULT_USER, "cat"), "WRONGPASS"),
        (Greeting(3, DEFAULT_USER, "cat"), "WRONGPASS"),
    ],
)
async def test_who_does_not_is_told_so(server: Valkey, greeting: Greeting, kind: str) -> None:
    """The link has the node's word, and the client raises it instead of waiting for ever."""
    async with linked(server, greeting) as link:
        assert await link.open() is None
        assert (link.rebuff or "").startswith(kind)
    client = StoreClient([(server.host, server.port)], greeting=greeting, limits=PATIENT)
    with pytest.raises(PermissionError, match=rf"{server.port}: {kind}.*Greeting\(user"):
        await client.connect()
    await client.close()


async def test_a_node_of_no_cluster_is_told_so(server: Valkey) -> None:
    """Asked for its slots, it says what to do."""
    client = StoreClient([(server.host, server.port)], greeting=READER, limits=PATIENT)
    with pytest.raises(ValueError, match="--cluster-enabled yes"):
        await client.connect()
    await client.close()


async def test_pushes_go_to_the_handler_between_replies(server: Valkey) -> None:
    """Client tracking: the invalidation comes in order, and no reply is shifted by it."""
    pushed: list[list[object]] = []
    greeting = Greeting(3, DEFAULT_USER, "lion")
    async with linked(server, greeting, on_push=pushed.append) as link:
        connection = await link.open()
        assert connection is not None
        commands = (
            ("CLIENT", "TRACKING", "ON"), ("GET", "k"), ("SET", "k", 1), ("GET", "k"),
        )  # fmt: skip
        answers = [connection.send(pack(each)) for each in commands]

        assert [await each for each in answers] == [b"OK", None, b"OK", b"1"]
        await until(lambda: pushed == [[b"invalidate", [b"k"]]])
        assert connection.push_count == 1


async def test_a_push_comes_after_whoever_had_a_reply_before_it() -> None:
    """A reader that caches what it read has done so when the invalidation arrives."""
    order: list[object] = []

    def silent_get(command: list[bytes]) -> bytes | None:
        return None if command[0] == b"GET" else echo(command)

    async def read(connection: Connection) -> None:
        order.append(await connection.send(pack(("GET", "k"))))

    async with (
        fake_node(silent_get) as node,
        linked(node, PLAINLY, on_push=order.append) as link,
    ):
        connection = await link.open()
        assert connection is not None
        reading = asyncio.create_task(read(connection))
        await until(lambda: [b"GET", b"k"] in node.commands)
        node.say(b"$1\r\nv\r\n>2\r\n+invalidate\r\n*1\r\n+k\r\n")
        await reading
        await until(lambda: len(order) == 2)
        assert order == [b"v", [b"invalidate", [b"k"]]]


def _has_pushes(connection: Connection, count: int) -> bool:
    return connection.push_count == count


async def test_pushes_without_a_handler_are_dropped() -> None:
    """They belong to no command, and never fill the bound of a reply."""
    async with fake_node() as node:
        address, small = node.address, Limits(10.0, 10.0, max_reply_bytes=100)
        link = Link(address, small, Random(1))
        connection = await link.open()
        assert connection is not None
        for ticks in range(1, 11):
            node.say(b">1\r\n$30\r\n%s\r\n" % (b"x" * 30))
            await until(partial(_has_pushes, connection, ticks))
        assert await connection.send(pack(("GET", "k"))) == b"k"
        await link.close()


async def test_a_reader_says_so_to_a_replica() -> None:
    """READONLY before the first command."""
    async with fake_node() as node, linked(node, Greeting(is_reader=True)) as link:
        assert await link.open() is not None
        assert node.commands == [[b"READONLY"], [b"PING"]]


async def test_over_tls_the_certificate_is_checked(tmp_path: Path) -> None:
    """A connection is made to whom the context trusts, and to nobody else."""
    pair = make_pair(tmp_path, "node")
    theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    theirs.load_cert_chain(pair.certificate, pair.key)
    node = FakeNode(Address("localhost", free_port()), echo)
    server = await asyncio.start_server(node.serve, "127.0.0.1", node.address.port, ssl=theirs)
    trusting = ssl.create_default_context(cafile=str(pair.certificate))
    async with linked(node, Greeting(tls=trusting)) as link:
        connection = await link.open()
        assert connection is not None
        assert await connection.send(pack(("GET", "k"))) == b"k"
    async with linked(node, Greeting(tls=ssl.create_default_context())) as link:
        assert await link.open() is None
    server.close()


async def test_a_password_that_changed_is_told_by_the_command() -> None:
    """The client lives on; what it says is why, not "down"."""
    refused: list[bool] = []

    def doorkeeper(command: list[bytes]) -> bytes | None:
        return b"-WRONGPASS no longer\r\n" if refused else answers(command)

    answers = Answers()
    async with fake_node(doorkeeper) as node:
        answers.owner = node.address
        client = StoreClient([node.address], greeting=READER)
        answers.script = [b"+OK\r\n"]
        await client.connect()
        refused.append(True)
        node.hang_up()
        await until(lambda: client.snapshot()["connections"] == 0)
        done = await client.write("SET", "k", 1, deadline_s=time.monotonic() + 1)
        assert (done.status, done.reason) == (WriteStatus.REFUSED, "STORE_UNAVAILABLE")
        assert "WRONGPASS" in done.message
        await client.close()
