"""Do what a fault of a host asks for, and undo it: on request, when its lease ends, at its end.

Why: a drill engine that is killed can't mend what it broke. The keeper outlives it, and writes down
what it is about to do before it does it, so that its own successor can undo it too.
Source: design.md, "One topology, two ways to run it"; drills.md R8.
Not handled: a keeper that dies and is followed by none (the next call of a driver starts one).

Actions on one instance are one after the other. ``stop`` and ``restart`` wait for a grace period
and so go on after `begin` has returned. Undoing a ``stop`` that still waits ends it with SIGKILL; a
``restart`` is never hastened: it drains, and starts again by itself.
"""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from chaos.drivers.host_fault import HostFault, HostProof, check_host_fault
from chaos.keeper.file import load_ledger, save_ledger
from chaos.keeper.hands import Hands
from chaos.keeper.ledger import Entry, Ledger
from chaos.keeper.look import Look
from kit.errors import ConfigError, LabEnvironmentError, LabError

END_LIMIT_S = 30.0  # twice the lab's grace period of 15 s (docker-compose.yml)
RETRY_AFTER_S = 1.0  # an undo that failed is tried again: the engine may be starting
MAX_LEASE_S = 86_400.0  # as long as a fault may last

MEASURED = frozenset({"cpu", "memory"})  # kinds whose proof is a figure
GRACEFUL = frozenset({"stop", "restart"})

# What touching an instance may raise: our own errors, the system's (a kill that isn't over in time
# among them), and an answer of the engine that can't be read. No undo is given up for any of them.
TROUBLE = (LabError, OSError, ValueError)


