"""One slot's way from its owner to another, so that no acknowledged write is lost or comes back.

What the steps are is ``shard.policy.slot_move``; how they keep the promise:

- *Copy* while the source is asked alone: what lies on the target is seen by nobody, so it may be
  wrong until it is right. Proven on the target's replica by WAIT, before anything leaves.
- *Leave* in one write to the source: SETSLOT MIGRATING, then a script (``shard.move.scripts``). It
  hands over each key that isn't as it was copied and waits until the target's replica has it
  (``shard.move.relay``), has the copies of keys that are gone deleted in the same way, and then
  deletes each key that is as it was copied. The source stands still meanwhile, and all that is in
  the turn in which SETSLOT takes effect: nobody sees the slot half gone.
- *Hand over*, target first: with IMPORTING behind it the target takes an epoch of its own, without
  which an older heartbeat would take the slot back.

SETSLOT waits for the replicas of the node that gets it (valkey 8), so a failover keeps the marks.
It must never stand in a script or a transaction: valkey 8.1 ends with a crash (measured, 8.1.x).
Source: design, "Moving a slot must keep that promise"; valkey: CLUSTER SETSLOT, MIGRATE, WAIT.
Not handled: passwords and TLS between nodes; values of some hundred megabytes (DUMP). Where the
source can't connect to the mover, its keys go to the target directly: what was written in the few
milliseconds between copy and leave is lost with a target that dies in the one after, and what was
deleted in them is seen on the target until it is deleted there, too.
"""

import contextlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from hashlib import sha1
from uuid import uuid4

from hashing.slots import tag_of
from shard.move.node import NodeLink, NodeTrouble
from shard.move.relay import USER, Parcel, Relay
from shard.move.scripts import DROP, LEAVE
from shard.policy.slot_move import Marks, Step, next_step, next_step_back
from shard.policy.survey import NodeState
from shard.resp import Argument

BATCH_KEYS = 200  # codis:config/dashboard.toml: 200 bulks a step
SETSLOT_TIMEOUT_MS = 1000  # the lab's node timeout: a replica that takes longer is failed over
WAIT_TIMEOUT_MS = 500
MIGRATE_TIMEOUT_MS = 500  # the source stands still so long at most, half a node timeout
CARRIER_TTL_MS = 60_000  # as long as a slot may be stuck; then it is nobody's any more
ALL_KEYS = 1 << 30
MOST_CHANGED = 5000  # of a slot, between copy and leave; Lua unpacks fewer than 8,000
NOTHING_LEFT = ("Target instance replied", "TOOMANY")  # valkey: migrateCommand; the script's word


@dataclass(frozen=True, slots=True)
class Copied:
    """What lies on the target since a slot was copied there.

    Args:
        digests: Of each key, the SHA-1 of its DUMP.
        carrier: The key that may be sent in place of those that are gone.
    """

    digests: Mapping[bytes, str]
    carrier: bytes = b""


