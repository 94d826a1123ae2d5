"""Read-through: ask the cache, else the origin, and never give what is older than a write.

    look ▸ hit: answer
         ▸ miss: single-flight ▸ look again if others were at it ▸ origin ▸ fill ▸ answer

A write changes the origin first, then deletes from the cache, then answers. Two things could still
hand out what it replaced, and neither can here:

- *A fill that began before the write.* A miss comes with a token, a delete revokes it, and a fill
  with a revoked token is refused (``shard.cache``).
- *Sharing.* A reader who comes after the write must not get what another reader began to fetch
  before it. So flights are ``fresh``: it joins only what has not begun.

That holds between replicas too, since neither depends on which process wrote. A cache that is away,
slow or switched off costs its own short timeout at most; the reader goes to the origin, and is as
fresh there. What isn't there (None) is never kept: ids that nobody has would fill the cache with
nothing, and a thing made a moment ago would stay unseen. What fails isn't kept either.
Source: memcached leases (Nishtala et al., "Scaling Memcache at Facebook", NSDI 2013, 3.2.1).
Not handled: a writer that dies between its write and its delete was never answered, and leaves the
old value for a time to live at most; an origin that answers with old values itself (a primary that
was cut off does, for up to a second) has them kept as long; refreshing ahead of a value's end.
"""

import asyncio
import contextvars
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Generic, NamedTuple, Protocol, TypeVar

import msgspec

from resilience import context as request_context
from resilience.errors import ServiceError
from resilience.policy.contract import Mode, Snapshot
from resilience.single_flight import SingleFlight
from resilience.switches import Switches
from shard.cache import Hit, Miss

T = TypeVar("T")

log = logging.getLogger(__name__)

NAME = "cache"  # its switch, and what decisions are noted under

_COUNTS = (
    "hits", "local_hits", "stale_hits", "misses", "origin_reads", "fills", "fills_refused",
    "refreshes_failed", "deletes",
)  # fmt: skip


class Lookup(Enum):
    """What the cache had to do with an answer."""

    OFF = "off"
    HIT = "hit"
    MISS = "miss"
    LOCAL = "local"  # a hit, and no node was asked
    STALE = "stale"  # a hit past its time; somebody reads it anew


class Found(NamedTuple, Generic[T]):
    """A value and where it came from.

    Args:
        value: What was found.
        lookup: How.
        age_s: Of a hit: seconds since it was read at its origin.
        refresh: Of a stale hit: the right to fill it anew, if it is ours.
    """

    value: T
    lookup: Lookup
    age_s: float = 0.0
    refresh: Miss | None = None


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """How values of one kind are kept.

    Args:
        ttl_s: For how long, seconds; only what a lost delete leaves behind ever lives so long.
        stale_s: For how long after that it is given as stale while one reader fetches it anew,
            seconds; 0: not at all.
        encode: Makes its bytes.
        decode: Reads them back; raises ``msgspec.MsgspecError`` for what it doesn't understand.
    """

    ttl_s: float
    encode: Callable[[T], bytes]
    decode: Callable[[bytes], T]
    stale_s: float = 0.0


class Cache(Protocol):
    """What is asked of ``shard.cache.CacheClient``; no method raises for what happens to a node."""

    async def get(self, key: str, *, deadline_s: float | None = None) -> Hit | Miss:
        """Look one key up."""

    async def fill(
        self, miss: Miss, key: str, value: bytes, ttl_s: float, stale_s: float = 0.0
    ) -> bool:
        """Keep what was fetched after a miss; False when a delete came in between."""

    async def delete(self, *keys: str) -> None:
        """Forget these keys; after it no older fill is accepted. It survives its caller."""

    def snapshot(self) -> Mapping[str, object]:
        """Return its figures, and under ``nodes`` those of each node."""


