"""Carries a plan out, slot by slot, through failovers; or takes it back.

Before each slot it knows who is which shard's primary, since every trouble is followed by a fresh
look. A slot whose nodes can't go on is tried again for a while; then the mover gives up with what
stood in the way, and the same command goes on later from there.
"""

import asyncio
import time
from collections.abc import Callable
from typing import NamedTuple

from shard.move.journal import Journal, Taken
from shard.move.node import Cluster, NodeLink, NodeTrouble
from shard.move.slot import SlotMove, Watcher
from shard.policy.assignment import Move
from shard.policy.plan import Plan
from shard.policy.slot_move import Step
from shard.policy.survey import NodeState

DEFAULT_RATE_KEYS_S = (
    5000.0  # codis:config/dashboard.toml moves 500 keys a step: ten steps a second
)
DEFAULT_PATIENCE_S = 60.0  # as long as forming the cluster may take (``shard.form``)
LOOK_AGAIN_S = 0.1


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
        rate_keys_s: Keys copied per second at most, > 0.
        patience_s: How long one slot may be stuck before this gives up.
        report: Told after each slot, and when something stands in the way.
        watcher: Told after each step of each slot; tests break something there.
    """

    def __init__(
        self,
        cluster: Cluster,
        journal: Journal,
        *,
        rate_keys_s: float = DEFAULT_RATE_KEYS_S,
        patience_s: float = DEFAULT_PATIENCE_S,
        report: Callable[[Progress], None] = lambda progress: None,
        watcher: Watcher = _no_watcher,
    ) -> None:
        self._cluster = cluster
        self._journal = journal
        self._rate_keys_s = rate_keys_s
        self._patience_s = patience_s
        self._report = report
        self._watcher = watcher
        self._states: dict[str, NodeState] = {}
        self._free_s = 0.0
        self._began_s = 0.0
        self._keys = 0

    async def run(self, plan: Plan) -> bool:
        """Carry a plan out; False when somebody cancelled it, and then it is taken back.

        Raises:
            NodeTrouble: A slot is stuck, or another mover has the lease.
        """
        self._began_s = time.monotonic()
        await self._look()
        for number, move in enumerate(plan.moves, start=1):
            if await self._journal.is_asked_to_stop():
                await self.back(plan)
                return False
            await self._through(plan, move, number - 1, back=False)
            self._report(self._progress(number, plan))
        await self._journal.end()
        return True

    async def back(self, plan: Plan) -> None:
        """Leave no slot half moved: what had left goes on to its end, what hadn't is undone.

        Raises:
            NodeTrouble: As ``run``.
        """
        self._began_s = self._began_s or time.monotonic()
        await self._look()
        for number, move in enumerate(plan.moves):
            if move.slot in self._open():
                await self._through(plan, move, number, back=True)
        await self._journal.end()

    async def _through(self, plan: Plan, move: Move, done: int, *, back: bool) -> None:
        """Move one slot, looking again after each trouble."""
        limit_s = time.monotonic() + self._patience_s
        while True:
            try:
                await self._journal.take()
                await self._once(plan, move, back=back)
                return
            except Taken:
                raise
            except NodeTrouble as error:
                if time.monotonic() > limit_s:
                    raise
                self._report(self._progress(done, plan, str(error)))
                await asyncio.sleep(LOOK_AGAIN_S)
                await self._look()

    async def _once(self, plan: Plan, move: Move, *, back: bool) -> None:
        target = self._primary(plan.members[move.target], move.target)
        source = self._holder(move.slot, target)
        if source is None:  # done, unless its shard doesn't answer
            if move.slot in target.row.slots:
                return
            raise NodeTrouble(f"slot {move.slot} has no owner that answers")
        one = SlotMove(move.slot, source, target, self._link, self._pace, self._watcher)
        try:
            await one.run(back=back)
        finally:
            self._keys += one.keys_moved

    def _primary(self, node_ids: tuple[str, ...], name: str) -> NodeState:
        """Find who of a shard is its primary now: after a failover the one with slots."""
        found = [
            state
            for state in self._states.values()
            if state.node_id in node_ids and not state.trouble and not state.row.is_replica
        ]
        if not found:
            raise NodeTrouble(f"shard {name[:8]} has no primary that answers")
        return max(found, key=lambda state: len(state.row.slots))

    def _holder(self, slot: int, target: NodeState) -> NodeState | None:
        """Find who else says that a slot is its own, or still has a mark on it."""
        others = [
            state
            for state in self._states.values()
            if state is not target and not state.row.is_replica and not state.trouble
        ]
        for state in others:
            if slot in state.row.slots or slot in state.migrating:
                return state
        return None

    def _open(self) -> set[int]:
        """Return the slots with a mark on any primary."""
        primaries = [state for state in self._states.values() if not state.row.is_replica]
        return {slot for state in primaries for slot in (*state.importing, *state.migrating)}

    async def _look(self) -> None:
        try:
            self._states = {state.node_id: state for state in await self._cluster.look()}
        except NodeTrouble:
            self._states = {}  # nobody answers: the next attempt says so

    def _link(self, state: NodeState) -> NodeLink:
        return self._cluster.link(state.address)

    async def _pace(self, keys: int) -> None:
        """Wait until so many keys may be copied."""
        now_s = time.monotonic()
        self._free_s = max(self._free_s, now_s) + keys / self._rate_keys_s
        if self._free_s - now_s > keys / self._rate_keys_s:
            await asyncio.sleep(self._free_s - now_s - keys / self._rate_keys_s)

    def _progress(self, slots: int, plan: Plan, waiting_for: str = "") -> Progress:
        seconds = time.monotonic() - self._began_s
        return Progress(slots, len(plan.moves), self._keys, seconds, waiting_for)
