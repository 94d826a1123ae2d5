"""Carries a plan out, some slots at a time, through failovers; or takes it back.

Before each group of slots it knows who is which shard's primary, since every trouble is followed by
a fresh look. A group whose nodes can't go on is tried again for a while; then the mover gives up
with what stood in the way, and the same command goes on later from there.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from typing import NamedTuple

from shard.move.claims import Claims
from shard.move.group import Watcher, move_together
from shard.move.journal import Journal, Taken
from shard.move.node import Cluster, NodeTrouble
from shard.move.pace import Pace, Rates
from shard.move.relay import Relay
from shard.move.slot import Copied, SlotMove
from shard.policy.assignment import Move
from shard.policy.holders import Holders
from shard.policy.plan import Plan, next_group
from shard.policy.slot_move import Step
from shard.policy.survey import NodeState

DEFAULT_RATES = Rates()
DEFAULT_PATIENCE_S = 60.0  # as long as forming the cluster may take (``shard.form``)
LOOK_AGAIN_S = 0.1
GROUP_KEYS = 1000  # what 0.2 s copy at that rate: what changes meanwhile, MIGRATE hands over


class Progress(NamedTuple):
    """How far it is.

    Args:
        slots: Done, those that were done before included.
        of_slots: In all.
        keys: Moved by this run.
        seconds: Since this run began.
        waiting_for: What stands in the way, "" when nothing.
    """

    slots: int
    of_slots: int
    keys: int
    seconds: float
    waiting_for: str = ""

    @property
    def left_s(self) -> float | None:
        """Estimated seconds to the end, by the pace so far."""
        if not self.slots:
            return None
        return self.seconds / self.slots * (self.of_slots - self.slots)


async def _no_watcher(step: Step, slot: int) -> None:
    """Watch nothing."""


class Mover:
    """Moves what a plan says.

    Args:
        cluster: To look at and to speak to.
        journal: Holds the lease, which this keeps.
        rates: How fast it may be.
        patience_s: How long one group of slots may be stuck before this gives up.
        report: Told after each group, and when something stands in the way.
        watcher: Told after each step of each slot; tests break something there.
    """

    def __init__(
        self,
        cluster: Cluster,
        journal: Journal,
        *,
        rates: Rates = DEFAULT_RATES,
        patience_s: float = DEFAULT_PATIENCE_S,
        report: Callable[[Progress], None] = lambda progress: None,
        watcher: Watcher = _no_watcher,
    ) -> None:
        self._cluster = cluster
        self._journal = journal
        self._keys_pace, self._slots_pace = Pace(rates.keys_s), Pace(rates.slots_s)
        self._patience_s = patience_s
        self._report = report
        self._watcher = watcher
        self._holders = Holders([])
        self._began_s = 0.0
        self._keys = 0
        self._relay = Relay()
        self._claims = Claims(cluster)
        self._copied: dict[int, Copied] = {}

    async def run(self, plan: Plan) -> bool:
        """Carry a plan out; False when somebody cancelled it, and then it is taken back.

        Raises:
            NodeTrouble: A slot is stuck, or another mover has the lease.
        """
        self._began_s = time.monotonic()
        await self._look()
        done = 0
        with closing(self._relay):
            while group := next_group(plan.moves, done):
                if await self._journal.is_asked_to_stop():
                    await self.back(plan)
                    return False
                done += await self._through(plan, group, done, back=False)
                self._report(self._progress(done, plan))
        await self._journal.end()
        return True

    async def back(self, plan: Plan) -> None:
        """Leave no slot half moved: what had left goes on to its end, what hadn't is undone.

        Raises:
            NodeTrouble: As ``run``.
        """
        self._began_s = self._began_s or time.monotonic()
        await self._look()
        is_open = self._holders.open_slots()
        left = [move for move in plan.moves if move.slot in is_open]
        settled, done = len(plan.moves) - len(left), 0
        with closing(self._relay):
            while group := next_group(left, done):
                done += await self._through(plan, group, settled + done, back=True)
        await self._journal.end()

    async def _through(self, plan: Plan, group: Sequence[Move], done: int, *, back: bool) -> int:
        """Move a group, or its first slots, looking again after each trouble; say how many."""
        limit_s = time.monotonic() + self._patience_s
        while True:
            try:
                await self._journal.take()
                return await self._once(plan, group, back=back)
            except Taken:
                raise
            except NodeTrouble as error:
                if time.monotonic() > limit_s:
                    raise
                self._report(self._progress(done, plan, str(error)))
                await asyncio.sleep(LOOK_AGAIN_S)
                await self._look()

    async def _once(self, plan: Plan, group: Sequence[Move], *, back: bool) -> int:
        name = group[0].target
        target = self._holders.primary(plan.members[name])
        if target is None:
            raise NodeTrouble(f"shard {name[:8]} has no primary that answers")
        sources = [self._holders.other_than(target, move.slot) for move in group]
        for move, source in zip(group, sources, strict=True):
            if source is None and move.slot not in target.row.slots:
                await self._claims.adopt(move.slot, self._holders, target)
        size = await self._size([(m.slot, s) for m, s in zip(group, sources, strict=True)])
        slots = [
            self._slot_move(move.slot, source, target, lane)
            for lane, (move, source) in enumerate(zip(group[:size], sources, strict=False), 1)
            if source is not None
        ]
        owners = [source for source in sources[:size] if source is not None]
        settle = partial(self._claims.settle, self._holders, target, owners)
        await self._slots_pace.wait(len(slots))
        try:
            await move_together(slots, settle, self._watcher, back=back)
        finally:
            self._keys += sum(one.keys_moved for one in slots)
        return size

    async def _size(self, slots: Sequence[tuple[int, NodeState | None]]) -> int:
        """Say how many of a group's slots have no more keys together than a group may."""
        counts = await asyncio.gather(*(self._count(slot, source) for slot, source in slots))
        keys = 0
        for size, count in enumerate(counts):
            keys += count
            if size and keys > GROUP_KEYS:
                return size
        return len(slots)

    async def _count(self, slot: int, source: NodeState | None) -> int:
        if source is None:
            return 0
        found = await self._cluster.link(source.address).ask("CLUSTER", "COUNTKEYSINSLOT", slot)
        return found if isinstance(found, int) else 0

    def _slot_move(self, slot: int, source: NodeState, target: NodeState, lane: int) -> SlotMove:
        link_from, link_to = (self._cluster.link(one.address, lane) for one in (source, target))
        return SlotMove(
            slot, source, target, link_from, link_to,
            self._keys_pace.wait, self._relay, self._copied,
        )  # fmt: skip

    async def _look(self) -> None:
        try:
            self._holders = Holders(await self._cluster.look())
        except NodeTrouble:
            self._holders = Holders([])  # nobody answers: the next attempt says so

    def _progress(self, slots: int, plan: Plan, waiting_for: str = "") -> Progress:
        seconds = time.monotonic() - self._began_s
        return Progress(slots, len(plan.moves), self._keys, seconds, waiting_for)
