"""The clients' edge: what isn't RESP, what is too much, who may not, what no proxy can do."""

import asyncio
import hashlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shard.policy.acl import ALWAYS, User, allowed, key_patterns
from shard.policy.commands import COMMANDS
from shard.policy.frames import FrameLimits
from shard.policy.refusals import REFUSED
from shard.policy.topology import Address
from shard.proxy.own import OWN
from shard.resp import pack
from tests.shard.fake import FakeNode, bulk, fake_node, until
from tests.shard.one_node import Answers
from tests.shard.proxy.proxies import proxy_of

SECRET = hashlib.sha256(b"secret").hexdigest()
APP = User("app", (SECRET,), allowed(["+@read", "+@connection"]), key_patterns(["app:*"]))


def whole(node: FakeNode, *script: bytes | None) -> list[Address]:
    """Let a fake node own every slot; return it as seeds."""
    answers = Answers(*script)
    answers.owner = node.address
    node.handler = answers
    return [node.address]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"*x\r\n", b"-ERR Protocol error: invalid multibulk length"),
        (b"*1\r\n$536870912\r\n", b"-ERR Protocol error: invalid bulk length"),
        (b"*2\r\n$3\r\nGET\r\n$536870912\r\n", b"-ERR Protocol error: invalid bulk length"),
        (b"*1\r\n:3\r\n", b"-ERR Protocol error: expected '$', got ':'"),
        (b"*1000000\r\n", b"-ERR Protocol error: invalid multibulk length"),
        (b'GET "a\r\n', b"-ERR Protocol error: unbalanced quotes in request"),
        (b"a" * 70_000, b"-ERR Protocol error: too big inline request"),
        (b"*2\r\n$3\r\nGET\r\n$1\r\nabc\r\n", b"-ERR Protocol error: bulk string of another len"),
        (b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nabcd\r\n", b"-ERR Protocol error: bulk string of"),
    ],
)
async def test_what_is_no_command_ends_the_connection(said: bytes, told: bytes) -> None:
    """After the answers to what came before it, with a reason; the node gets nothing of it."""
    async with fake_node() as node, proxy_of(whole(node)) as proxy:
        talker = await proxy.talk()
        talker.write(("GET", "key"), said)
        answers = await talker.rest()
        assert answers.startswith(b"$3\r\nkey\r\n" + told)
        assert answers.count(b"\r\n") == 3
        assert await (await proxy.talk()).ask("PING") == b"+PONG"
        assert proxy.front.counts["protocol_errors"] == 1


async def test_a_client_that_still_writes_sees_its_error() -> None:
    """A value that is too large is told so, not answered by a reset."""
    limits = FrameLimits(bulk_bytes=1000)
    async with fake_node() as node, proxy_of(whole(node), frames=limits) as proxy:
        talker = await proxy.talk()
        talker.write(("SET", "key", b"v" * 3_000_000))
        assert await talker.line() == b"-ERR Protocol error: invalid bulk length"


PIECES = st.sampled_from(
    [
        b"*1\r\n", b"*2\r\n", b"$3\r\n", b"GET\r\n", b"$1\r\na\r\n", b"\r\n", b"*", b"$",
        pack(("GET", "a")), pack(("MULTI",)), b"PING\r\n", b"$-1\r\n", b"*0\r\n",
    ]
)  # fmt: skip
NEARLY = st.lists(PIECES | st.binary(max_size=8), max_size=20).map(b"".join)


@given(st.binary(max_size=300) | NEARLY)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_bytes_are_answered_or_end_the_connection(said: bytes) -> None:
    """And the node gets whole commands only, and nobody else notices."""

    async def run() -> None:
        async with fake_node() as node, proxy_of(whole(node)) as proxy:
            other, talker = await proxy.talk(), await proxy.talk()
            talker.write(said)
            talker.writer.write_eof()
            await talker.rest()
            assert await other.bulk("GET", "key") == b"key"
            assert all(isinstance(each, list) and each for each in node.commands)
            await until(lambda: proxy.front.buffered_bytes == 0)

    asyncio.run(run())


