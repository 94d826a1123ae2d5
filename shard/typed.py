"""Keys with a type: what a key holds is said once, and mypy knows what each command answers.

A thin layer: each method is one command of ``StoreClient``, and what isn't here is said to the
client itself. A write raises unless it is acknowledged (``ServiceError.started`` tells refused from
unknown); who wants to go on from there uses ``StoreClient.write``.
Source: the commands that the lab's services use.
"""

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Generic, TypeVar

from shard.codec import Codec, as_raw
from shard.policy.attempt import Reads
from shard.policy.durability import Durability
from shard.resp import Argument, Reply
from shard.store import StoreClient

T = TypeVar("T")


class OnlyIf(Enum):
    """When SET may write."""

    ABSENT = "NX"
    PRESENT = "XX"


class Key:
    """One key, whatever it holds.

    Args:
        store: Connected.
        name: Of the key.
        durability: Of all its writes.
        reads: Which nodes may answer its reads.
    """

    def __init__(
        self,
        store: StoreClient,
        name: str,
        *,
        durability: Durability = Durability.LOCAL,
        reads: Reads = Reads.PRIMARY,
    ) -> None:
        self.name = name
        self._store = store
        self._durability = durability
        self._reads = reads

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    async def exists(self) -> bool:
        """Whether there is such a key."""
        return _int(await self._read("EXISTS")) > 0

    async def delete(self) -> bool:
        """Delete it; False when there was none."""
        return _int(await self._write("DEL")) > 0

    async def expire(self, ttl_s: float) -> bool:
        """Let it end after so many seconds, > 0; False when there is no such key."""
        return _int(await self._write("PEXPIRE", _ms(ttl_s))) > 0

    async def ttl_s(self) -> float | None:
        """Return how long it has to live, seconds; None without an end or without a key."""
        left_ms = _int(await self._read("PTTL"))
        return left_ms / 1000 if left_ms >= 0 else None

    async def _read(self, name: str, *words: Argument) -> Reply:
        return await self._store.read(name, self.name, *words, reads=self._reads)

    async def _write(self, name: str, *words: Argument) -> Reply:
        done = await self._store.write(name, self.name, *words, durability=self._durability)
        return done.raise_for_status()


class _Coded(Key, Generic[T]):
    """A key whose values have a codec.

    Args:
        store: Connected.
        name: Of the key.
        codec: Of the value.
        durability: Of all its writes.
        reads: Which nodes may answer its reads.
    """

    def __init__(
        self,
        store: StoreClient,
        name: str,
        codec: Codec[T],
        *,
        durability: Durability = Durability.LOCAL,
        reads: Reads = Reads.PRIMARY,
    ) -> None:
        super().__init__(store, name, durability=durability, reads=reads)
        self._codec = codec

    def _decoded(self, reply: Reply) -> T | None:
        return None if reply is None else self._codec.read(reply, self.name)


class Value(_Coded[T]):
    """One value under one key."""

    async def get(self) -> T | None:
        """Return the value; None when there is none."""
        return self._decoded(await self._read("GET"))

    async def set(
        self, value: T, *, ttl_s: float | None = None, only_if: OnlyIf | None = None
    ) -> bool:
        """Set it; False when ``only_if`` forbade it."""
        words: list[Argument] = [self._codec.encode(value)]
        words += [] if ttl_s is None else ["PX", _ms(ttl_s)]
        words += [] if only_if is None else [only_if.value]
        return await self._write("SET", *words) is not None

    async def swap(self, value: T) -> T | None:
        """Set it and return what was there before."""
        return self._decoded(await self._write("SET", self._codec.encode(value), "GET"))


class Counter(Key):
    """A number that many count up."""

    async def get(self) -> int:
        """Return it; 0 when nobody has counted yet."""
        return _int(await self._read("GET") or 0)

    async def add(self, amount: int = 1) -> int:
        """Add, or take away what is negative; returns the new number."""
        return _int(await self._write("INCRBY", amount))


