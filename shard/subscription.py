"""Messages from channels, with every gap told.

Publish and subscribe keeps nothing: what is published while a subscriber isn't connected is lost to
it. A client that reconnects in silence hides that, so here a ``Gap`` stands in the stream between
what came before and after, for the consumer to read again whatever the messages were hints of.
The subscription connects again by itself (backoff, jitter, elsewhere if need be) whenever its
connection breaks, its node falls silent, or a sharded channel's slot moves.
Source: valkey: "Pub/Sub", "Sharded Pub/Sub" (a node that gives a slot away sends SUNSUBSCRIBE).
Not handled: adding channels to one that runs; make another.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple, Self, TypeAlias

from hashing.slots import slot_of
from shard.feed import Feed
from shard.nodes import Nodes
from shard.policy.backoff import Backoff
from shard.policy.redirect import parse_redirect
from shard.policy.split import CrossSlotError, cross_slot
from shard.policy.topology import Address
from shard.refresh import TopologyKeeper
from shard.resp import ReplyError, pack
from shard.routing import as_bytes

IDLE_S = 1.0  # silence after which the node is asked whether it lives; the node timeout
REFRESH_TIMEOUT_S = 0.3

_PING = pack(("PING",))
_CONFIRMED = frozenset({b"subscribe", b"psubscribe", b"ssubscribe"})
_ENDED = frozenset({b"unsubscribe", b"punsubscribe", b"sunsubscribe"})


class Message(NamedTuple):
    """One message.

    Args:
        channel: Where it was published.
        payload: What was.
        pattern: The pattern it matched; None when the channel itself is subscribed to.
    """

    channel: bytes
    payload: bytes
    pattern: bytes | None = None


class Gap(NamedTuple):
    """Messages may be missing here.

    Args:
        lasted_s: From the loss noticed to being subscribed again, seconds.
        why: What broke.
    """

    lasted_s: float
    why: str


Item: TypeAlias = Message | Gap


class Subscription:
    """Iterate over it inside ``async with``; one consumer, cancellable at any time.

    Args:
        nodes: Say how to connect.
        keeper: Knows where.
        channels: To subscribe to.
        patterns: To subscribe to.
        sharded: SSUBSCRIBE, whose channels have a slot.
    """

    def __init__(
        self,
        nodes: Nodes,
        keeper: TopologyKeeper,
        channels: Sequence[str | bytes],
        patterns: Sequence[str | bytes],
        *,
        sharded: bool,
    ) -> None:
        names = [as_bytes(each) for each in channels]
        _require_sense(names, patterns, sharded)
        self._nodes = nodes
        self._keeper = keeper
        self._slot = slot_of(names[0]) if sharded else None
        self._wanted = len(names) + len(patterns)
        subscribe = "SSUBSCRIBE" if sharded else "SUBSCRIBE"
        self._said = pack((subscribe, *names)) if names else b""
        self._said += pack(("PSUBSCRIBE", *patterns)) if patterns else b""
        self._backoff = Backoff(nodes.rng)
        self._feed: Feed | None = None
        self._early: deque[Message] = deque()  # came while others were still to be confirmed
        self._is_closed = False

    async def __aenter__(self) -> Self:
        """Subscribe; waits until that is confirmed, so bound it with a timeout."""
        await self._connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Item:
        """Return the next message, or the gap before it; ends when the subscription is closed."""
        while not self._is_closed:
            if self._early:
                return self._early.popleft()
            try:
                message = await self._listen()
            except (ConnectionError, TimeoutError) as error:
                if not self._is_closed:
                    return await self._mend(str(error))
            else:
                if message is not None:
                    return message
        raise StopAsyncIteration

    def close(self) -> None:
        """End it, and the iteration over it."""
        self._is_closed = True
        if self._feed is not None:
            self._feed.close()

    async def _listen(self) -> Message | None:
        """Take one frame; None when it is no message."""
        assert self._feed is not None, "enter the subscription first: async with"
        try:
            frame = await self._feed.next(IDLE_S)
        except TimeoutError:
            self._feed.send(_PING)
            frame = await self._answered()
        if isinstance(frame, ReplyError):
            raise ConnectionError(str(frame))
        return _message(frame)

    async def _answered(self) -> object:
        assert self._feed is not None
        try:
            return await self._feed.next(IDLE_S)
        except TimeoutError:
            raise ConnectionError("the node fell silent") from None

    async def _mend(self, why: str) -> Gap:
        began_s = self._nodes.clock()
        self._end()
        await self._connect()
        return Gap(self._nodes.clock() - began_s, why)

    async def _connect(self) -> None:
        """Try until every channel is confirmed."""
        while not self._is_closed:
            await asyncio.sleep(self._backoff.wait_s(self._nodes.clock()))
            address = self._where()
            try:
                if address is not None:
                    async with asyncio.timeout(self._nodes.limits.connect_timeout_s):
                        await self._subscribe(address)
                    self._backoff.on_success()
                    return
            except OSError:  # ConnectionError and TimeoutError are OSErrors
                self._end()
            except BaseException:
                self._end()
                raise
            self._backoff.on_failure(self._nodes.clock())
            await self._keeper.refresh(REFRESH_TIMEOUT_S)

    def _where(self) -> Address | None:
        topology = self._keeper.topology
        if self._slot is not None:
            return topology.owners[self._slot]
        return self._nodes.rng.choice(topology.primaries) if topology.primaries else None

    async def _subscribe(self, address: Address) -> None:
        greeting = self._nodes.greeting
        host, port = self._nodes.dial(address)
        loop = asyncio.get_running_loop()
        limit = self._nodes.limits.max_reply_bytes
        _, self._feed = await loop.create_connection(
            lambda: Feed(limit), host, port, ssl=greeting.tls
        )
        self._feed.send(b"".join(greeting.commands()) + self._said)
        confirmed = 0
        while confirmed < self._wanted:
            frame = await self._feed.next(IDLE_S)
            if isinstance(frame, ReplyError):
                self._learn(str(frame), address)
                raise ConnectionError(str(frame))
            if isinstance(frame, list) and frame and frame[0] in _CONFIRMED:
                confirmed += 1
            elif (message := _message(frame)) is not None:
                self._early.append(message)

    def _learn(self, error: str, asked: Address) -> None:
        try:
            redirect = parse_redirect(error, asked)
        except ValueError:
            return
        if redirect is not None:
            self._keeper.on_moved(redirect.slot, redirect.address)

    def _end(self) -> None:
        if self._feed is not None:
            self._feed.close()
            self._feed = None


def _message(frame: object) -> Message | None:
    match frame:
        case [b"message" | b"smessage", bytes(channel), bytes(payload)]:
            return Message(channel, payload)
        case [b"pmessage", bytes(pattern), bytes(channel), bytes(payload)]:
            return Message(channel, payload, pattern)
        case [bytes(kind), *_] if kind in _ENDED:
            raise ConnectionError("the node ended the subscription: the slot has moved")
    return None


def _require_sense(
    channels: Sequence[bytes], patterns: Sequence[str | bytes], sharded: bool
) -> None:
    if not channels and not patterns:
        raise ValueError("nothing to subscribe to: give a channel or a pattern")
    if sharded and patterns:
        raise ValueError("sharded channels have no patterns: there is no such command")
    if sharded and len(set(map(slot_of, channels))) > 1:
        raise CrossSlotError(cross_slot(b"SSUBSCRIBE", channels))