async def test_every_known_command_is_served_refused_or_the_proxy_s_own() -> None:
    """Nothing that would hold a shared connection slips through."""
    blocks = {b"MULTI", b"EXEC", b"DISCARD"}
    for command in COMMANDS.values():
        is_known = command.name in REFUSED or command.name in OWN or command.name in blocks
        has_keys = bool(command.first or command.count_at or command.after)
        assert is_known or (has_keys and not command.is_held), command.name
    assert set(ALWAYS) <= set(OWN)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("KEYS", "*"), b"-ERR KEYS isn't available through the proxy: would need every node"),
        (("SCAN", "0"), b"-ERR SCAN isn't available"),
        (("BLPOP", "a", "0"), b"-ERR BLPOP isn't available through the proxy: would hold"),
        (("SUBSCRIBE", "a"), b"-ERR SUBSCRIBE isn't available"),
        (("WATCH", "a"), b"-ERR WATCH isn't available"),
        (("SELECT", "1"), b"-ERR SELECT: a cluster has database 0 alone"),
        (("CONFIG", "GET", "save"), b"-ERR CONFIG isn't available"),
        (("XREAD", "BLOCK", "0", "STREAMS", "a", "$"), b"-ERR XREAD isn't available"),
        (("EVAL", "return 1", "0"), b"-ERR EVAL needs a key here"),
        (("EVAL", "return 1", "x"), b"-ERR EVAL: word 2 must be the number of keys"),
        (("NOSUCH", "a"), b"-ERR unknown command 'NOSUCH', with args beginning with: 'a' "),
        (("GET",), b"-ERR wrong number of arguments for 'get' command"),
        (("MSET", "a"), b"-ERR wrong number of arguments for 'mset' command"),
        (("HELLO", "4"), b"-NOPROTO unsupported protocol version"),
        (("HELLO", "3", "AUTH", "a"), b"-ERR Syntax error in HELLO"),
        (("CLIENT", "LIST"), b"-ERR CLIENT LIST isn't available"),
        (("CLIENT", "SETNAME", "a b"), b"-ERR Client names cannot contain spaces"),
        (("AUTH", "a", "b", "c"), b"-ERR syntax error"),
        (("AUTH", "secret"), b"-ERR AUTH <password> called without any password configured"),
    ],
)
async def test_what_can_t_be_had_is_told_with_a_way_out(
    words: tuple[str, ...], told: bytes
) -> None:
    """The node doesn't see it, and the connection stays."""
    async with fake_node() as node, proxy_of(whole(node)) as proxy:
        talker = await proxy.talk()
        assert (await talker.ask(*words)).startswith(told)
        assert await talker.ask("PING") == b"+PONG"


async def test_what_the_proxy_answers_itself() -> None:
    """Greetings and names, and a line instead of an array."""
    async with fake_node() as node, proxy_of(whole(node)) as proxy:
        talker = await proxy.talk()
        assert await talker.ask(b"PING") == b"+PONG"
        talker.write(b"PING\r\n")
        assert await talker.line() == b"+PONG"
        assert await talker.bulk("ECHO", "a") == b"a"
        assert await talker.ask("CLIENT", "SETNAME", "me") == b"+OK"
        assert await talker.bulk("CLIENT", "GETNAME") == b"me"
        assert await talker.ask("CLIENT", "SETINFO", "LIB-NAME", "x") == b"+OK"
        assert (await talker.ask("CLIENT", "ID")).startswith(b":")
        assert await talker.ask("COMMAND", "DOCS") == b"*0"
        assert await talker.ask("SELECT", "0") == b"+OK"
        info = await talker.bulk("INFO")
        assert info is not None
        assert b"node_commands_total:" in info
        assert await talker.ask("HELLO", "3") == b"%7"
        talker.write(("QUIT",), ("PING",))
        assert (await talker.rest()).endswith(b"+OK\r\n")


async def test_a_user_may_what_the_file_says() -> None:
    """NOAUTH, WRONGPASS, NOPERM in the server's words; HELLO logs in too."""
    async with fake_node() as node, proxy_of(whole(node), users=(APP,)) as proxy:
        talker = await proxy.talk()
        assert await talker.ask("GET", "app:1") == b"-NOAUTH Authentication required."
        assert (await talker.ask("HELLO", "3")).startswith(b"-NOAUTH HELLO must be called")
        assert (await talker.ask("AUTH", "app", "no")) == (
            b"-WRONGPASS invalid username-password pair or user is disabled."
        )
        assert await talker.ask("AUTH", "app", "secret") == b"+OK"
        assert await talker.bulk("GET", "app:1") == b"app:1"
        assert await talker.ask("GET", "other") == b"-NOPERM No permissions to access a key"
        assert await talker.ask("SET", "app:1", "x") == (
            b"-NOPERM User app has no permissions to run the 'set' command"
        )
        assert proxy.front.counts["failed_logins"] == 1
        greeted = await proxy.talk()
        assert await greeted.ask("HELLO", "2", "AUTH", "app", "secret") == b"*14"
        stranger = await proxy.talk()
        assert (await stranger.ask(*["GET"] * 11)).startswith(
            b"-ERR Protocol error: unauthenticated multibulk length"
        )


