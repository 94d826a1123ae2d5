"""The cache's scripts on a real node: they do what the model does, and keep what they must."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shard.cache_scripts import (
    GAP_S,
    META_KEY,
    ROW_TTL_S,
    TOKEN_CHARS,
    TOKEN_TTL_S,
    Call,
    fill_call,
    flush_call,
    get_call,
    is_unknown_script,
    look_call,
    parse_board,
    parse_entry,
)
from shard.connection import Connection, Limits
from shard.policy.coherence import Board, Posting
from shard.policy.freshness import REFRESH_S, Life
from shard.resp import Answer, ReplyError, pack
from tests.shard.model_cache import ModelNode
from tests.valkey import Valkey, start_valkey

pytestmark = pytest.mark.integration

MINUTE = Life(60.0, 60.0)
LONG_PAST = "0000000000001"
SOFT_END_AT, REFRESH_AT = 38, 51  # where an entry's times stand

TOKENS = ("a" * TOKEN_CHARS, "b" * TOKEN_CHARS, "c" * TOKEN_CHARS)


@pytest.fixture(scope="module")
def server() -> Iterator[Valkey]:
    """Run one node for the module."""
    with start_valkey() as node:
        yield node


class Node:
    """One connection to the node under test."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    async def run(self, call: Call) -> Answer:
        """Run a script."""
        answer = await self.connection.send(call.by_digest())
        if is_unknown_script(answer):
            answer = await self.connection.send(call.by_source())
        assert not isinstance(answer, ReplyError), answer
        return answer

    async def do(self, *command: str | bytes | int) -> Answer:
        """Run one command."""
        return await self.connection.send(pack(command))

    async def look(self, client: str = "ann", **notices: int) -> Board:
        """Look, leaving notices against cache_1 and so on."""
        named = {name.replace("_", "-"): number for name, number in notices.items()}
        board = parse_board(await self.run(look_call(client, named)))
        assert board is not None
        return board


@pytest.fixture
async def node(server: Valkey) -> AsyncIterator[Node]:
    """Connect to a node that is empty."""
    _, connection = await asyncio.get_running_loop().create_connection(
        lambda: Connection(Limits()), server.host, server.port
    )
    node = Node(connection)
    await node.do("FLUSHALL")
    yield node
    connection.close()


def test_the_times_are_documented() -> None:
    """A gap is a lease of the lab; a token lives as long as Facebook's."""
    assert (GAP_S, TOKEN_TTL_S, ROW_TTL_S, TOKEN_CHARS) == (3.0, 10.0, 600.0, 24)


async def test_a_miss_leaves_a_token_that_all_share(node: Node) -> None:
    """Who misses later gets the token of the first."""
    await node.look()

    assert await node.run(get_call("k", TOKENS[0])) == [0, TOKENS[0].encode()]
    assert await node.run(get_call("k", TOKENS[1])) == [0, TOKENS[0].encode()]
    remaining = await node.do("PTTL", "k")
    assert isinstance(remaining, int)
    assert 0 < remaining <= 10_000


async def test_a_value_comes_back_byte_for_byte_with_its_age(node: Node) -> None:
    """Any bytes, also none; age counts from the fill, by the node's clock."""
    await node.look()
    for value in (b"", b"t", bytes(range(256)), b"x" * 100_000):
        await node.do("DEL", "k")
        await node.run(get_call("k", TOKENS[0]))
        assert await node.run(fill_call("k", TOKENS[0], value, MINUTE)) == 1
        hit = await node.run(get_call("k", TOKENS[1]))
        assert isinstance(hit, list)
        assert hit[0] == 1
        assert 0 <= hit[1] < 5000
        assert hit[2] == value


async def test_a_fill_needs_its_token(node: Node) -> None:
    """Revoked by a delete, replaced since, never given: refused each time."""
    await node.look()
    assert await node.run(fill_call("k", TOKENS[0], b"never given", MINUTE)) == 0
    await node.run(get_call("k", TOKENS[0]))
    await node.do("UNLINK", "k")
    assert await node.run(fill_call("k", TOKENS[0], b"revoked", MINUTE)) == 0
    await node.run(get_call("k", TOKENS[1]))
    assert await node.run(fill_call("k", TOKENS[0], b"replaced", MINUTE)) == 0

    assert await node.run(get_call("k", TOKENS[2])) == [0, TOKENS[1].encode()]


async def test_of_two_fills_with_one_token_the_first_stays(node: Node) -> None:
    """Both are of the same time between two deletes, so both are told yes."""
    await node.look()
    await node.run(get_call("k", TOKENS[0]))
    assert await node.run(fill_call("k", TOKENS[0], b"first", MINUTE)) == 1
    assert await node.run(fill_call("k", TOKENS[0], b"second", MINUTE)) == 1

    hit = await node.run(get_call("k", TOKENS[1]))
    assert isinstance(hit, list)
    assert hit[2] == b"first"


