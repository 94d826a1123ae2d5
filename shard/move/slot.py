"""One slot's way from its owner to another, so that no acknowledged write is lost or comes back.

What the steps are is ``shard.policy.slot_move``; how they keep the promise:

- *Copy* while the source is asked alone: what lies on the target is seen by nobody, so it may be
  wrong until it is right. Proven on the target's replica by WAIT, before anything leaves.
- *Leave* in one write to the source: SETSLOT MIGRATING, then a script that deletes each key that is
  as it was copied and lets MIGRATE move each other one, the source standing still meanwhile. It
  runs in the turn in which SETSLOT takes effect, so nobody sees the slot half gone.
- *Hand over*, target first: with IMPORTING behind it the target takes an epoch of its own, without
  which an older heartbeat would take the slot back.

SETSLOT waits for the replicas of the node that gets it (valkey 8), so a failover keeps the marks.
It must never stand in a script or a transaction: valkey 8.1 ends with a crash (measured, 8.1.x).
Source: design, "Moving a slot must keep that promise"; valkey: CLUSTER SETSLOT, MIGRATE, WAIT.
Not handled: passwords and TLS between nodes; a target that is killed in the millisecond between
MIGRATE and WAIT loses what was written in the few before it; a key that is deleted in the few
milliseconds between its copy and LEAVE is seen on the target until it is deleted there, too; values
of some hundred megabytes (DUMP).
"""

from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha1
from uuid import uuid4

from hashing.slots import tag_of
from shard.move.node import NodeLink, NodeTrouble
from shard.policy.slot_move import Marks, Step, next_step, next_step_back
from shard.policy.survey import NodeState
from shard.resp import Argument

BATCH_KEYS = 200  # codis:config/dashboard.toml: 200 bulks a step
SETSLOT_TIMEOUT_MS = 1000  # the lab's node timeout: a replica that takes longer is failed over
WAIT_TIMEOUT_MS = 500
MIGRATE_TIMEOUT_MS = 500  # the source stands still so long at most, half a node timeout
ALL_KEYS = 1 << 30

# On the source, behind SETSLOT MIGRATING and only if that took effect: each key that is as it was
# copied is deleted, each other one moved by MIGRATE. Returns how many there were, and the places of
# those that had gone. Keys come as arguments: declared, one that is gone would be refused with ASK
# or TRYAGAIN. Just so it is seen that the slot migrates: a key that nobody has can't be asked for.
# (CLUSTER NODES says it, too, and takes 92 of the script's 105 microseconds.)
_LEAVE = """
local slot, nobodys, host, port, timeout = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
if type(redis.pcall('EXISTS', nobodys)) == 'number' then
  return redis.error_reply('NOTMIGRATING the slot has no mark')
end
local digests, gone = {}, {}
for i = 6, #ARGV, 2 do digests[ARGV[i]] = ARGV[i + 1] end
local keys = redis.call('CLUSTER','GETKEYSINSLOT',slot,1073741824)
for _, key in ipairs(keys) do
  local dump = redis.call('DUMP', key)
  if dump and redis.sha1hex(dump) == digests[key] then
    redis.call('UNLINK', key)
  elseif dump then
    redis.call('MIGRATE', host, port, key, 0, timeout, 'REPLACE')
  end
  digests[key] = nil
end
for i = 6, #ARGV, 2 do if digests[ARGV[i]] then gone[#gone + 1] = ARGV[i] end end
return {#keys, gone}
"""
# On the target: delete a key that the source no longer had, if it is as it was copied.
_DROP = """
local dump = redis.call('DUMP', KEYS[1])
if dump and redis.sha1hex(dump) == ARGV[1] then return redis.call('UNLINK', KEYS[1]) end
return 0
"""


class SlotMove:
    """One slot's move, step by step; after a trouble another one, with a fresh look.

    Args:
        slot: 0..16383.
        source: The primary that owns it.
        target: The primary that should; None of both may be the other.
        link_from: To the source; nobody else's, as long as this is under way.
        link_to: To the target, the same.
        pace: Awaited with the number of keys before they are copied.
    """

    def __init__(
        self,
        slot: int,
        source: NodeState,
        target: NodeState,
        link_from: NodeLink,
        link_to: NodeLink,
        pace: Callable[[int], Awaitable[None]],
    ) -> None:
        self.slot = slot
        self.keys_moved = 0
        self._source, self._target = source, target
        self._from, self._to = link_from, link_to
        self._pace = pace
        self._owned = slot in target.row.slots, slot in source.row.slots
        self._imports = target.importing.get(slot) == source.node_id
        self._migrates = slot in source.migrating
        self._copied: dict[bytes, bytes] | None = None

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
        copied = self._copied is not None
        return Marks(target_owns, self._imports, source_owns, self._migrates, copied, left)

    async def _open(self) -> None:
        await self._setslot(self._to, "IMPORTING", self._source)
        self._imports = True

    async def _copy(self) -> None:
        """Copy all keys, and drop what lies on the target and no longer on the source."""
        keys = await self._keys(self._from)
        there = set(await self._keys(self._to)) - set(keys)
        if there:
            await self._to.ask("DEL", *there, asking=True)
        copied: dict[bytes, bytes] = {}
        for batch in _batches(keys):
            await self._pace(len(batch))
            copied.update(await self._copy_batch(batch))
        await self._prove(self._to)
        await self._prove(self._from)  # that its replica is there to hear of the deletions
        self._copied = copied

    async def _copy_batch(self, batch: Sequence[bytes]) -> dict[bytes, bytes]:
        reads = [(name, key) for key in batch for name in ("DUMP", "PEXPIRETIME")]
        replies = await self._from.ask_all(reads)
        found: dict[bytes, bytes] = {}
        writes: list[tuple[Argument, ...]] = []
        for key, dump, expires_ms in zip(batch, replies[::2], replies[1::2], strict=True):
            if isinstance(dump, bytes) and isinstance(expires_ms, int):
                found[key] = dump
                until = (expires_ms, dump, "REPLACE", "ABSTTL") if expires_ms > 0 else None
                writes.append(("RESTORE-ASKING", key, *(until or (0, dump, "REPLACE"))))
        await self._to.ask_all(writes)
        return found

    async def _leave(self) -> None:
        """Let the source go, in one write: nobody sees the slot half gone."""
        copied, self._copied = self._copied or {}, None
        digests = {
            key: sha1(dump, usedforsecurity=False).hexdigest() for key, dump in copied.items()
        }
        arguments: list[Argument] = [part for pair in digests.items() for part in pair]
        nobodys = b"{%b}%b" % (tag_of(self.slot), uuid4().bytes)
        where = (self.slot, nobodys, *self._target.address, MIGRATE_TIMEOUT_MS)
        commands: list[tuple[Argument, ...]] = [("EVAL", _LEAVE, 0, *where, *arguments)]
        if not self._migrates:
            commands.insert(0, self._setslot_command("MIGRATING", self._target))
        reply = (await self._from.ask_all(commands))[-1]
        there, gone = reply if isinstance(reply, list) else (None, ())
        self._migrates = True
        self.keys_moved += len(copied)
        if gone:
            drops = [("EVAL", _DROP, 1, key, digests[key]) for key in gone]
            await self._to.ask_all(drops, asking=True)
        if there == 0 and not copied:
            return  # nothing has been written or deleted: nothing to prove
        await self._prove(self._to)
        await self._from.ask("WAIT", 1, WAIT_TIMEOUT_MS)  # going on is the safer way: see CLAIM

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
