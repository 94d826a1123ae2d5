"""Keep the belief about the topology fresh: one question at a time, not too often, to anyone alive.

Asked for by commands in trouble, never by a timer: an idle client learns what it missed from its
first MOVED or refused connection. Nodes are asked in random order, those connected first, so that a
node which is cut off from the others can't keep a client in its own past.
Not handled: weighing different answers against each other; the next trouble asks another node.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from random import Random

from shard.nodes import Nodes
from shard.observer import SILENT, StoreObserver
from shard.policy.topology import (
    NOWHERE,
    PLAIN_PORT,
    TLS_PORT,
    Address,
    Topology,
    parse_shards,
    parse_slots,
)
from shard.resp import ReplyError, is_plain, pack

MIN_INTERVAL_S = 0.1  # a failover takes 1 to 2 s: ten looks a second find its end soon enough
ASK_TIMEOUT_S = 0.3  # per node asked; the lab's checks allow as much

_SHARDS = pack(("CLUSTER", "SHARDS"))
_SLOTS = pack(("CLUSTER", "SLOTS"))


class TopologyKeeper:
    """The newest belief, and how to get a newer one.

    Args:
        seeds: Asked when nobody else answers, and kept for good.
        nodes: Links to ask over.
        rng: Order of asking.
        observer: Hears of new beliefs.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        seeds: Sequence[Address],
        nodes: Nodes,
        rng: Random,
        *,
        observer: StoreObserver = SILENT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.topology = NOWHERE
        self.rebuff: str | None = None  # the error by which the node asked last sent us away
        self.refresh_count = 0
        self.moved_count = 0
        self._seeds = tuple(seeds)
        self._nodes = nodes
        self._rng = rng
        self._observer = observer
        self._clock = clock
        self._asking: asyncio.Task[None] | None = None
        self._next_s = 0.0

    def on_moved(self, slot: int, owner: Address) -> None:
        """Correct one slot."""
        self.moved_count += 1
        self.topology = self.topology.with_moved(slot, owner)

    async def refresh(self, timeout_s: float) -> None:
        """Ask for the topology, joining a question under way; nothing when one ended just now.

        Returns when it is answered or the time is up, and raises for neither.
        """
        self.refresh_soon()
        if self._asking is not None:
            await asyncio.wait([self._asking], timeout=timeout_s)

    def refresh_soon(self) -> None:
        """Begin to ask, unless somebody is asking or has asked just now; waits for nothing."""
        if self._asking is None and self._clock() >= self._next_s:
            self._asking = asyncio.get_running_loop().create_task(self._ask_around())

    async def close(self) -> None:
        """Stop asking."""
        asking = self._asking
        if asking is not None:
            asking.cancel()
            await asyncio.wait([asking])

    async def _ask_around(self) -> None:
        try:
            for address in self._candidates():
                topology = await self._ask(address)
                if topology is not None and topology.primaries:
                    self.topology = topology
                    self.refresh_count += 1
                    self._observer.on_topology(topology)
                    await self._nodes.retain(topology.nodes | set(self._seeds))
                    return
        finally:
            self._asking = None
            self._next_s = self._clock() + MIN_INTERVAL_S

    def _candidates(self) -> list[Address]:
        connected = set(self._nodes.connected())
        known = sorted(self.topology.nodes | set(self._seeds))
        self._rng.shuffle(known)
        return sorted(known, key=lambda address: address not in connected)

    async def _ask(self, address: Address) -> Topology | None:
        link = self._nodes.plain(address)
        connection = await link.open()
        self.rebuff = None if link.rebuff is None else f"{address}: {link.rebuff}"
        if connection is None:
            return None
        deadline_s = self._clock() + ASK_TIMEOUT_S
        answer = await connection.send(_SHARDS, deadline_s)
        port = PLAIN_PORT if self._nodes.greeting.tls is None else TLS_PORT
        parse = partial(parse_shards, port=port)
        if isinstance(answer, ReplyError) and answer.kind == "ERR":  # a server before 7
            answer = await connection.send(_SLOTS, deadline_s)
            parse = partial(parse_slots)
        if isinstance(answer, ReplyError):
            self.rebuff = f"{address}: {answer}"
        try:
            return parse(answer, address) if is_plain(answer) else None
        except ValueError:
            return None  # not a cluster node, or one of another world: ask the next
