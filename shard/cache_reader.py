"""Gets and fills: one trip each, to the node that is the key's place at this moment.

All gets of one turn of the event loop leave in one write per node (``shard.connection``), whoever
asks. An answer that doesn't come in time is a miss, and the node's fault only when the time was
ours: a caller whose deadline is near must not eject it.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from resilience import context
from shard.cache_node import CacheNode
from shard.cache_placement import Place, Placement
from shard.cache_scripts import Call, fill_call, get_call, is_unknown_script
from shard.connection import Connection
from shard.policy.attempt import Failure
from shard.policy.coherence import STALE_BOUND_S
from shard.policy.freshness import life
from shard.resp import Answer, is_plain

DEFAULT_TIMEOUT_S = 0.05  # a get; a healthy one takes 0.2 ms, the origin some 10
OVERFLOW_TTL_S = 1.0  # what a hot owner's neighbours keep
TTL_JITTER_RATIO = 0.1  # what was filled together expires over a fifth of its life; go-zero: 0.05


@dataclass(frozen=True, slots=True)
class Token:
    """The right to fill one key at one node, until somebody deletes the key."""

    node: str
    run: str
    value: str
    is_overflow: bool


@dataclass(frozen=True, slots=True)
class Hit:
    """A value that was found.

    Args:
        value: Its bytes.
        age_s: Seconds since it was filled.
        is_stale: Past its time (``shard.policy.freshness``), and not deleted.
        refresh: Of a stale one: the right to fill it anew, which one reader gets at a time.
        node: Where it was read.
        is_local: Out of this process's memory, without asking the node.
    """

    value: bytes
    age_s: float
    is_stale: bool = False
    refresh: Token | None = None
    node: str = ""
    is_local: bool = False


@dataclass(frozen=True, slots=True)
class Miss:
    """No value; ``token`` is None when no node can take one now."""

    token: Token | None


NOTHING = Miss(None)


class _Asked(NamedTuple):
    """A get on its way."""

    place: Place
    run: str
    connection: Connection
    call: Call
    sent: "asyncio.Future[Answer]"

    def token(self, value: bytes) -> Token:
        """Return the token that the node answered."""
        return Token(self.place.node.name, self.run, value.decode(), self.place.is_overflow)


class Reader:
    """The gets and fills of one client.

    Args:
        placement: Says where a key is read now.
        nodes: By name.
        client: Begins every token; unique among all clients, ever.
        rng: Spread of lifetimes.
        timeout_s: Longest time a get or a fill takes, seconds, > 0.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        placement: Placement,
        nodes: Mapping[str, CacheNode],
        client: str,
        rng: Random,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._placement = placement
        self._nodes = nodes
        self._client = client
        self._rng = rng
        self._timeout_s = timeout_s
        self._clock = clock
        self._token_count = 0
        self.off_count = 0
        self.overflow_count = 0

    async def get_many(
        self, keys: Sequence[str], deadline_s: float | None = None
    ) -> list[Hit | Miss]:
        """Read keys, all at once; see ``CacheClient.get``."""
        until_s = self._clock() + self._timeout_s
        limit_s = deadline_s if deadline_s is not None else _context_deadline_s()
        is_ours = limit_s is None or until_s <= limit_s
        if limit_s is not None:
            until_s = min(until_s, limit_s)
        asked = [await self._ask(key, until_s) for key in keys]
        return [await self._take(each, until_s, is_ours) for each in asked]

    async def fill(
        self, token: Token | None, key: str, value: bytes, ttl_s: float, stale_s: float = 0.0
    ) -> str:
        """Store a value where its token still is; say ``stored``, ``refused`` or ``off``."""
        if token is None:
            return "off"
        node = self._nodes[token.node]
        connection = node.link.connection
        if connection is None or not node.is_up or node.link.run != token.run:
            return "off"
        spread = self._rng.uniform(1.0 - TTL_JITTER_RATIO, 1.0 + TTL_JITTER_RATIO)
        longest_s = OVERFLOW_TTL_S if token.is_overflow else STALE_BOUND_S
        lasting = life(ttl_s * spread, stale_s, longest_s)
        call = fill_call(node.entry(key), token.value, value, lasting)
        answer = await node.run(connection, call, self._clock() + self._timeout_s)
        if isinstance(answer, Failure):
            node.judge(answer)
            return "off"
        return "stored" if answer == 1 else "refused"

    async def _ask(self, key: str, until_s: float) -> _Asked | None:
        """Send a get to the key's node of this moment; None when there is none."""
        while (now_s := self._clock()) < until_s:
            place = self._placement.place(key, now_s)
            if place is None:
                return None
            node = place.node
            connection = await node.open(until_s)
            if connection is not None:
                node.load.add(now_s)
                self.overflow_count += place.is_overflow
                call = get_call(node.entry(key), self._new_token())
                sent = connection.send(call.by_digest(), until_s)
                return _Asked(place, node.link.run, connection, call, sent)
            if node.is_up:  # still connecting, and our time is up
                return None
        return None

    async def _take(self, asked: _Asked | None, until_s: float, is_ours: bool) -> Hit | Miss:
        """Wait for what a node answers to a get."""
        if asked is None:
            self.off_count += 1
            return NOTHING
        node = asked.place.node
        answer = await asked.sent
        if is_unknown_script(answer):
            answer = await asked.connection.send(asked.call.by_source(), until_s)
        if is_ours or is_plain(answer):
            node.judge(answer)
        match answer:
            case [1, int(age_ms), bytes(value)]:
                node.hit_count += 1
                return Hit(value, max(0, age_ms) / 1000.0, node=node.name)
            case [2, int(age_ms), bytes(value), bytes(token)]:
                node.hit_count += 1
                right = asked.token(token) if token else None
                return Hit(value, max(0, age_ms) / 1000.0, True, right, node.name)
            case [0, bytes(token)]:
                node.miss_count += 1
                return Miss(asked.token(token))
            case _:
                self.off_count += 1
                return NOTHING

    def _new_token(self) -> str:
        self._token_count += 1
        return f"{self._client}{self._token_count:012x}"


def _context_deadline_s() -> float | None:
    current = context.current()
    return None if current is None else current.deadline_s
