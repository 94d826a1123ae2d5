"""The watch: one look at every node each ``LOOK_INTERVAL_S``, for as long as the client lives.

A look is at once the proof of life that ends an ejection, the renewal of our notices, and the
reading of everybody's (``shard.policy.coherence`` says what follows from them). What a node owes is
paid here too: it is flushed before it is read again.
Cost: with three nodes 20 looks a second, some 0.2 % of a core.
"""

import asyncio
import time
from collections.abc import Callable, Mapping

from shard.cache_node import CacheNode
from shard.cache_observer import SILENT_CACHE, CacheObserver
from shard.cache_scripts import flush_call, look_call, parse_board
from shard.connection import Connection
from shard.policy.attempt import Failure
from shard.policy.coherence import LOOK_INTERVAL_S, Coherence
from shard.resp import is_plain

FLUSH_TIMEOUT_S = 0.25  # five times a look's: it may have to free 32 MB


class Watch:
    """Looks at all nodes, again and again.

    Args:
        nodes: By name.
        coherence: Told what the looks show.
        look_timeout_s: For one look, seconds, > 0 and well below ``LEASE_S``.
        observer: Hears of flushes.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        nodes: Mapping[str, CacheNode],
        coherence: Coherence,
        *,
        look_timeout_s: float,
        observer: CacheObserver = SILENT_CACHE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._nodes = nodes
        self._coherence = coherence
        self._look_timeout_s = look_timeout_s
        self._observer = observer
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
    def dead(self) -> frozenset[str]:
        """The nodes we hold for dead."""
        return frozenset(name for name, node in self._nodes.items() if not node.is_up)

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
        self.round_count += 1
        now_s = self._clock()
        async with asyncio.TaskGroup() as looks:
            for node in self._nodes.values():
                if node.is_up or node.ejection.may_probe(now_s):
                    looks.create_task(self._look(node))

    async def _look(self, node: CacheNode) -> None:
        until_s = self._clock() + self._look_timeout_s
        connection = await node.open(until_s)
        if connection is None:
            if self._clock() >= until_s:  # still at it; a refusal has been noted already
                node.on_silence()
            return
        began_s = self._clock()
        call = look_call(self._coherence.client, self._coherence.notices())
        answer = await node.run(connection, call, until_s)
        board = parse_board(answer)
        if board is None:
            node.judge(answer if not is_plain(answer) else Failure.LOST)
            return
        node.on_answer()
        self._coherence.on_look(node.name, began_s, self._clock(), board, self.dead)
        await self._settle(node, connection)
        await node.read_statistics(connection, self._clock() + self._look_timeout_s)

    async def _settle(self, node: CacheNode, connection: Connection) -> None:
        """Flush the node if we, or somebody who is gone, had a delete that it missed."""
        number = self._coherence.begin_flush(node.name)
        if number is not None:
            if await self._flush(node, connection, self._coherence.client, number):
                self._coherence.on_flushed(node.name, number)
            else:
                self._coherence.on_flush_failed(node.name, self._clock())
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