class SlotMove:
    """One slot's move, step by step; after a trouble another one, with a fresh look.

    Args:
        slot: 0..16383.
        source: The primary that owns it.
        target: The primary that should; None of both may be the other.
        link_from: To the source; nobody else's, as long as this is under way.
        link_to: To the target, the same.
        pace: Awaited with the number of keys before they are copied.
        relay: Has what changed meanwhile confirmed by the target's replica.
        memory: What was copied, by slot; kept between attempts, since a leave that failed must know
            it when it is tried again.
    """

    def __init__(
        self,
        slot: int,
        source: NodeState,
        target: NodeState,
        link_from: NodeLink,
        link_to: NodeLink,
        pace: Callable[[int], Awaitable[None]],
        relay: Relay,
        memory: MutableMapping[int, Copied],
    ) -> None:
        self.slot = slot
        self.keys_moved = 0
        self._source, self._target = source, target
        self._from, self._to = link_from, link_to
        self._pace = pace
        self._owned = slot in target.row.slots, slot in source.row.slots
        self._imports = target.importing.get(slot) == source.node_id
        self._migrates = slot in source.migrating
        self._relay = relay
        self._memory = memory
        self._is_copied = False  # in this attempt

    async def next_step(self, *, back: bool = False) -> Step:
        """Say what is due: on to the end, or back where that is safe.

        Raises:
            NodeTrouble: The source doesn't say how many keys it has left.
        """
        return (next_step_back if back else next_step)(await self._marks())

    async def take(self, step: Step) -> None:
        """Do what is due.

        Raises:
            NodeTrouble: A node can't or won't; what has been done shows on the nodes.
        """
        await _ACTIONS[step](self)

    async def _marks(self) -> Marks:
        target_owns, source_owns = self._owned
        left = await self._count(self._from) if self._migrates else 0
        return Marks(target_owns, self._imports, source_owns, self._migrates, self._is_copied, left)

    async def _open(self) -> None:
        await self._setslot(self._to, "IMPORTING", self._source)
        self._imports = True

    async def _copy(self) -> None:
        """Copy all keys, and drop what lies on the target and no longer on the source."""
        self._memory.pop(self.slot, None)
        keys = await self._keys(self._from)
        there = set(await self._keys(self._to)) - set(keys)
        if there:
            await self._to.ask("DEL", *there, asking=True)
        digests: dict[bytes, str] = {}
        for batch in _batches(keys):
            await self._pace(len(batch))
            digests.update(await self._copy_batch(batch))
        await self._prove(self._to)
        await self._prove(self._from)  # that its replica is there to hear of the deletions
        self._memory[self.slot] = Copied(digests, self._new_key() if digests else b"")
        self._is_copied = True

    async def _copy_batch(self, batch: Sequence[bytes]) -> dict[bytes, str]:
        reads = [(name, key) for key in batch for name in ("DUMP", "PEXPIRETIME")]
        replies = await self._from.ask_all(reads)
        digests: dict[bytes, str] = {}
        writes: list[tuple[Argument, ...]] = []
        for key, dump, expires_ms in zip(batch, replies[::2], replies[1::2], strict=True):
            if isinstance(dump, bytes) and isinstance(expires_ms, int):
                digests[key] = sha1(dump, usedforsecurity=False).hexdigest()
                until = (expires_ms, dump, "REPLACE", "ABSTTL") if expires_ms > 0 else None
                writes.append(("RESTORE-ASKING", key, *(until or (0, dump, "REPLACE"))))
        await self._to.ask_all(writes)
        return digests

    async def _leave(self) -> None:
        """Let the source go, in one write: nobody sees the slot half gone."""
        copied = self._memory.get(self.slot, Copied({}))
        self._is_copied = False
        there, gone, is_proven = await self._let_go(copied)
        self._migrates = True
        self._memory.pop(self.slot, None)
        self.keys_moved += there
        if gone:
            keys = list(copied.digests)
            drops = [("EVAL", DROP, 1, keys[place], copied.digests[keys[place]]) for place in gone]
            await self._to.ask_all(drops, asking=True)
        if not there and not copied.digests:
            return  # nothing has been written or deleted: nothing to prove
        if not is_proven:
            await self._prove(self._to)
        await self._from.ask("WAIT", 1, WAIT_TIMEOUT_MS)  # going on is the safer way: see CLAIM

    async def _let_go(self, copied: Copied) -> tuple[int, Sequence[int], bool]:
        """Send the source what makes it let go.

        Returns:
            How many keys it had, the places of copies to drop, whether all is on a replica, too.
        """
        source = self._source.address
        if not self._relay.reaches(source):
            return await self._send_leave(copied, ("", 0, "", ""))
        where = await self._relay.address(await self._from.own_host())
        parcel = Parcel(self._to, copied.carrier, copied.digests)
        with self._relay.expecting(parcel) as word:
            try:
                went = await self._send_leave(copied, (*where, USER, word), copied.carrier)
            except NodeTrouble as error:
                if not self._migrates and any(words in str(error) for words in NOTHING_LEFT):
                    await self._take_back_mark(copied.carrier)
                raise
        if not went[2] and not parcel.has_come:
            self._relay.set_unreached(source)
        return went

    async def _send_leave(
        self, copied: Copied, relay: Sequence[Argument], carrier: bytes = b""
    ) -> tuple[int, Sequence[int], bool]:
        commands: list[tuple[Argument, ...]] = []
        if not self._migrates:
            if carrier:
                commands.append(("SET", carrier, "", "PX", CARRIER_TTL_MS))
            commands.append(self._setslot_command("MIGRATING", self._target))
        most = MOST_CHANGED if copied.digests else BATCH_KEYS
        how = (self.slot, self._new_key(), carrier, most, MIGRATE_TIMEOUT_MS)
        copies = (part for pair in copied.digests.items() for part in pair)
        commands.append(("EVAL", LEAVE, 0, *how, *self._target.address, *relay, *copies))
        reply = (await self._from.ask_all(commands))[-1]
        if not isinstance(reply, list):
            raise NodeTrouble(f"{self._from.address} let go of slot {self.slot} with {reply!r}")
        there, gone, is_proven = reply
        return there, gone, bool(is_proven)

    async def _take_back_mark(self, carrier: bytes) -> None:
        """Let the source serve alone again: nothing has left, and it is copied anew.

        With the mark, a key that a client deletes there would be seen at the target as it was
        copied. Keys that were made at the target in the millisecond since are lost; but it had no
        replica in step, or wasn't there.
        """
        stable = ("CLUSTER", "SETSLOT", self.slot, "STABLE", "TIMEOUT", SETSLOT_TIMEOUT_MS)
        commands: list[tuple[Argument, ...]] = [stable]
        if carrier:
            commands.append(("UNLINK", carrier))
        with contextlib.suppress(NodeTrouble):  # it has gone, too: who comes next sees the mark
            await self._from.ask_all(commands)

    async def _claim(self) -> None:
        """Make it the target's; without a mark to clear it would take no epoch of its own."""
        await self._setslot(self._to, "NODE", self._target)
        self._owned, self._imports = (True, self._owned[1]), False

    async def _tell(self) -> None:
        await self._setslot(self._from, "NODE", self._target)
        self._owned, self._migrates = (True, False), False

    async def _clean(self) -> None:
        """Undo: nobody was ever sent to what lies on the target."""
        for batch in _batches(await self._keys(self._to)):
            await self._to.ask("DEL", *batch, asking=True)
        await self._to.ask("CLUSTER", "SETSLOT", self.slot, "STABLE")
        self._imports = False

    def _new_key(self) -> bytes:
        """Return a key of this slot that nobody has."""
        return b"{%b}squall:move:%b" % (tag_of(self.slot), uuid4().hex.encode())

    async def _prove(self, link: NodeLink) -> None:
        """Have a node's replica confirm all that went before on this connection.

        Raises:
            NodeTrouble: None did.
        """
        if await link.ask("WAIT", 1, WAIT_TIMEOUT_MS) == 0:
            raise NodeTrouble(
                f"{link.address} has no replica in step: a slot can't be moved safely"
            )

    async def _setslot(self, link: NodeLink, verb: str, node: NodeState) -> None:
        await link.ask(*self._setslot_command(verb, node))

    def _setslot_command(self, verb: str, node: NodeState) -> tuple[Argument, ...]:
        head = ("CLUSTER", "SETSLOT", self.slot, verb, node.node_id)
        return (*head, "TIMEOUT", SETSLOT_TIMEOUT_MS)

    async def _count(self, link: NodeLink) -> int:
        found = await link.ask("CLUSTER", "COUNTKEYSINSLOT", self.slot)
        return found if isinstance(found, int) else 0

    async def _keys(self, link: NodeLink) -> list[bytes]:
        found = await link.ask("CLUSTER", "GETKEYSINSLOT", self.slot, ALL_KEYS)
        return [key for key in found if isinstance(key, bytes)] if isinstance(found, list) else []


_ACTIONS = {
    Step.OPEN: SlotMove._open,
    Step.COPY: SlotMove._copy,
    Step.LEAVE: SlotMove._leave,
    Step.CLAIM: SlotMove._claim,
    Step.TELL: SlotMove._tell,
    Step.CLEAN: SlotMove._clean,
}


def _batches(keys: Sequence[bytes]) -> list[Sequence[bytes]]:
    return [keys[start : start + BATCH_KEYS] for start in range(0, len(keys), BATCH_KEYS)]
