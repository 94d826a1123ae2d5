"""Clients whose every step can be judged: registers, sets and counters, written and read.

Each register, set and counter has one writer that waits for its answer, so that the order of its
writes is known. Readers have a client of their own: they go by what they believe of the cluster,
not by what the writers have just learned.
A register's write never lowers it: an UNKNOWN one may be executed late, when a paused node goes on.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from resilience.errors import ServiceError
from shard.check.events import Op
from shard.check.recorder import Recorder
from shard.result import WriteResult
from shard.store import Durability, Script, StoreClient, WriteStatus

RAISE = Script(
    "local was = tonumber(redis.call('GET', KEYS[1]) or 0) "
    "if was < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1]) end return ARGV[1]"
)
OUTCOMES = {
    WriteStatus.ACKNOWLEDGED: "ok",
    WriteStatus.REFUSED: "refused",
    WriteStatus.UNKNOWN: "unknown",
}
PACE_S = 0.01  # between two operations of one client: a check measures no speed
PROBE_PACE_S = 0.02
READERS = 6


@dataclass(frozen=True, slots=True)
class Keys:
    """What is written.

    Args:
        registers: One writer each.
        sets: The same.
        counters: The same.
        probes: Written LOCAL, one a shard.
    """

    registers: Sequence[str]
    sets: Sequence[str]
    counters: Sequence[str]
    probes: Sequence[str] = ()

    @property
    def judged(self) -> Sequence[str]:
        """All but the probes."""
        return (*self.registers, *self.sets, *self.counters)


def make_keys(prefix: str, probes: Sequence[str] = ()) -> Keys:
    """Name the keys of a run: enough of each that every shard has some."""
    return Keys(
        [f"{prefix}register:{number}" for number in range(12)],
        [f"{prefix}set:{number}" for number in range(6)],
        [f"{prefix}counter:{number}" for number in range(6)],
        probes,
    )


class Workload:
    """Runs until stopped; a step that has begun is always finished and written down.

    Args:
        writer: Connected.
        reader: Connected; another client than the writer.
        recorder: Takes every step.
        durability: Of the judged writes.
        seed: Decides which register is read when.
        pace_s: Between two operations of one client.
    """

    def __init__(
        self,
        writer: StoreClient,
        reader: StoreClient,
        recorder: Recorder,
        durability: Durability,
        seed: int,
        pace_s: float = PACE_S,
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._recorder = recorder
        self._durability = durability
        self._seed = seed
        self._pace_s = pace_s
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, keys: Keys) -> None:
        """Let all clients begin."""
        for register in keys.registers:
            self._run(self._writes(Op.RAISE, register, self._raise))
        for key in keys.sets:
            self._run(self._writes(Op.ADD, key, self._add))
        for key in keys.counters:
            self._run(self._writes(Op.COUNT, key, self._count))
        for key in keys.probes:
            self._run(self._writes(Op.PROBE, key, self._probe, PROBE_PACE_S))
        for number in range(READERS if keys.registers else 0):
            self._run(self._reads(keys.registers, Random(self._seed + number)))

    async def stop(self) -> None:
        """End when every client has had its last answer."""
        self._stopping.set()
        await asyncio.gather(*self._tasks)

    def _run(self, client: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(client))

    async def _writes(
        self,
        op: Op,
        key: str,
        write: Callable[[str, int], Coroutine[Any, Any, WriteResult]],
        pace_s: float | None = None,
    ) -> None:
        value = 0
        while not self._stopping.is_set():
            value += 1
            number = self._recorder.invoke(op, key, value)
            done = await write(key, value)
            self._recorder.end(number, OUTCOMES[done.status], done.reason)
            await asyncio.sleep(self._pace_s if pace_s is None else pace_s)

    async def _reads(self, registers: Sequence[str], rng: Random) -> None:
        while not self._stopping.is_set():
            key = rng.choice(registers)
            number = self._recorder.invoke(Op.READ, key)
            try:
                reply = await self._reader.read("GET", key)
                self._recorder.found(number, number_in(reply))
            except ServiceError as error:
                self._recorder.end(number, "refused", error.reason)
            await asyncio.sleep(self._pace_s)

    async def _raise(self, key: str, value: int) -> WriteResult:
        return await self._writer.eval(RAISE, [key], [value], durability=self._durability)

    async def _add(self, key: str, value: int) -> WriteResult:
        return await self._writer.write("SADD", key, value, durability=self._durability)

    async def _count(self, key: str, value: int) -> WriteResult:
        return await self._writer.write("INCR", key, durability=self._durability)

    async def _probe(self, key: str, value: int) -> WriteResult:
        return await self._writer.write("SET", key, value)


def number_in(reply: object) -> int | None:
    """Read a number that a node holds; None for an absent key.

    Raises:
        ValueError: Somebody else wrote there.
    """
    return int(reply) if isinstance(reply, bytes | int) else None
