"""One node of the cache: its connection, its ejection, its counts.

The first reply on a connection is the node's run id, a number that every start of the server
changes, and every key on that connection begins with it. A connection doesn't outlive the server it
was made to, so nothing from an earlier life is ever read, whatever a node brings back from a disk.
"""

import time
from collections.abc import Callable, Sequence
from random import Random

from shard.cache_observer import SILENT_CACHE, CacheObserver
from shard.cache_scripts import Call, is_unknown_script
from shard.connection import Connection, Limits
from shard.link import Dial, Link, directly
from shard.policy.attempt import Failure
from shard.policy.ejection import Ejection
from shard.policy.load import RecentLoad
from shard.policy.presence import Presence
from shard.policy.topology import Address
from shard.resp import Answer, is_plain, pack

RUN_CHARS = 12  # 48 of a run id's 160 bits: two lives of one node don't share them
STATISTICS_INTERVAL_S = 2.0

_INFO_SERVER = pack(("INFO", "server"))
_INFO_STATS = pack(("INFO", "stats"))


class CacheLink(Link):
    """A connection that knows which life of the node it leads to."""

    run = ""

    async def _greet(self, connection: Connection) -> bool:
        run = _field(await connection.send(_INFO_SERVER), b"run_id:")[:RUN_CHARS].decode()
        self.run = run or self.run
        return bool(run)  # -LOADING is no answer yet


class CacheNode:
    """A node as one client sees it.

    Args:
        name: Its place on the ring.
        address: Where it listens.
        limits: Of its connection.
        rng: Jitter of reconnects.
        dial: Says where to connect for the address; see ``redial``.
        observer: Hears of the connection and of ejections.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        name: str,
        address: Address,
        limits: Limits,
        rng: Random,
        *,
        dial: Dial = directly,
        observer: CacheObserver = SILENT_CACHE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.link = CacheLink(address, limits, rng, dial=dial, on_event=self._on_event, clock=clock)
        self.ejection = Ejection()
        self.presence = Presence()
        self.load = RecentLoad()
        self.hit_count = 0
        self.miss_count = 0
        self.failure_count = 0
        self.eviction_count = 0
        self._observer = observer
        self._clock = clock
        self._statistics_s = float("-inf")

    def __repr__(self) -> str:
        return f"<CacheNode {self.name} {'up' if self.is_up else 'ejected'}>"

    @property
    def is_up(self) -> bool:
        """Whether it may be used, as far as its own conduct goes."""
        return self.ejection.is_up

    @property
    def is_gone(self) -> bool:
        """Whether it answers nobody any more; a node may be ejected long before."""
        return self.presence.is_gone

    def entry(self, key: str) -> str:
        """Return the key as this life of the node knows it."""
        return f"{self.link.run}:{key}"

    async def open(self, until_s: float) -> Connection | None:
        """Return the connection, opened if need be; None when it can't be had by then."""
        connection = self.link.connection
        if connection is None:
            connection = await self.link.open(max(0.0, until_s - self._clock()))
        return connection

    def redial(self) -> None:
        """Take the way that ``dial`` says now; the old one's failures don't count against it."""
        self.link.redial()
        self.ejection.probe_now()

    async def run(self, connection: Connection, call: Call, until_s: float) -> Answer:
        """Run a script on a connection that ``open`` gave; it leaves in this turn of the loop."""
        answer = await connection.send(call.by_digest(), until_s)
        if is_unknown_script(answer):
            answer = await connection.send(call.by_source(), until_s)
        return answer

    async def unlink(self, keys: Sequence[str], until_s: float) -> bool:
        """Delete keys; tried again on a new connection while there is time. True: it is done."""
        while self.is_up and self._clock() < until_s:
            connection = await self.open(until_s)
            if connection is None:
                return False
            payload = pack(("UNLINK", *map(self.entry, keys)))
            answer = await connection.send(payload, until_s)
            self.judge(answer)
            if is_plain(answer):
                return True
            if answer not in (Failure.LOST, Failure.DOWN):
                return False
        return False

    def judge(self, answer: Answer) -> None:
        """Let an answer, or its absence, decide whether the node stays in use."""
        if is_plain(answer):
            self.on_answer()
        elif answer is not Failure.FULL:  # our own bound, not the node's fault
            self.on_silence()

    def on_answer(self) -> None:
        """Note that it answered."""
        self.presence.on_answer()
        if self.ejection.on_success(self._clock()):
            self._observer.on_node(self.name, "returned")

    def on_silence(self) -> None:
        """Note that it didn't answer, or not in time."""
        self.failure_count += 1
        if self.ejection.on_failure(self._clock()):
            self._observer.on_node(self.name, "ejected")

    def on_unanswered_look(self) -> None:
        """Note that a look was not answered."""
        self.on_silence()
        self.presence.on_silence(self._clock())

    @property
    def is_statistics_due(self) -> bool:
        """Whether it is time to ask how much was evicted."""
        return self._clock() - self._statistics_s >= STATISTICS_INTERVAL_S

    async def read_statistics(self, connection: Connection, until_s: float) -> None:
        """Ask how much was evicted."""
        self._statistics_s = self._clock()
        evicted = _field(await connection.send(_INFO_STATS, until_s), b"evicted_keys:")
        if evicted.isdigit():
            self.eviction_count = int(evicted)

    def _on_event(self, address: Address, event: str) -> None:
        self._observer.on_node(self.name, event)
        if event != "failed":
            return
        if self.link.was_refused:
            self.presence.on_refused()
        else:
            self.presence.on_silence(self._clock())
        if self.ejection.on_unreachable(self._clock()):
            self.failure_count += 1
            self._observer.on_node(self.name, "ejected")


def _field(answer: Answer, name: bytes) -> bytes:
    """Return a field of an INFO reply; b"" when it isn't there."""
    if not isinstance(answer, bytes):
        return b""
    for line in answer.splitlines():
        if line.startswith(name):
            return line[len(name) :].strip()
    return b""