class Keeper:
    """Holds the undo list of one lab.

    Args:
        hands: Touches instances.
        path: The list on disk; its folder exists.
        clock: Seconds of a clock that all processes of the machine share.
    """

    def __init__(
        self, hands: Hands, path: Path, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._hands = hands
        self._path = path
        self._clock = clock
        self._ledger = Ledger()
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._graceful: dict[str, asyncio.Task[None]] = {}  # fault id -> stop or restart going on
        self._undoing: dict[str, asyncio.Task[None]] = {}
        self._has_changed = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Keeper {len(self._ledger.standing())} standing>"

    @property
    def is_idle(self) -> bool:
        """Whether nothing is left to undo."""
        return not self._ledger.standing() and not self._undoing

    def adopt(self) -> None:
        """Take over the list that an earlier keeper left; what is overdue is undone by `run`."""
        self._ledger = load_ledger(self._path)
        now_s = self._clock()
        for entry in self._ledger.standing():
            if entry.fault.kind == "restart":
                # Whoever waited for its end is gone: undoing it ends it for certain, and starts it.
                entry.lease_until_s = min(entry.lease_until_s, now_s)

    def forget_standing(self, note: str) -> None:
        """Take over a list whose instances are all new: nothing is left to undo."""
        self._ledger = load_ledger(self._path)
        for entry in self._ledger.standing():
            self._ledger.close(entry, self._clock(), note)
        self._save()

    async def run(self) -> None:
        """Undo what is due, until cancelled."""
        while True:
            self._has_changed.clear()
            for entry in self._ledger.due(self._clock()):
                self._start_undo(entry)
            due_s = self._ledger.next_due_s(besides=self._undoing)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(
                    self._has_changed.wait(),
                    None if due_s is None else max(0.0, due_s - self._clock()),
                )

    async def close(self, note: str) -> None:
        """Stop acting and write down that everything is over; whoever calls this ends it all."""
        tasks = [*self._graceful.values(), *self._undoing.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for entry in self._ledger.standing():
            self._ledger.close(entry, self._clock(), note)
        self._save()

    async def begin(self, fault: HostFault, lease_s: float) -> None:
        """See `chaos.drivers.contract.Driver.begin`."""
        check_host_fault(fault)
        if not 0.0 < lease_s <= MAX_LEASE_S:
            raise ConfigError(f"lease_s is {lease_s!r}: give more than 0 and up to {MAX_LEASE_S:g}")
        self._ledger.check_new(fault)
        instances = await self._hands.resolve(fault.target)
        looks = await self._look(instances, with_usage=fault.kind in MEASURED)
        entry = self._ledger.add(fault, looks, lease_s, self._clock())
        self._has_changed.set()
        try:
            self._save()
            await self._act(entry)
            await self._observe(entry)
            self._save(is_durable=False)
        except TROUBLE:
            await asyncio.wait({self._start_undo(entry)}, timeout=END_LIMIT_S)
            raise

    def renew(self, fault_ids: Sequence[str], lease_s: float) -> None:
        """See `chaos.drivers.contract.Driver.renew`."""
        self._ledger.renew(fault_ids, lease_s, self._clock())
        self._save(is_durable=False)

    async def end(self, fault_id: str) -> HostProof:
        """See `chaos.drivers.contract.Driver.end`."""
        entry = self._ledger.entries.get(fault_id)
        if entry is None:
            known = ", ".join(self._ledger.entries) or "none"
            raise ConfigError(f"no host fault of the last minutes has the id {fault_id!r}: {known}")
        if entry.over_s is None:
            _, late = await asyncio.wait({self._start_undo(entry)}, timeout=END_LIMIT_S)
            if late:
                raise LabEnvironmentError(
                    f"{entry.fault.describe()}: {entry.note or 'still ending'}"
                )
        return entry.proof(self._clock())

    async def end_all(self) -> None:
        """Undo everything that stands, for at most 30 s."""
        tasks = [self._start_undo(entry) for entry in self._ledger.standing()]
        if tasks:
            await asyncio.wait(tasks, timeout=END_LIMIT_S)

    async def proofs(self) -> list[HostProof]:
        """Look again at everything that acts, and return every proof."""
        for entry in self._ledger.standing():
            if entry.fault.id not in self._undoing:
                await self._observe(entry)
        return [entry.proof(self._clock()) for entry in self._ledger.entries.values()]

    async def _act(self, entry: Entry) -> None:
        if entry.fault.kind in GRACEFUL:
            task = asyncio.get_running_loop().create_task(self._end_gracefully(entry))
            self._graceful[entry.fault.id] = task
            return
        await asyncio.gather(*(self._act_on(entry, name) for name in entry.instances))

    async def _act_on(self, entry: Entry, instance: str) -> None:
        async with self._locks[instance]:
            wanted = self._ledger.wanted(instance)
            was = self._ledger.baselines[instance].limits
            match entry.fault.kind:
                case "kill":
                    await self._hands.kill(instance)
                case "pause":
                    await self._hands.pause(instance)
                case "cpu":
                    await self._hands.limit_cpu(instance, wanted.cores, was)
                case "memory":
                    await self._hands.limit_memory(instance, wanted.memory_mb, was)
                case "isolate":
                    await self._hands.isolate(instance, wanted.isolated_s)

    async def _end_gracefully(self, entry: Entry) -> None:
        """Stop each instance; a restart then undoes itself, which starts them again."""
        results = await asyncio.gather(
            *(self._stop(name) for name in entry.instances), return_exceptions=True
        )
        errors = [str(each) or type(each).__name__ for each in results if each is not None]
        entry.note = "; ".join(errors)
        with contextlib.suppress(*TROUBLE):
            if entry.fault.kind == "stop":
                await self._observe(entry)
        del self._graceful[entry.fault.id]
        if entry.fault.kind == "restart" and entry.over_s is None:
            self._start_undo(entry)

    async def _stop(self, instance: str) -> None:
        async with self._locks[instance]:
            await self._hands.stop(instance)

    def _start_undo(self, entry: Entry) -> "asyncio.Task[None]":
        """Begin to undo a fault unless that goes on already; returns the task that does it."""
        task = self._undoing.get(entry.fault.id)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._undo(entry))
            self._undoing[entry.fault.id] = task
        return task

    async def _undo(self, entry: Entry) -> None:
        """Undo until it works."""
        try:
            with contextlib.suppress(*TROUBLE):
                await self._observe(entry)
            while True:
                if await self._has_undone(entry):
                    break
                await asyncio.sleep(RETRY_AFTER_S)
            self._ledger.close(entry, self._clock(), entry.note)
            with contextlib.suppress(LabError):  # at worst a successor undoes it once more
                self._save()
        finally:
            self._undoing.pop(entry.fault.id, None)
            self._has_changed.set()

    async def _has_undone(self, entry: Entry) -> bool:
        """Try once; what stood in the way is the entry's note."""
        try:
            await self._wait_grace(entry)
            await asyncio.gather(*(self._settle(entry, name) for name in entry.instances))
            if entry.fault.kind == "restart":
                await self._observe(entry)
        except TROUBLE as error:
            entry.note = f"not undone yet: {str(error) or type(error).__name__}"
            return False
        entry.note = ""
        return True

    async def _wait_grace(self, entry: Entry) -> None:
        """Let a restart come to its end, and a stop at once; no lock, since the stop holds it."""
        if entry.fault.kind not in GRACEFUL:
            return
        task = self._graceful.get(entry.fault.id)
        if task is None or entry.fault.kind == "stop":
            await asyncio.gather(*(self._hands.kill(name) for name in entry.instances))
        if task is not None:
            await asyncio.wait({task})

    async def _settle(self, entry: Entry, instance: str) -> None:
        """Bring an instance to what it should be without this fault."""
        async with self._locks[instance]:
            if (await self._hands.look(instance, with_usage=False)).state == "gone":
                return
            wanted = self._ledger.wanted(instance, without=self._undoing)
            was = self._ledger.baselines[instance].limits
            match entry.fault.kind:
                case "cpu":
                    await self._hands.limit_cpu(instance, wanted.cores, was)
                case "memory":
                    await self._hands.limit_memory(instance, wanted.memory_mb, was)
                case "isolate":
                    await self._hands.isolate(instance, wanted.isolated_s)
                case "pause":
                    if not wanted.is_paused:
                        await self._hands.resume(instance)
                case _:
                    if wanted.is_up:
                        await self._hands.start(instance)
                    if wanted.is_paused:
                        await self._hands.pause(instance)

    async def _observe(self, entry: Entry) -> None:
        looks = await self._look(entry.instances, with_usage=entry.fault.kind in MEASURED)
        self._ledger.observe(entry, looks, self._clock())

    async def _look(self, instances: Sequence[str], *, with_usage: bool) -> dict[str, Look]:
        looks = await asyncio.gather(
            *(self._hands.look(name, with_usage=with_usage) for name in instances)
        )
        return dict(zip(instances, looks, strict=True))

    def _save(self, *, is_durable: bool = True) -> None:
        save_ledger(self._path, self._ledger, is_durable=is_durable)
