"""Breaks one node of a store of one's own at a time, declares it, and proves that it bit.

The next fault waits until the cluster is whole and the hit shard acknowledges REPLICATED writes
again: the promise covers no more ("that shard's second node fails only after WAIT has returned 1
again").
"""

import asyncio
import time
from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from chaos.store.own import REJOIN_DELAY_S, OwnStore
from hashing.slots import slot_of
from kit.errors import LabEnvironmentError
from shard.check.ending import role_of, slots_of
from shard.check.events import Slots
from shard.check.recorder import Recorder
from shard.store import Durability, StoreClient, WriteStatus

KINDS = ("kill", "pause", "cut")
PRIMARY, REPLICA = "primary", "replica"
BRIEF_S, LONG_S = 0.3, 3.0  # below the node timeout nothing fails over; above twice it, it must
WATCH_S = 0.05
REPLICATED_LIMIT_S = 30.0


class Planned(NamedTuple):
    """One fault to come: what, to which role of which shard (0 and on), for how long."""

    kind: str
    role: str
    shard: int
    seconds: float


class Pair(NamedTuple):
    """A shard's nodes by number, and what it owns."""

    primary: int
    replica: int
    slots: Slots

    def node(self, role: str) -> int:
        """Return who has a role."""
        return self.primary if role == PRIMARY else self.replica

    def partner(self, role: str) -> int:
        """Return the other one."""
        return self.replica if role == PRIMARY else self.primary


def plan_next(kinds: Sequence[str], shards: int, rng: Random, role: str | None = None) -> Planned:
    """Choose a fault by chance; a killed node stays down for as long as the lab's do."""
    kind = rng.choice(kinds)
    chosen = role or rng.choice((PRIMARY, REPLICA))
    seconds = REJOIN_DELAY_S if kind == "kill" else round(rng.uniform(BRIEF_S, LONG_S), 2)
    return Planned(kind, chosen, rng.randrange(shards), seconds)


async def pairs_of(own: OwnStore) -> list[Pair]:
    """Return the shards, each by the lower number of its two nodes.

    Raises:
        LabEnvironmentError: A node is silent, or a primary has no replica.
    """
    rows = [await role_of(address) for address in own.addresses]
    known = {row.node_id: number for number, row in enumerate(rows) if row is not None}
    found = [
        Pair(known[row.primary_id], number, slots_of(primary))
        for number, row in enumerate(rows)
        if row is not None and row.primary_id in known
        if (primary := rows[known[row.primary_id]]) is not None
    ]
    if 2 * len(found) != len(rows):
        raise LabEnvironmentError(f"{len(found)} of {len(rows) // 2} shards have both their nodes")
    return sorted(found, key=lambda pair: min(pair.primary, pair.replica))


class Injector:
    """Does one fault after another.

    Args:
        own: The store.
        store: A client, to see that writes are replicated again.
        recorder: Told of each fault.
    """

    def __init__(self, own: OwnStore, store: StoreClient, recorder: Recorder) -> None:
        self._own = own
        self._store = store
        self._recorder = recorder

    async def inject(self, planned: Planned, key: str) -> str:
        """Do a fault, take it back, wait until the store is whole; return what was seen.

        Args:
            planned: What to do.
            key: Of that shard; written to see that it replicates again.
        """
        pair = (await pairs_of(self._own))[planned.shard]
        node, partner = pair.node(planned.role), pair.partner(planned.role)
        name = str(self._own.addresses[node])
        number = self._recorder.fault(planned.kind, name, planned.role, pair.slots)
        seen = self._act(planned.kind, node)
        took_over_s = await self._watch(partner, planned)
        has_bit = self._still(planned.kind, node)
        if took_over_s is not None:
            seen += f"; {self._own.addresses[partner]} took over after {took_over_s:.1f} s"
        self._recorder.mended(number, has_bit=has_bit, proof=seen)
        await self._undo(planned.kind, node)
        await self._own.whole()
        await wait_replicated(self._store, key)
        return seen

    def _act(self, kind: str, node: int) -> str:
        if kind == "kill":
            self._own.kill(node)
            return "its process is dead"
        if kind == "pause":
            self._own.pause(node)
            return "its process is stopped"
        host = self._own.hosts[node]
        others = [each for each in self._own.hosts if each != host]
        return f"{self._own.wires.cut(host, others)} connections to other nodes are cut"

    async def _watch(self, partner: int, planned: Planned) -> float | None:
        """Let the fault act; return when the partner of a primary took over."""
        began_s = time.monotonic()
        took_over_s: float | None = None
        while (at_s := time.monotonic() - began_s) < planned.seconds:
            if planned.role == PRIMARY and took_over_s is None:
                row = await role_of(self._own.addresses[partner])
                took_over_s = at_s if row is not None and not row.is_replica else None
            await asyncio.sleep(min(WATCH_S, planned.seconds - at_s))
        return took_over_s

    def _still(self, kind: str, node: int) -> bool:
        """Whether it acted until now: nobody else brought the node back."""
        if kind == "cut":
            return self._own.wires.is_cut_off(self._own.hosts[node])
        return self._own.state(node) == {"kill": "dead", "pause": "stopped"}[kind]

    async def _undo(self, kind: str, node: int) -> None:
        if kind == "kill":
            await self._own.start(node)
        elif kind == "pause":
            self._own.resume(node)
        else:
            self._own.wires.heal()


async def wait_replicated(store: StoreClient, key: str) -> None:
    """Write until a replica has it.

    Raises:
        LabEnvironmentError: None has it within 30 s.
    """
    until_s = time.monotonic() + REPLICATED_LIMIT_S
    while time.monotonic() < until_s:
        done = await store.write("SET", key, "whole", durability=Durability.REPLICATED)
        if done.status is WriteStatus.ACKNOWLEDGED:
            return
        await asyncio.sleep(WATCH_S)
    raise LabEnvironmentError(f"no replicated write to {key} within {REPLICATED_LIMIT_S:g} s")


def key_in(slots: Slots, prefix: str) -> str:
    """Find a key whose slot is one of those."""
    numbers = iter(range(1_000_000))
    names = (f"{prefix}{number}" for number in numbers)
    return next(
        name
        for name in names
        if any(first <= slot_of(name.encode()) <= last for first, last in slots)
    )