async def test_past_its_soft_end_a_value_is_stale_and_one_reader_may_refresh_it(
    node: Node,
) -> None:
    """The token comes with it once; who asks meanwhile gets the value alone; then it is fresh."""
    await node.look()
    await node.run(get_call("k", TOKENS[0]))
    await node.run(fill_call("k", TOKENS[0], b"old", Life(10.0, 100.0)))
    await node.do("SETRANGE", "k", SOFT_END_AT, LONG_PAST)
    first = await node.run(get_call("k", TOKENS[1]))
    second = await node.run(get_call("k", TOKENS[2]))
    assert isinstance(first, list)
    assert isinstance(second, list)
    assert (first[0], first[2:]) == (2, [b"old", TOKENS[0].encode()])
    assert (second[0], second[2:]) == (2, [b"old", b""])
    life_ms = await node.do("PTTL", "k")
    assert isinstance(life_ms, int)
    assert 90_000 < life_ms <= 100_000  # the right to refresh prolongs no life

    assert await node.run(fill_call("k", TOKENS[0], b"new", Life(10.0, 100.0))) == 1
    fresh = await node.run(get_call("k", TOKENS[1]))
    assert isinstance(fresh, list)
    assert (fresh[0], fresh[2]) == (1, b"new")


async def test_a_refresh_that_never_came_is_anothers_after_a_while(node: Node) -> None:
    """Who had the right may have died."""
    await node.look()
    await node.run(get_call("k", TOKENS[0]))
    await node.run(fill_call("k", TOKENS[0], b"old", Life(10.0, 100.0)))
    await node.do("SETRANGE", "k", SOFT_END_AT, LONG_PAST)
    await node.run(get_call("k", TOKENS[1]))
    until = await node.do("GETRANGE", "k", REFRESH_AT, REFRESH_AT + 12)
    now = await node.do("TIME")
    assert isinstance(until, bytes)
    assert isinstance(now, list)
    assert 0 < int(until) - int(now[0]) * 1000 <= REFRESH_S * 1000 + 1000
    await node.do("SETRANGE", "k", REFRESH_AT, LONG_PAST)
    again = await node.run(get_call("k", TOKENS[2]))
    assert isinstance(again, list)
    assert again[3] == TOKENS[0].encode()


async def test_a_delete_wins_over_a_stale_value_and_its_refresh(node: Node) -> None:
    """Nothing is given after it, and what was read before it isn't stored."""
    await node.look()
    await node.run(get_call("k", TOKENS[0]))
    await node.run(fill_call("k", TOKENS[0], b"old", Life(10.0, 100.0)))
    await node.do("SETRANGE", "k", SOFT_END_AT, LONG_PAST)
    await node.run(get_call("k", TOKENS[1]))
    await node.do("UNLINK", "k")

    assert await node.run(fill_call("k", TOKENS[0], b"old too", Life(10.0, 100.0))) == 0
    assert await node.run(get_call("k", TOKENS[2])) == [0, TOKENS[2].encode()]


async def test_an_entry_of_another_version_is_no_value_and_takes_no_fill(node: Node) -> None:
    """A process that was updated meets what the one before it has left."""
    await node.look()
    await node.do("SET", "k", b"v" + TOKENS[0].encode() + b"1" * 13 + b"old")
    assert await node.run(fill_call("k", TOKENS[0], b"new", MINUTE)) == 0
    assert await node.run(get_call("k", TOKENS[1])) == [0, TOKENS[1].encode()]


async def test_an_entry_is_read_as_it_lies(node: Node) -> None:
    """Value, age and freshness; a token, nothing and an error are no value."""
    await node.look()
    nothing = parse_entry(await node.do("GET", "k"), await node.do("TIME"))
    await node.run(get_call("k", TOKENS[0]))
    token = parse_entry(await node.do("GET", "k"), await node.do("TIME"))
    await node.run(fill_call("k", TOKENS[0], b"a cat", Life(30.0, 60.0)))
    filled = parse_entry(await node.do("GET", "k"), await node.do("TIME"))
    assert (nothing, token) == (None, None)
    assert filled is not None
    assert filled.value == b"a cat"
    assert 0.0 <= filled.age_s < 5.0
    assert filled.age_s + filled.fresh_s == pytest.approx(30.0)
    assert parse_entry(ReplyError("LOADING"), await node.do("TIME")) is None


async def test_a_node_nobody_has_looked_at_serves_nothing(node: Node) -> None:
    """Neither one that has never been looked at, nor one that froze for longer than the gap."""
    assert await node.run(get_call("k", TOKENS[0])) == [-1]
    await node.look()
    await node.run(get_call("k", TOKENS[0]))
    await node.run(fill_call("k", TOKENS[0], b"old", MINUTE))
    await node.do("HINCRBY", META_KEY, "beat", -3_100)
    assert await node.run(get_call("k", TOKENS[1])) == [-1]
    before = await node.look()

    assert before.generation == 2
    assert await node.run(get_call("k", TOKENS[1])) == [0, TOKENS[1].encode()]