class ReadThrough:
    """Read through a cache.

    Args:
        cache: Connected; None when there is none.
        switches: Asked for ``cache`` (in shadow it is asked and counted, and the origin answers)
            and ``single_flight``. Deletes are sent whatever ``cache`` says: others may read there.
        scope: What decisions are reported under, e.g. ``video.2``.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        cache: Cache | None,
        switches: Switches,
        *,
        scope: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.flights = SingleFlight(switches, scope=scope, clock=clock)
        self._cache = cache
        self._switches = switches
        self._clock = clock
        self._counts: dict[str, int] = {}
        self._refreshing: set[asyncio.Task[None]] = set()
        self.reset(0.0)

    async def get(
        self, key: str, kind: Kind[T], origin: Callable[[], Awaitable[T | None]]
    ) -> Found[T] | None:
        """Return a value, or None when its origin has none.

        Args:
            key: Its name in the cache.
            kind: How it is kept there.
            origin: Reads it at its origin; whatever it raises is raised here.
        """
        found = await self._look(key, kind)
        if isinstance(found, Found):
            if found.refresh is not None:
                self._refresh_behind(key, kind, origin, found.refresh)
            return found
        # Who had begun before us may have filled it: what we missed need not be missing any more.
        again = self.flights.is_under_way(key)
        load = partial(self._load, key, kind, origin, found, again)
        return await self.flights.do(key, load, fresh=True)

    async def forget(self, *keys: str) -> None:
        """Delete keys after a write; it is done even when the caller is cancelled meanwhile."""
        if self._cache is not None:
            self._counts["deletes"] += len(keys)
            await self._cache.delete(*keys)
            self._note("deleted", " ".join(keys))

    def snapshot(self) -> Snapshot:
        """Return the counts since the last reset, and the nodes' own: ``cache-1.hits``."""
        asked = self._counts["hits"] + self._counts["misses"]
        nodes = {} if self._cache is None else _by_node(self._cache.snapshot())
        return {
            **self._counts,
            "hit_ratio": round(self._counts["hits"] / asked, 4) if asked else 0.0,
            "ejections": sum(
                int(value) for name, value in nodes.items() if name.endswith(".ejections")
            ),
            **nodes,
        }

    def reset(self, now_s: float) -> None:
        """Zero the counts; what is kept stays."""
        self._counts = dict.fromkeys(_COUNTS, 0)

    async def close(self) -> None:
        """End what is under way."""
        for task in self._refreshing:
            task.cancel()
        await asyncio.gather(*self._refreshing, return_exceptions=True)
        await self.flights.close()

    async def _look(self, key: str, kind: Kind[T]) -> Found[T] | Miss | None:
        """Ask the cache; None when it isn't to be asked."""
        mode = self._switches.mode(NAME)
        if self._cache is None or mode is Mode.OFF:
            return None
        found = await self._cache.get(key)
        if isinstance(found, Miss):
            self._note("miss", key)
            self._counts["misses"] += 1
            return found if mode is Mode.ON else None
        self._counts["hits"] += 1
        if mode is not Mode.ON:
            return None
        try:
            value = kind.decode(found.value)
        except msgspec.MsgspecError:  # another version's; nobody here could ever read it
            self._note("unreadable", key)
            await self.forget(key)
            return Miss(None)
        lookup = _lookup(found)
        if lookup is not Lookup.HIT:
            self._counts[f"{lookup.value}_hits"] += 1
        self._note(lookup.value, key, age_s=round(found.age_s, 3))
        refresh = None if found.refresh is None else Miss(found.refresh)
        return Found(value, lookup, found.age_s, refresh)

    def _refresh_behind(
        self, key: str, kind: Kind[T], origin: Callable[[], Awaitable[T | None]], right: Miss
    ) -> None:
        """Fetch what is stale anew; its readers don't wait, and have what they asked for.

        So their deadlines and their leaving don't concern it: it has the origin's own time limit.
        """

        async def refresh() -> None:
            try:
                load = partial(self._load, key, kind, origin, right, False)
                await self.flights.do(key, load, fresh=True)
            except ServiceError as error:  # it stays stale, and soon another one may try
                self._counts["refreshes_failed"] += 1
                log.info("a refresh failed", extra={"key": key, "reason": error.reason})

        task = asyncio.create_task(
            refresh(), name=f"refresh of {key}", context=contextvars.Context()
        )
        self._refreshing.add(task)
        task.add_done_callback(self._refreshing.discard)

    async def _load(
        self,
        key: str,
        kind: Kind[T],
        origin: Callable[[], Awaitable[T | None]],
        missed: Miss | None,
        again: bool,
    ) -> Found[T] | None:
        """Fetch a value for all who wait for it, and keep it."""
        if again:
            found = await self._look(key, kind)
            if isinstance(found, Found):
                return found
            missed = found
        self._counts["origin_reads"] += 1
        value = await origin()
        if value is None:
            return None
        if missed is None:
            return Found(value, Lookup.OFF)
        await self._fill(missed, key, kind, value)
        return Found(value, Lookup.MISS)

    async def _fill(self, missed: Miss, key: str, kind: Kind[T], value: T) -> None:
        if self._cache is None or missed.token is None:
            return
        if await self._cache.fill(missed, key, kind.encode(value), kind.ttl_s, kind.stale_s):
            self._counts["fills"] += 1
        else:
            self._counts["fills_refused"] += 1
            self._note("fill-refused", key)

    def _note(self, what: str, key: str, **detail: float) -> None:
        context = request_context.current()
        if context is not None:
            context.note(NAME, what, self._clock(), key=key, **detail)


def _lookup(hit: Hit) -> Lookup:
    if hit.is_local:
        return Lookup.LOCAL
    return Lookup.STALE if hit.is_stale else Lookup.HIT


def _by_node(figures: Mapping[str, object]) -> dict[str, float | int | str]:
    """Write the nodes' figures on one level, which is what policies' pages and metrics show."""
    nodes = figures.get("nodes", {})
    assert isinstance(nodes, Mapping)
    return {
        f"{node}.{name}": value for node, values in nodes.items() for name, value in values.items()
    }
