"""The command table, held to a real server's COMMAND and COMMAND GETKEYS."""

import socket
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import hiredis
import pytest

from shard.policy.attempt import Work
from shard.policy.commands import COMMANDS, Command, Join, find, key_positions, keys_of
from shard.resp import pack
from tests.valkey import start_valkey

Server: TypeAlias = Callable[..., Any]

LEFT_OUT = {"MIGRATE", "PFDEBUG", "PFSELFTEST"}
SAMPLES = [
    "GET k",
    "SET k v EX 5",
    "MGET a b c",
    "MSET a 1 b 2",
    "LCS a b LEN",
    "COPY a b REPLACE",
    "BITOP AND d a b",
    "EVAL s 2 a b x",
    "EVALSHA 0 1 a",
    "FCALL f 1 a x",
    "ZUNIONSTORE d 2 a b WEIGHTS 1 2",
    "ZDIFF 2 a b WITHSCORES",
    "SINTERCARD 2 a b LIMIT 1",
    "LMPOP 2 a b LEFT",
    "BLMPOP 0 2 a b LEFT",
    "BLPOP a b 0",
    "BLMOVE a b LEFT RIGHT 0",
    "XREAD COUNT 2 STREAMS a b 0 0",
    "XREADGROUP GROUP g c STREAMS a b > >",
    "SORT k BY nosort STORE d",
    "GEORADIUS k 1 1 1 m STORE d",
    "MEMORY USAGE k",
    "OBJECT ENCODING k",
    "XGROUP CREATE k g 0",
    "XINFO STREAM k",
    "WATCH a b",
    "PFMERGE d a b",
    "GEOSEARCHSTORE d k FROMLONLAT 1 1 BYRADIUS 1 m",
]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Speak raw RESP to a server of its own: redis-py reads COMMAND GETKEYS as COMMAND."""
    with start_valkey() as valkey, socket.create_connection((valkey.host, valkey.port)) as peer:
        reader = hiredis.Reader()

        def ask(*words: bytes) -> Any:
            peer.sendall(pack(words))
            while (reply := reader.gets()) is False:
                reader.feed(peer.recv(65536))
            return reply

        yield ask


BEFORE_REDIS_7_2 = {b"ZRANK": 3, b"ZREVRANK": 3}  # arities: there was no WITHSCORE


def words_of(text: str) -> list[bytes]:
    """Split a command line."""
    return text.encode().split()


@pytest.mark.integration
def test_the_table_is_what_a_server_says(server: Server) -> None:
    """Names, arities and fixed positions of every command of valkey 8.1; none missing."""
    told = {each[0].upper(): each for each in server(b"COMMAND")}
    assert {each.decode() for each in set(told) - set(COMMANDS)} <= LEFT_OUT
    for name in set(told) & set(COMMANDS):  # an older server lacks some
        command, (_, arity, _, *fixed) = COMMANDS[name], told[name]
        assert arity in (command.arity, BEFORE_REDIS_7_2.get(name)), name
        if fixed[0]:
            assert [command.first, command.last, command.step] == fixed[:3], name


@pytest.mark.integration
def test_work_is_what_a_server_says(server: Server) -> None:
    """Whatever it flags as writing is never taken for a read."""
    for name, _, flags, *_ in server(b"COMMAND"):
        command = find(name)
        if command is None:
            continue
        if b"write" in flags:
            assert command.work is not Work.READ, name
        if b"readonly" in flags:
            assert command.work is Work.READ, name
        if b"blocking" in flags:
            assert command.is_held, name


@pytest.mark.integration
@pytest.mark.parametrize("line", SAMPLES)
def test_keys_are_those_that_a_server_finds(server: Server, line: str) -> None:
    """COMMAND GETKEYS agrees, keys behind numbers and words included."""
    words = words_of(line)
    command = find(words[0])
    assert command is not None
    assert keys_of(command, words) == server(b"COMMAND", b"GETKEYS", *words)


def test_only_six_commands_are_split() -> None:
    """And each is joined by what it answers."""
    joins = {each.name: each.join for each in COMMANDS.values() if each.join is not None}
    assert joins == {
        b"MGET": Join.LIST,
        b"MSET": Join.OK,
        b"DEL": Join.SUM,
        b"UNLINK": Join.SUM,
        b"EXISTS": Join.SUM,
        b"TOUCH": Join.SUM,
    }


def test_names_are_found_in_any_case_and_unknown_ones_not() -> None:
    """Clients write get, GET and Get."""
    assert find(b"gEt") is find(b"GET") is not None
    assert find(b"GTE") is None


def _found(name: bytes) -> Command:
    command = find(name)
    assert command is not None
    return command


@pytest.mark.parametrize("line", ["PING", "INFO", "MEMORY DOCTOR", "OBJECT HELP", "EVAL s 0"])
def test_without_a_key_there_is_none(line: str) -> None:
    """Keyless commands and subcommands."""
    words = words_of(line)
    assert list(key_positions(_found(words[0]), words)) == []


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("GET", "GET: it takes 1, got 0"),
        ("GET a b", "GET: it takes 1, got 2"),
        ("MGET", "MGET: it takes at least 1, got 0"),
        ("EVAL s x", "EVAL: word 2 must be the number of keys"),
        ("EVAL s -1 a", "EVAL: word 2 must be the number of keys"),
        ("EVAL s 3 a b", "EVAL: word 2 must be the number of keys"),
    ],
)
def test_what_is_wrong_is_said(line: str, told: str) -> None:
    """Wrong arity, wrong number of keys."""
    words = words_of(line)
    with pytest.raises(ValueError, match=told):
        key_positions(_found(words[0]), words)