async def test_one_client_too_many_is_told_so() -> None:
    """In the server's words; when another has left it may come."""
    async with fake_node() as node, proxy_of(whole(node), max_clients=1) as proxy:
        first = await proxy.talk()
        assert await first.ask("PING") == b"+PONG"
        assert await (await proxy.talk()).rest() == b"-ERR max number of clients reached\r\n"
        first.writer.close()
        await until(lambda: proxy.front.client_count == 0)
        assert await (await proxy.talk()).ask("PING") == b"+PONG"


async def test_more_than_the_pipeline_isn_t_read() -> None:
    """The node sees no more of a client at once, and all are answered in the end."""
    async with fake_node() as node:
        seeds = whole(node, *[None] * 8)
        async with proxy_of(seeds, pipeline=8, command_timeout_s=0.3) as proxy:
            talker = await proxy.talk()
            talker.write(*[("SET", "key", number) for number in range(50)])
            await until(lambda: _data(node) == 8)
            assert proxy.front.figures()["commands_under_way"] == 8
            first = [await talker.line() for _ in range(8)]
            assert all(each.startswith(b"-ERR STORE_TIMEOUT") for each in first)


async def test_answers_that_nobody_fetches_end_the_client() -> None:
    """Beyond the bound of output; what is read meanwhile is bounded by the pipeline."""
    async with fake_node() as node:
        seeds = whole(node, *[bulk(b"v" * 200_000)] * 400)
        async with proxy_of(seeds, pipeline=256, output_bytes=1_000_000) as proxy:
            talker = await proxy.talk()
            talker.writer.transport.pause_reading()  # type: ignore[attr-defined]
            talker.write(*[("GET", "key")] * 400)
            await until(lambda: proxy.front.counts["output_overflows"] == 1)
            await until(lambda: proxy.front.client_count == 0)


async def test_unfinished_commands_of_all_clients_are_bounded() -> None:
    """Who goes beyond is told so; the others stay."""
    async with fake_node() as node, proxy_of(whole(node), buffered_bytes=100_000) as proxy:
        talkers = [await proxy.talk() for _ in range(3)]
        for talker in talkers:
            talker.write(b"*2\r\n$3\r\nGET\r\n$1000000\r\n" + b"a" * 40_000)
        await until(lambda: proxy.front.counts["overflows"] == 1)
        await until(lambda: proxy.front.buffered_bytes <= 100_000)


async def test_an_idle_client_is_closed() -> None:
    """After the time the file says."""
    async with fake_node() as node, proxy_of(whole(node), idle_timeout_s=0.1) as proxy:
        talker = await proxy.talk()
        assert await talker.ask("PING") == b"+PONG"
        assert await talker.rest() == b""
        assert proxy.front.counts["idle_clients"] == 1


async def test_a_node_that_breaks_off_costs_an_error_for_a_write() -> None:
    """A read is asked again; what may have been written is told so; then it goes on."""
    async with fake_node() as node:
        seeds = whole(node, None, None)
        async with proxy_of(seeds) as proxy:
            talker = await proxy.talk()
            talker.write(("SET", "key", "v"), ("GET", "key"))
            await until(lambda: _data(node) == 2)
            node.hang_up()
            assert (await talker.line()).endswith(b"it may have been executed")
            assert await talker.line() == b"$3"
            assert await talker.line() == b"key"


@pytest.mark.parametrize("reply", [b"what?\r\n", b"+OK\r\n+OK\r\n", b"*1\r\n?\r\n"])
async def test_a_node_that_can_t_be_followed_is_left(reply: bytes) -> None:
    """Not RESP, or more than was asked for: the line is closed, the next works."""
    async with fake_node() as node, proxy_of(whole(node, reply)) as proxy:
        talker = await proxy.talk()
        talker.write(("SET", "key", "v"))
        answer = await talker.line()
        assert answer == b"+OK" or answer.endswith(b"it may have been executed")
        await until(lambda: proxy.front.figures()["lost_total"] == 1)
        assert await talker.bulk("GET", "key") == b"key"


def _data(node: FakeNode) -> int:
    """Count what the node got that is neither a greeting nor about the topology."""
    return sum(each[0] in (b"GET", b"SET") for each in node.commands)
