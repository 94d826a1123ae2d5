"""Lets the store grow by its spare nodes under an arm's load, kills the mover, and takes it back.

The mover is what a person would start, ``squall shard add``; one that is killed is followed by
another, which goes on. What moved is what the nodes say at the end of the fault phase, against what
they said before. Then the store gets its old number of shards again: at once, while the load goes
on, so that the next arm meets the store that this one met. With the policy ``slot_map`` on the
algorithm is slot-map, else modulo.
Source: drills.md, row 21.
Not handled: an engine that is killed with -9 meanwhile: its mover dies with it, slots stay where
they are (``squall shard cancel``, ``squall shard remove store-7``), and the next run says so.
"""

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence

from chaos.drill.arms import Arm
from chaos.drill.loadgen import LoadProcess
from chaos.drill.mover import MoverProcess
from chaos.drill.notes import Notes
from chaos.drill.readings import Grown
from chaos.drill.schema import FAULT, Growth
from chaos.drill.shard_role import StoreNode, digits
from kit.errors import LabEnvironmentError, LabError
from resilience.policy.contract import Mode
from shard.move.node import Cluster, NodeTrouble
from shard.policy.survey import NodeState
from shard.policy.topology import Address

SLOT_MAP, MODULO = "slot-map", "modulo"
BACK_LIMIT_S = 60.0  # a lease of 5 s, then 4,096 slots and more: some 10 s on an idle machine


class Growing:
    """The growth of one arm.

    Args:
        growth: What the drill asks for; None for nothing.
        arm: Says when the fault phase is, and by which algorithm.
        nodes: Of the store, spare ones included.
    """

    def __init__(self, growth: Growth | None, arm: Arm, nodes: Sequence[StoreNode]) -> None:
        self._growth = growth
        self._arm = arm
        self._addresses = [Address(digits(node.host), node.port) for node in nodes]
        self._members: Sequence[Address] = ()
        self._spares: Sequence[Address] = ()
        self._undoing: asyncio.Task[None] | None = None

    async def run(self, load: LoadProcess, notes: Notes) -> None:
        """Grow in the fault phase, count at its end, and begin to take it back.

        Raises:
            LabEnvironmentError: Nodes don't answer, none is spare, or a mover failed.
        """
        if self._growth is None:
            return
        window = self._arm.windows[FAULT]
        await load.sleep_until(window.from_s)
        before = await look(self._addresses)
        self._members, self._spares = parted(self._addresses, before)
        kills = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(window.to_s - load.at_s):
                for after_s in (*self._growth.kills_after_s, None):
                    kills += await self._mover("add", *map(str, self._spares)).run(after_s)
        after = await look(self._addresses)
        notes.grown = grown(before, after, self._spares[0], kills)
        self._undoing = asyncio.create_task(self._take_back())

    async def undo(self) -> None:
        """Give the store its old number of shards; nothing to do where it never grew.

        Raises:
            LabEnvironmentError: It hasn't got it within a minute; says what to do.
        """
        if self._spares and self._undoing is None:
            self._undoing = asyncio.create_task(self._take_back())
        if self._undoing is not None:
            await self._undoing

    async def _take_back(self) -> None:
        """End the move that may be under way, then have the spare nodes leave.

        A mover that was killed holds its lease for 5 s, and who comes meanwhile is put off: so it
        is tried until the nodes have left.
        """
        limit_s = time.monotonic() + BACK_LIMIT_S
        trouble: LabError | None = None
        while time.monotonic() < limit_s:
            members = {state.address for state in await look(self._addresses)}
            if not members & set(self._spares):
                return
            for words in (("cancel",), ("remove", str(self._spares[0]))):
                try:
                    await self._mover(*words).run()
                except LabEnvironmentError as error:  # of cancel: there was nothing to cancel
                    trouble = error
        raise LabEnvironmentError(
            f"the store still has its fourth shard: squall shard cancel, then squall shard remove "
            f"store-7 ({trouble})"
        )

    def _mover(self, *words: str) -> MoverProcess:
        assert self._growth is not None
        if words[0] == "cancel":
            return MoverProcess(words, self._members)
        is_slot_map = words[0] == "remove" or self._arm.policies.get("slot_map") is Mode.ON
        options = (
            "--yes", "--algorithm", SLOT_MAP if is_slot_map else MODULO,
            "--slot-rate", f"{self._growth.slots_per_s:g}",
        )  # fmt: skip
        return MoverProcess([*words, *options], self._members)


async def look(addresses: Sequence[Address]) -> list[NodeState]:
    """Return what the nodes that belong to the store say.

    Raises:
        LabEnvironmentError: None of them answers.
    """
    cluster = Cluster(addresses)
    try:
        return await cluster.look()
    except NodeTrouble as error:
        raise LabEnvironmentError(f"the store's nodes don't answer from here: {error}") from error
    finally:
        cluster.close()


def parted(
    addresses: Sequence[Address], states: Sequence[NodeState]
) -> tuple[Sequence[Address], Sequence[Address]]:
    """Return who belongs to the store, and two who don't.

    Raises:
        LabEnvironmentError: There aren't two.
    """
    known = {state.address for state in states}
    members = [each for each in addresses if each in known]
    spares = [each for each in addresses if each not in known]
    if len(spares) != 2:
        raise LabEnvironmentError(
            f"the store has {len(spares)} nodes to spare, and growing needs two: "
            "squall shard remove store-7"
        )
    return members, spares


def grown(
    before: Sequence[NodeState], after: Sequence[NodeState], newcomer: Address, kills: int
) -> Grown:
    """Count what moved, by two looks at the nodes."""
    was, now = owners(before), owners(after)
    moved = sum(1 for slot, owner in now.items() if was.get(slot) != owner)
    return Grown(moved, sum(1 for owner in now.values() if owner == newcomer), kills)


def owners(states: Sequence[NodeState]) -> Mapping[int, Address]:
    """Return each slot's primary, by the nodes' own words."""
    return {slot: state.address for state in states for slot in state.row.slots}