async def test_notices_stand_until_their_client_withdraws_them(node: Node) -> None:
    """A look says all of a client's notices; another client's look leaves them alone."""
    await node.look("ann", cache_1=3, cache_2=4)
    seen = await node.look("bob", cache_1=9)
    assert seen.notices == {
        Posting("ann", "cache-1"): 3,
        Posting("ann", "cache-2"): 4,
        Posting("bob", "cache-1"): 9,
    }
    assert 0.0 <= seen.silent_s["ann"] < 5.0

    assert (await node.look("ann")).notices == {Posting("bob", "cache-1"): 9}


async def test_a_flush_forgets_values_and_tokens_and_keeps_the_table(node: Node) -> None:
    """Once for each notice; who holds a token from before is refused."""
    await node.look("bob", cache_2=7)
    await node.run(get_call("k", TOKENS[0]))
    assert await node.run(flush_call("ann", 5)) == 1
    assert await node.run(flush_call("ann", 5)) == 0
    assert await node.run(flush_call("ann", 4)) == 0

    assert await node.run(fill_call("k", TOKENS[0], b"old", MINUTE)) == 0
    board = await node.look("eve")
    assert board.flushed == {"ann": 5}
    assert board.notices == {Posting("bob", "cache-2"): 7}
    assert board.generation == 2
    assert await node.run(flush_call("ann", 6)) == 1


async def test_rows_older_than_any_value_are_swept(node: Node) -> None:
    """Notices and acknowledgements of clients that are long gone don't pile up."""
    await node.look("ann", cache_1=1)
    await node.run(flush_call("bob", 1))
    long_ago = round((time.time() - ROW_TTL_S - 5.0) * 1000)
    await node.do("HSET", META_KEY, "n:ann", f"{long_ago};cache-1=1")
    await node.do("HSET", META_KEY, "a:bob", f"{long_ago};1")
    board = await node.look("eve")

    assert board.notices == {}
    assert board.flushed == {}


@pytest.mark.parametrize(
    "answer",
    [
        b"no table",
        7,
        None,
        [b"beat"],
        [b"beat", 7],
        [b"n:ann", b"soon;cache-1=2"],
        [b"a:ann", b"1;\xff"],
        ReplyError("LOADING the dataset is being loaded"),
    ],
)
def test_what_is_no_table_is_no_board(answer: Answer) -> None:
    """An error, or something else in the node's place, counts as a failed look."""
    assert parse_board(answer) is None


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("get"), st.sampled_from(TOKENS)),
        st.tuples(st.just("fill"), st.sampled_from(TOKENS), st.integers(0, 9)),
        st.tuples(st.just("unlink")),
        st.tuples(st.just("flush"), st.sampled_from(["ann", "bob"]), st.integers(1, 3)),
        st.tuples(
            st.just("look"),
            st.sampled_from(["ann", "bob"]),
            st.dictionaries(st.sampled_from(["cache-1", "cache-2"]), st.integers(1, 3)),
        ),
    ),
    max_size=30,
)


@pytest.mark.property
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(STEPS)
def test_the_model_does_what_the_node_does(server: Valkey, steps: list[tuple[object, ...]]) -> None:
    """Any sequence of steps gets the same answers from both."""
    asyncio.run(_compare(server, steps))


async def _compare(server: Valkey, steps: list[tuple[object, ...]]) -> None:
    _, connection = await asyncio.get_running_loop().create_connection(
        lambda: Connection(Limits()), server.host, server.port
    )
    node, model = Node(connection), ModelNode("cache-1")
    await node.do("FLUSHALL")
    try:
        for step in steps:
            match step:
                case ("get", str(token)):
                    known = model.get("k", token, 0.0)
                    answer = await node.run(get_call("k", token))
                    assert _as_model(answer) == _shown(known)
                case ("fill", str(token), int(value)):
                    stored = await node.run(fill_call("k", token, str(value).encode(), MINUTE))
                    assert stored == model.fill("k", token, value)
                case ("unlink",):
                    await node.do("UNLINK", "k")
                    model.unlink("k")
                case ("flush", str(client), int(number)):
                    flushed = await node.run(flush_call(client, number))
                    assert flushed == model.flush(client, number)
                case ("look", str(client), dict(notices)):
                    board = parse_board(await node.run(look_call(client, notices)))
                    expected = model.look(client, notices, 0.0)
                    assert board is not None
                    assert board.notices == expected.notices
                    assert board.flushed == expected.flushed
                    assert board.generation == expected.generation
                    assert board.silent_s.keys() == expected.silent_s.keys()
    finally:
        connection.close()


def _as_model(answer: Answer) -> tuple[str | None, int | None] | None:
    match answer:
        case [0, bytes(token)]:
            return token.decode(), None
        case [1, int(), bytes(value)]:
            return None, int(value)
        case _:
            return None


def _shown(entry: tuple[str, int | None] | None) -> tuple[str | None, int | None] | None:
    """Say what a reader is shown of a model's entry: a token or a value, never both."""
    if entry is None:
        return None
    token, value = entry
    return (token, None) if value is None else (None, value)
