"""Where each command has its keys, and whether it can be split: what routing must know of it.

Why: a client of a cluster sends a command to the owner of its keys, so it must find them. A server
could be asked (COMMAND GETKEYS), at a round trip a command; the positions hardly ever change.
Positions count from the command's name, which is 0; -1 is the last word, -2 the one before it.
Source: valkey 8.1's COMMAND (first key, last key, step, arity); a test holds the table to a server.
"Splittable" is what the Redis Cluster documentation and Envoy's Redis proxy split: MGET, MSET, DEL,
EXISTS, UNLINK, TOUCH. MSETNX isn't: its promise is all or nothing.
Not handled: commands of modules, and MIGRATE, whose keys may stand in two places.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from shard.policy.attempt import Work


class Join(Enum):
    """How the replies of a split command become one."""

    LIST = "list"  # one element per key, in the order of the keys
    SUM = "sum"  # how many keys were met
    OK = "ok"  # nothing but that it was done


class Command(NamedTuple):
    """What is known of one command.

    Args:
        name: In upper case.
        arity: Words, the name included; negative: at least as many.
        work: Whether it may be repeated, and what a failure of it means.
        first: Position of the first key; 0: no key, or only those that ``count_at`` finds.
        last: Position of the last key; negative from the end.
        step: From one key to the next.
        count_at: Position of a number of keys that follow it; 0: none.
        after: Words behind which keys stand: STREAMS (the first half of the rest) or STORE.
        is_held: It blocks, subscribes or changes its connection: it needs one of its own.
        join: How it is split and put together again; None when it can't be.
    """

    name: bytes
    arity: int
    work: Work
    first: int = 0
    last: int = 0
    step: int = 1
    count_at: int = 0
    after: tuple[bytes, ...] = ()
    is_held: bool = False
    join: Join | None = None

    def takes(self, words: int) -> bool:
        """Whether that many words, the name included, are right."""
        return words == self.arity if self.arity >= 0 else words >= -self.arity


def find(name: bytes) -> Command | None:
    """Return the command of that name, in any case; None when it is unknown."""
    return COMMANDS.get(name) or COMMANDS.get(name.upper())


def key_positions(command: Command, words: Sequence[bytes]) -> Sequence[int]:
    """Return where the keys are; none for a command without any.

    Args:
        command: What ``find`` said.
        words: All of it, the name first.

    Raises:
        ValueError: A wrong number of words, or a number of keys that isn't one.
    """
    if not command.takes(len(words)):
        raise ValueError(_wrong_arity(command, len(words)))
    if not (command.count_at or command.after):
        return _fixed(command, len(words))
    places = [*_fixed(command, len(words))]
    if command.count_at:
        places += _counted(command, words)
    if command.after:
        places += _behind_words(command, words)
    return places


def keys_of(command: Command, words: Sequence[bytes]) -> list[bytes]:
    """Return the keys, in order; arguments and errors as ``key_positions``."""
    return [words[place] for place in key_positions(command, words)]


def _fixed(command: Command, count: int) -> range:
    if not command.first or command.first >= count:
        return range(0)
    last = command.last if command.last >= 0 else count + command.last
    return range(command.first, min(last, count - 1) + 1, command.step)


def _counted(command: Command, words: Sequence[bytes]) -> range:
    text, begin = words[command.count_at], command.count_at + 1
    if not text.isdigit() or int(text) > len(words) - begin:
        raise ValueError(
            f"{command.name.decode()}: word {command.count_at} must be the number of keys that "
            f"follow, not {text[:32]!r}"
        )
    return range(begin, begin + int(text))


def _behind_words(command: Command, words: Sequence[bytes]) -> Iterator[int]:
    for place in range(1, len(words) - 1):
        if words[place].upper() not in command.after:
            continue
        if command.after == (b"STREAMS",):  # STREAMS key key id id
            yield from range(place + 1, place + 1 + (len(words) - place - 1) // 2)
            return
        if place > command.last:
            yield place + 1


def _wrong_arity(command: Command, count: int) -> str:
    least = "at least " if command.arity < 0 else ""
    return (
        f"wrong number of arguments for {command.name.decode()}: "
        f"it takes {least}{abs(command.arity) - 1}, got {count - 1}"
    )


# Each line below is NAME:arity, as COMMAND gives it.
_READ_ONE = """
BITCOUNT:-2 BITFIELD_RO:-2 BITPOS:-3 DUMP:2 EXPIRETIME:2 GEODIST:-4 GEOHASH:-2 GEOPOS:-2
GEORADIUSBYMEMBER_RO:-5 GEORADIUS_RO:-6 GEOSEARCH:-7 GET:2 GETBIT:3 GETRANGE:4 HEXISTS:3 HGET:3
HGETALL:2 HKEYS:2 HLEN:2 HMGET:-3 HRANDFIELD:-2 HSCAN:-3 HSTRLEN:3 HVALS:2 LINDEX:3 LLEN:2 LPOS:-3
LRANGE:4 PEXPIRETIME:2 PTTL:2 SCARD:2 SISMEMBER:3 SMEMBERS:2 SMISMEMBER:-3 SORT_RO:-2
SRANDMEMBER:-2 SSCAN:-3 STRLEN:2 SUBSTR:4 TTL:2 TYPE:2 XLEN:2 XPENDING:-3 XRANGE:-4 XREVRANGE:-4
ZCARD:2 ZCOUNT:4 ZLEXCOUNT:4 ZMSCORE:-3 ZRANDMEMBER:-2 ZRANGE:-4 ZRANGEBYLEX:-4 ZRANGEBYSCORE:-4
ZRANK:-3 ZREVRANGE:-4 ZREVRANGEBYLEX:-4 ZREVRANGEBYSCORE:-4 ZREVRANK:-3 ZSCAN:-3 ZSCORE:3
"""
_WRITE_ONE = """
APPEND:3 BITFIELD:-2 DECR:2 DECRBY:3 EXPIRE:-3 EXPIREAT:-3 GEOADD:-5 GETDEL:2 GETEX:-2 GETSET:3
HDEL:-3 HINCRBY:4 HINCRBYFLOAT:4 HMSET:-4 HSET:-4 HSETNX:4 INCR:2 INCRBY:3 INCRBYFLOAT:3 LINSERT:5
LPOP:-2 LPUSH:-3 LPUSHX:-3 LREM:4 LSET:4 LTRIM:4 MOVE:3 PERSIST:2 PEXPIRE:-3 PEXPIREAT:-3 PFADD:-2
PSETEX:4 RESTORE:-4 RESTORE-ASKING:-4 RPOP:-2 RPUSH:-3 RPUSHX:-3 SADD:-3 SET:-3 SETBIT:4 SETEX:4
SETNX:3 SETRANGE:4 SPOP:-2 SPUBLISH:3 SREM:-3 XACK:-4 XADD:-5 XAUTOCLAIM:-6 XCLAIM:-6 XDEL:-3
XSETID:-3 XTRIM:-4 ZADD:-4 ZINCRBY:4 ZPOPMAX:-2 ZPOPMIN:-2 ZREM:-3 ZREMRANGEBYLEX:4
ZREMRANGEBYRANK:4 ZREMRANGEBYSCORE:4
"""
_WRITE_TWO = """
COPY:-3 GEOSEARCHSTORE:-8 LMOVE:5 RENAME:3 RENAMENX:3 RPOPLPUSH:3 SMOVE:4 ZRANGESTORE:-5
"""
_KEYLESS_READS = "DBSIZE:1 KEYS:2 LOLWUT:-1 RANDOMKEY:1 SCAN:-2"
_KEYLESS = """
ACL:-2 BGREWRITEAOF:1 BGSAVE:-1 CLUSTER:-2 COMMAND:-1 COMMANDLOG:-2 CONFIG:-2 DEBUG:-2 ECHO:2
FAILOVER:-1 FLUSHALL:-1 FLUSHDB:-1 FUNCTION:-2 INFO:-1 LASTSAVE:1 LATENCY:-2 MODULE:-2 PING:-1
PUBLISH:3 PUBSUB:-2 REPLICAOF:3 ROLE:1 SAVE:1 SCRIPT:-2 SHUTDOWN:-1 SLAVEOF:3 SLOWLOG:-2 SWAPDB:3
TIME:1
"""
_OF_CONNECTION = """
ASKING:1 AUTH:-2 CLIENT:-2 DISCARD:1 EXEC:1 HELLO:-1 MONITOR:1 MULTI:1 PSUBSCRIBE:-2 PSYNC:-3
PUNSUBSCRIBE:-1 QUIT:-1 READONLY:1 READWRITE:1 REPLCONF:-1 RESET:1 SELECT:2 SUBSCRIBE:-2 SYNC:1
UNSUBSCRIBE:-1 UNWATCH:1 WAIT:3 WAITAOF:4
"""


def _those(text: str, work: Work, **more: object) -> Iterator[Command]:
    for word in text.split():
        name, _, arity = word.partition(":")
        yield Command(name.encode(), int(arity), work, **more)  # type: ignore[arg-type]


def _table_of_fixed() -> Iterator[Command]:
    read, write = Work.READ, Work.WRITE
    yield from _those(_READ_ONE, read, first=1, last=1)
    yield from _those(_WRITE_ONE, write, first=1, last=1)
    yield from _those("LCS:-3", read, first=1, last=2)
    yield from _those(_WRITE_TWO, write, first=1, last=2)
    yield from _those("PFCOUNT:-2 SDIFF:-2 SINTER:-2 SUNION:-2", read, first=1, last=-1)
    several = "PFMERGE:-2 SDIFFSTORE:-3 SINTERSTORE:-3 SUNIONSTORE:-3"
    yield from _those(several, write, first=1, last=-1)
    yield from _those("MSETNX:-3", write, first=1, last=-1, step=2)
    yield from _those("BITOP:-4", write, first=2, last=-1)
    # Splittable.
    yield from _those("MGET:-2", read, first=1, last=-1, join=Join.LIST)
    yield from _those("EXISTS:-2 TOUCH:-2", read, first=1, last=-1, join=Join.SUM)
    yield from _those("DEL:-2 UNLINK:-2", write, first=1, last=-1, join=Join.SUM)
    yield from _those("MSET:-3", write, first=1, last=-1, step=2, join=Join.OK)


def _table_of_found() -> Iterator[Command]:
    """Commands whose keys aren't at fixed places, and those that hold their connection."""
    read, write, script = Work.READ, Work.WRITE, Work.SCRIPT
    # Behind a number of keys.
    yield from _those("SINTERCARD:-3 ZDIFF:-3 ZINTER:-3 ZINTERCARD:-3 ZUNION:-3", read, count_at=1)
    yield from _those("LMPOP:-4 ZMPOP:-4", write, count_at=1)
    stores = "ZDIFFSTORE:-4 ZINTERSTORE:-4 ZUNIONSTORE:-4"
    yield from _those(stores, write, first=1, last=1, count_at=2)
    yield from _those("EVAL:-3 EVALSHA:-3 FCALL:-3", script, count_at=2)
    yield from _those("EVAL_RO:-3 EVALSHA_RO:-3 FCALL_RO:-3", read, count_at=2)
    # Behind a word.
    georadius, stored = "GEORADIUS:-6 GEORADIUSBYMEMBER:-5", (b"STORE", b"STOREDIST")
    yield from _those(georadius, write, first=1, last=1, after=stored)
    yield from _those("SORT:-2", write, first=1, last=1, after=(b"STORE",))
    yield from _those("XREAD:-4", read, after=(b"STREAMS",), is_held=True)
    yield from _those("XREADGROUP:-7", write, after=(b"STREAMS",), is_held=True)
    # Behind a subcommand; those without a key have no third word.
    yield from _those("MEMORY:-2 OBJECT:-2 XINFO:-2", read, first=2, last=2)
    yield from _those("XGROUP:-2", write, first=2, last=2)
    # On a connection of their own.
    blocking = "BLPOP:-3 BRPOP:-3 BZPOPMAX:-3 BZPOPMIN:-3"
    yield from _those(blocking, write, first=1, last=-2, is_held=True)
    yield from _those("BLMOVE:6 BRPOPLPUSH:4", write, first=1, last=2, is_held=True)
    yield from _those("BLMPOP:-5 BZMPOP:-5", write, count_at=2, is_held=True)
    watching = "SSUBSCRIBE:-2 SUNSUBSCRIBE:-1 WATCH:-2"
    yield from _those(watching, read, first=1, last=-1, is_held=True)
    yield from _those(_OF_CONNECTION, write, is_held=True)
    yield from _those(_KEYLESS_READS, read)
    yield from _those(_KEYLESS, write)


COMMANDS: Mapping[bytes, Command] = {
    each.name: each for each in (*_table_of_fixed(), *_table_of_found())
}