class Hash(_Coded[T]):
    """Fields under one key, all of one type."""

    async def field(self, name: str) -> T | None:
        """Return one field; None when there is none."""
        return self._decoded(await self._read("HGET", name))

    async def put(self, fields: Mapping[str, T]) -> int:
        """Set some fields, at least one; returns how many are new."""
        encode = self._codec.encode
        words = [word for name, value in fields.items() for word in (name, encode(value))]
        return _int(await self._write("HSET", *words))

    async def drop(self, *names: str) -> int:
        """Delete some fields, at least one; returns how many there were."""
        return _int(await self._write("HDEL", *names))

    async def all(self) -> dict[str, T]:
        """Return every field; empty without a key."""
        pairs = _pairs(await self._read("HGETALL"))
        return {as_raw(name).decode(): self._codec.read(raw, self.name) for name, raw in pairs}


class Members(_Coded[T]):
    """A set: each member once."""

    async def add(self, *members: T) -> int:
        """Add some, at least one; returns how many are new."""
        return _int(await self._write("SADD", *map(self._codec.encode, members)))

    async def remove(self, *members: T) -> int:
        """Take some away, at least one; returns how many there were."""
        return _int(await self._write("SREM", *map(self._codec.encode, members)))

    async def has(self, member: T) -> bool:
        """Whether it is among them."""
        return _int(await self._read("SISMEMBER", self._codec.encode(member))) > 0

    async def size(self) -> int:
        """Return how many there are."""
        return _int(await self._read("SCARD"))

    async def all(self) -> list[T]:
        """Return all, in no order."""
        found = _list(await self._read("SMEMBERS"))
        return [self._codec.read(raw, self.name) for raw in found]


class Ranking(_Coded[T]):
    """A sorted set: each member with a score."""

    async def put(self, scores: Mapping[T, float]) -> int:
        """Set some scores, at least one; returns how many members are new."""
        encode = self._codec.encode
        words = [word for each, score in scores.items() for word in (score, encode(each))]
        return _int(await self._write("ZADD", *words))

    async def score(self, member: T) -> float | None:
        """Return a member's score; None when it isn't among them."""
        found = await self._read("ZSCORE", self._codec.encode(member))
        return None if found is None else float(as_raw(found))

    async def remove(self, *members: T) -> int:
        """Take some away, at least one; returns how many there were."""
        return _int(await self._write("ZREM", *map(self._codec.encode, members)))

    async def size(self) -> int:
        """Return how many there are."""
        return _int(await self._read("ZCARD"))

    async def top(self, count: int, *, highest: bool = True) -> list[tuple[T, float]]:
        """Return that many members with their scores, the highest first or the lowest.

        Raises:
            ValueError: ``count`` < 1, which as an index would mean all.
        """
        if count < 1:
            raise ValueError(f"the top {count}: ask for at least 1")
        order = ["REV"] if highest else []
        found = await self._read("ZRANGE", 0, count - 1, *order, "WITHSCORES")
        pairs = _pairs(found)
        return [(self._codec.read(raw, self.name), float(as_raw(score))) for raw, score in pairs]


def _ms(ttl_s: float) -> int:
    if ttl_s <= 0:
        raise ValueError(f"a time to live of {ttl_s} s: give more than 0")
    return max(1, round(ttl_s * 1000))


def _int(reply: Reply) -> int:
    return reply if isinstance(reply, int) else int(as_raw(reply))


def _list(reply: Reply) -> list[object]:
    if not isinstance(reply, list):
        raise ValueError(f"expected a list, got {reply!r:.80}")
    return reply


def _pairs(reply: Reply) -> Iterator[tuple[object, object]]:
    """Read pairs as RESP2 gives them (flat) or RESP3 (a map, or a list of pairs)."""
    if isinstance(reply, dict):
        yield from reply.items()
        return
    found = _list(reply)
    if found and isinstance(found[0], list):
        yield from (tuple(_list(each)) for each in found)  # type: ignore[misc]
        return
    yield from zip(found[::2], found[1::2], strict=True)
