"""Deletes: at every candidate, or else the candidate is barred; no third way out.

Each delete runs in tasks of its own: once begun it is carried through, also when its caller is
cancelled, since the origin has changed already.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence

from shard.cache_node import CacheNode
from shard.cache_observer import SILENT_CACHE, CacheObserver
from shard.cache_placement import Placement
from shard.cache_watch import Watch
from shard.policy.coherence import Coherence

DELETE_TIMEOUT_S = 0.25  # then the node is barred, which empties it: so more patient than a get

DONE, BARRED, UNPROVEN = "done", "barred", "unproven"
_WORST_LAST = (DONE, BARRED, UNPROVEN)


class Deleter:
    """Carries the deletes of one client out.

    Args:
        placement: Names a key's candidates.
        nodes: By name.
        coherence: Says when a delete that missed a node may return.
        watch: Carries our notices.
        observer: Hears of nodes that were barred.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        placement: Placement,
        nodes: Mapping[str, CacheNode],
        coherence: Coherence,
        watch: Watch,
        *,
        observer: CacheObserver = SILENT_CACHE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._placement = placement
        self._nodes = nodes
        self._coherence = coherence
        self._watch = watch
        self._observer = observer
        self._clock = clock
        self._tasks: set[asyncio.Task[str]] = set()
        self.counts = dict.fromkeys(_WORST_LAST, 0)

    async def delete(self, keys: Sequence[str]) -> str:
        """Delete keys everywhere they can be; say how: done, barred or unproven."""
        by_node: dict[str, list[str]] = {}
        for key in dict.fromkeys(keys):
            for name in self._placement.candidates(key):
                by_node.setdefault(name, []).append(key)
        loop = asyncio.get_running_loop()
        tasks = {
            loop.create_task(self._delete_at(self._nodes[name], each))
            for name, each in by_node.items()
        }
        if not tasks:
            return DONE
        self._tasks |= tasks
        for task in tasks:
            task.add_done_callback(self._tasks.discard)
        await asyncio.wait(tasks)  # leaves them alone when this caller is cancelled
        results = [UNPROVEN if task.cancelled() else task.result() for task in tasks]
        return max(results, key=_WORST_LAST.index)

    async def close(self) -> None:
        """End what is under way."""
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _delete_at(self, node: CacheNode, keys: Sequence[str]) -> str:
        if await node.unlink(keys, self._clock() + DELETE_TIMEOUT_S):
            result = DONE
        else:
            result = await self._bar(node)
        self.counts[result] += 1
        return result

    async def _bar(self, node: CacheNode) -> str:
        """Bar a node that a delete didn't reach; return when nobody reads from it any more."""
        was_barred = self._coherence.is_barred(node.name)
        number = self._coherence.bar(node.name, self._clock(), self._watch.gone)
        if not was_barred:
            self._observer.on_node(node.name, "barred")
            self._watch.hurry()
        while not self._is_settled(node, number):
            if not self._watch.is_running or not self._coherence.can_settle(self._watch.gone):
                return UNPROVEN
            await self._watch.wait_round()
        return BARRED

    def _is_settled(self, node: CacheNode, number: int) -> bool:
        return self._coherence.is_settled(node.name, number, self._clock(), self._watch.gone)
