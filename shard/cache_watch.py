"""The watch: one look at every node each ``LOOK_INTERVAL_S``, for as long as the client lives.

A look is at once the proof of life that ends an ejection, the renewal of our notices, and the
reading of everybody's (``shard.policy.coherence`` says what follows from them). What a node owes is
paid here too: it is flushed before it is read again.
Cost: with three nodes 20 looks a second, some 0.4 % of a core.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from shard.cache_node import CacheNode
from shard.cache_observer import SILENT_CACHE, CacheObserver
from shard.cache_scripts import Call, flush_call, is_unknown_script, look_call, parse_board
from shard.connection import Connection
from shard.policy.attempt import Failure
from shard.policy.coherence import LOOK_INTERVAL_S, Coherence
from shard.resp import Answer, is_plain

FLUSH_TIMEOUT_S = 0.25  # five times a look's: it may have to free 32 MB


class _Look(NamedTuple):
    """A look on its way."""

    node: CacheNode
    connection: Connection
    call: Call
    began_s: float
    sent: "asyncio.Future[Answer]"


class Watch:
    """Looks at all nodes, again and again.

    Args:
        nodes: By name.
        coherence: Told what the looks show.
        look_timeout_s: For one look, seconds, > 0 and well below ``LEASE_S``.
        observer: Hears of flushes.
        on_round: Called after each round; quick.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        nodes: Mapping[str, CacheNode],
        coherence: Coherence,
        *,
        look_timeout_s: float,
        observer: CacheObserver = SILENT_CACHE,
        on_round: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._nodes = nodes
        self._coherence = coherence
        self._look_timeout_s = look_timeout_s
        self._observer = observer
        self._on_round = on_round
        self._clock = clock
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._round_end = asyncio.Event()
        self.round_count = 0

    @property
    def is_running(self) -> bool:
        """Whether looks go on."""
        return self._task is not None and not self._task.done()

    @property
    def gone(self) -> frozenset[str]:
        """The nodes that answer nobody any more."""
        return frozenset(name for name, node in self._nodes.items() if node.is_gone)

    async def start(self) -> None:
        """Look once, then go on in the background."""
        if self._task is None:
            await self._round()
            self._task = asyncio.get_running_loop().create_task(self._go_on())

    async def stop(self) -> None:
        """End the looks; who waits for a round is let go."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        self._round_end.set()

    def hurry(self) -> None:
        """Begin the next round now."""
        self._wake.set()

    async def wait_round(self) -> None:
        """Wait for the end of a round, no longer than one takes."""
        try:
            async with asyncio.timeout(LOOK_INTERVAL_S):
                await self._round_end.wait()
        except TimeoutError:
            return

    async def _go_on(self) -> None:
        while True:
            begun_s = self._clock()
            await self._round()
            ended, self._round_end = self._round_end, asyncio.Event()
            ended.set()
            try:
                async with asyncio.timeout(max(0.0, begun_s + LOOK_INTERVAL_S - self._clock())):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()

    async def _round(self) -> None:
        """Look at every node; at one that is gone as often as its ejection lets us.

        Looks on open connections leave together and need no task each: that halves their cost.
        """
        self.round_count += 1
        now_s = self._clock()
        due = [
            each
            for each in self._nodes.values()
            if not each.is_gone or each.ejection.may_probe(now_s)
        ]
        async with asyncio.TaskGroup() as group:
            sent: list[_Look] = []
            for node in due:
                if node.link.connection is None:
                    group.create_task(self._connect_and_look(node, group))
                else:
                    sent.append(self._send(node, node.link.connection))
            for look in sent:
                await self._take(look, group)
        self._on_round()

    async def _connect_and_look(self, node: CacheNode, group: asyncio.TaskGroup) -> None:
        until_s = self._clock() + self._look_timeout_s
        connection = await node.open(until_s)
        if connection is not None:
            await self._take(self._send(node, connection), group)
        elif self._clock() >= until_s:  # still at it; a refusal has been noted already
            node.on_unanswered_look()

    def _send(self, node: CacheNode, connection: Connection) -> _Look:
        began_s = self._clock()
        call = look_call(self._coherence.client, self._coherence.notices())
        sent = connection.send(call.by_digest(), began_s + self._look_timeout_s)
        return _Look(node, connection, call, began_s, sent)

    async def _take(self, look: _Look, group: asyncio.TaskGroup) -> None:
        node, connection = look.node, look.connection
        answer = await look.sent
        if is_unknown_script(answer):
            until_s = look.began_s + self._look_timeout_s
            answer = await connection.send(look.call.by_source(), until_s)
        board = parse_board(answer)
        if board is None:
            if answer is not Failure.FULL:  # our own bound, not the node's fault
                node.on_unanswered_look()
            return
        node.on_answer()
        self._coherence.on_look(node.name, look.began_s, self._clock(), board, self.gone)
        if self._coherence.is_owed(node.name):
            group.create_task(self._settle(node, connection))
        if node.is_statistics_due:
            until_s = self._clock() + self._look_timeout_s
            group.create_task(node.read_statistics(connection, until_s))

    async def _settle(self, node: CacheNode, connection: Connection) -> None:
        """Flush the node if we, or somebody who is gone, had a delete that it missed."""
        number = self._coherence.begin_flush(node.name)
        if number is not None:
            if await self._flush(node, connection, self._coherence.client, number):
                self._coherence.on_flushed(node.name, number)
            else:
                self._coherence.on_flush_failed(node.name)
                return
        for client, orphan in self._coherence.orphans(node.name, self._clock()):
            if not await self._flush(node, connection, client, orphan):
                return

    async def _flush(
        self, node: CacheNode, connection: Connection, client: str, number: int
    ) -> bool:
        until_s = self._clock() + FLUSH_TIMEOUT_S
        answer = await node.run(connection, flush_call(client, number), until_s)
        if answer == 1:
            self._observer.on_node(node.name, "flushed")
        return is_plain(answer)
