"""What clients notice while a fourth shard is added, and whether anything is lost.

Load comes at a fixed rate from this process, the mover is a process of its own: the command that a
person would give. The 30 s before and the move are compared in windows of a second. The mover is
killed twice with kill -9 and started again; the seconds in which the next one waits for the lease
of the killed one don't count. In the end every key must have the last value that was acknowledged.
Source: issue "shard", "Figures": moved over gained 1.0, throughput at least 0.8x, p99 at most 2x.
Not handled: nodes that die meanwhile: tests/shard/move/test_mover.py.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from time import monotonic

from bench.clients.cluster import NODES, own_cluster
from kit.errors import LabEnvironmentError
from resilience.errors import ServiceError
from shard.connection import Limits
from shard.move.node import Cluster
from shard.policy.topology import Address
from shard.store import Durability, StoreClient, WriteStatus

BEFORE_S = 30
RATE_S = 400  # drill reshard-live: 100 writes and 300 reads a second
WRITE_EVERY = 4
KEYS = 4000
KILL_AFTER_S = (8.0, 8.0)
MOVE_LIMIT_S = 300.0
AIMS = {"moved_over_gained": 1.0, "throughput": 0.8, "p99": 2.0, "lost": 0}
HEAD = ("figure", "aim", "measured", "verdict")
LEGEND = (
    "moved/gained: slots moved over slots the new shard ends with. Throughput and p99: 1 s windows "
    "in which slots moved over the 30 s before, medians. Lost: keys without their last "
    "acknowledged value. The mover was killed twice."
)


@dataclass(slots=True)
class Window:
    """A second.

    Args:
        took_ms: How long each operation took.
        is_moving: Whether slots moved all through it.
    """

    took_ms: list[float] = field(default_factory=list)
    is_moving: bool = False

    @property
    def p99_ms(self) -> float:
        """The 99th percentile, 0 when nothing happened."""
        return sorted(self.took_ms)[int(len(self.took_ms) * 0.99)] if self.took_ms else 0.0


@dataclass(frozen=True, slots=True)
class Done:
    """A run; times in windows of one second."""

    before: Sequence[Window]
    during: Sequence[Window]
    slots_moved: int
    slots_gained: int
    failed: int
    acknowledged: int
    lost: int
    kills: int

    @property
    def moved_over_gained(self) -> float:
        """1.0 is the least."""
        return self.slots_moved / max(1, self.slots_gained)

    @property
    def throughput(self) -> float:
        """During over before."""
        return _ops(self.during) / max(1.0, _ops(self.before))

    @property
    def p99(self) -> float:
        """During over before."""
        return _p99(self.during) / max(0.001, _p99(self.before))


class _Load:
    """Writes and reads at a fixed rate; a key is written every ten seconds."""

    def __init__(self, store: StoreClient) -> None:
        self._store = store
        self.windows: list[Window] = [Window()]
        self.is_moving = False
        self.last: dict[str, int] = {}
        self.unsure: set[str] = set()
        self.failed = self.acknowledged = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, is_over: asyncio.Event) -> None:
        """Go on until told; what is late is made up for."""
        began_s, number = monotonic(), 0
        while not is_over.is_set():
            due = int((monotonic() - began_s) * RATE_S)
            for each in range(number, due):
                work = self._read(each) if each % WRITE_EVERY else self._write(each)
                task = asyncio.create_task(work)
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            number = due
            await asyncio.sleep(0.005)
        await asyncio.gather(*self._tasks)

    async def _write(self, number: int) -> None:
        key, began_s = f"move:{number % KEYS}", monotonic()
        done = await self._store.write("SET", key, number, durability=Durability.REPLICATED)
        if done.status is WriteStatus.ACKNOWLEDGED:
            self.acknowledged += 1
            self.last[key] = max(number, self.last.get(key, 0))
            self.windows[-1].took_ms.append((monotonic() - began_s) * 1e3)
        else:
            self.failed += 1
            self.unsure.add(key)

    async def _read(self, number: int) -> None:
        began_s = monotonic()
        try:
            await self._store.read("GET", f"move:{number * 7919 % KEYS}")
        except ServiceError:
            self.failed += 1
        else:
            self.windows[-1].took_ms.append((monotonic() - began_s) * 1e3)

    async def tick(self) -> None:
        """Begin a window each second."""
        while True:
            began_moving = self.is_moving
            await asyncio.sleep(1.0)
            self.windows[-1].is_moving = began_moving and self.is_moving
            self.windows.append(Window())

    async def lost(self) -> int:
        """Count the keys that lack their last acknowledged value."""
        keys = [key for key in self.last if key not in self.unsure]
        found = [await self._store.read("GET", key) for key in keys]
        return sum(value != b"%d" % self.last[key] for key, value in zip(keys, found, strict=True))


async def measure(port: int, report: Callable[[str], None]) -> Done:
    """Run the whole of it on a cluster of its own.

    Raises:
        LabEnvironmentError: It can't be started, or the mover fails.
    """
    report("starting a cluster of six nodes, and two more")
    async with own_cluster(port, fresh=2) as nodes:
        store = StoreClient(nodes[:NODES], limits=Limits(reply_timeout_s=2.0))
        await store.connect()
        try:
            return await _measure(store, nodes, report)
        finally:
            await store.close()


async def _measure(
    store: StoreClient, nodes: Sequence[Address], report: Callable[[str], None]
) -> Done:
    load, is_over = _Load(store), asyncio.Event()
    running = asyncio.create_task(load.run(is_over))
    ticking = asyncio.create_task(load.tick())
    report(f"{RATE_S} operations a second, {BEFORE_S} s before the move")
    await asyncio.sleep(BEFORE_S)
    before = len(load.windows)
    old = await _owners(nodes)
    kills = await _move(nodes, load, report)
    during = [each for each in load.windows[before:] if each.is_moving]
    is_over.set()
    await running
    ticking.cancel()
    new = await _owners(nodes)
    return Done(
        load.windows[1 : before - 1],
        during,
        sum(new[slot] != owner for slot, owner in old.items()),
        sum(owner == nodes[NODES] for owner in new.values()),
        load.failed,
        load.acknowledged,
        await load.lost(),
        kills,
    )


async def _owners(nodes: Sequence[Address]) -> dict[int, Address]:
    """Ask the nodes themselves who owns which slot."""
    cluster = Cluster(nodes[:NODES])
    states = await cluster.look()
    cluster.close()
    return {slot: state.address for state in states for slot in state.row.slots}


async def _move(nodes: Sequence[Address], load: _Load, report: Callable[[str], None]) -> int:
    """Add the shard; return how often the mover was killed before it ended by itself.

    A mover that follows a killed one first waits until that one's lease has ended: slots move from
    the first word of its bar on.
    """
    for number, after_s in enumerate((*KILL_AFTER_S, MOVE_LIMIT_S)):
        report(
            "the mover runs" if number == 0 else f"the mover was killed ({number}); it runs again"
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "squall.main", "shard", "add", *map(str, nodes[NODES:]), "--yes",
            "--seeds", ",".join(map(str, nodes[:NODES])),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stderr is not None
        said = b""
        try:
            async with asyncio.timeout(after_s):
                async for line in process.stderr:
                    load.is_moving = load.is_moving or b" slots, " in line
                    said = line
                await process.wait()
        except TimeoutError:
            load.is_moving = False
            os.kill(process.pid, signal.SIGKILL)
            await process.wait()
            continue
        if process.returncode:
            raise LabEnvironmentError(f"the mover failed: {said.decode().strip()[-300:]}")
        load.is_moving = False
        return number
    raise LabEnvironmentError(f"the mover isn't done after {MOVE_LIMIT_S:.0f} s")


def rows(done: Done) -> list[tuple[str, ...]]:
    """Lay the figures out."""
    word = _words(done)
    before, during = done.before, done.during
    return [
        ("moved/gained", "1.0", f"{done.moved_over_gained:.2f}", word["moved_over_gained"]),
        (
            "throughput",
            "at least 0.8x",
            f"{done.throughput:.2f}x ({_ops(before):.0f} to {_ops(during):.0f}/s)",
            word["throughput"],
        ),
        (
            "p99",
            "at most 2x",
            f"{done.p99:.2f}x ({_p99(before):.1f} to {_p99(during):.1f} ms)",
            word["p99"],
        ),
        ("lost", "0", f"{done.lost} of {done.acknowledged} writes", word["lost"]),
    ]


def as_json(done: Done) -> dict[str, object]:
    """Shape the figures for JSON."""
    return {
        "moved_over_gained": round(done.moved_over_gained, 3),
        "slots_moved": done.slots_moved,
        "throughput_ratio": round(done.throughput, 3),
        "p99_ratio": round(done.p99, 3),
        "p99_before_ms": round(_p99(done.before), 2),
        "p99_during_ms": round(_p99(done.during), 2),
        "seconds": len(done.during),
        "failed": done.failed,
        "acknowledged": done.acknowledged,
        "lost": done.lost,
        "mover_kills": done.kills,
        "verdicts": _words(done),
    }


def verdicts(done: Done) -> set[str]:
    """Name the verdicts that came out."""
    return set(_words(done).values())


def _words(done: Done) -> dict[str, str]:
    held = {
        "moved_over_gained": done.slots_gained > 0 and done.moved_over_gained == 1.0,
        "throughput": done.throughput >= AIMS["throughput"],
        "p99": done.p99 <= AIMS["p99"],
        "lost": done.lost == 0 and done.acknowledged > 0,
    }
    return {name: "held" if is_held else "missed" for name, is_held in held.items()}


def _ops(windows: Sequence[Window]) -> float:
    return median([len(each.took_ms) for each in windows] or [0])


def _p99(windows: Sequence[Window]) -> float:
    return median([each.p99_ms for each in windows] or [0.0])
