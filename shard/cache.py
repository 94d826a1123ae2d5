"""The cache's client: keys that may vanish, on independent nodes, placed by the client itself.

A key has three candidates on a ring (``hashing.bounded``). It is read at the first of them that is
up and not overloaded; what a hot owner can't take goes to the next two and lives there for a second
at most. A node that fails is ejected and its keys go to their next candidates; when it is back it
is flushed if it missed anything, before anybody reads from it.

**Promise.** A read that begins after ``delete`` has returned never yields what was filled from an
origin read before that delete, whichever of several clients asks, and whatever node died, froze or
was cut off meanwhile. Its one bound, a client and a reader with no live node between them, is
``STALE_BOUND_S``. How: ``shard.policy.coherence``; nothing here decides it. With a local cache
(``local``) the promise holds as it stands for the deletes of the same client; those of others are
seen as soon as the node's word of them has come, and after ``local_cache.PROOF_S`` at most.

**Never in the way.** A cache that is down is a miss, within ``DEFAULT_TIMEOUT_S``.

Source: tokens are memcached's leases (Nishtala et al., "Scaling Memcache at Facebook", NSDI 2013,
section 3.2.1). Spread lifetimes: go-zero:core/stores/cache/cachenode.go (``expiryDeviation``, 5 %).
Not handled: one miss at the origin for many readers (``resilience.single_flight``); values above
some 100 kB, which would delay what is pipelined behind them.
"""

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from random import Random

from hashing.bounded import DEFAULT_BALANCE_FACTOR, BoundedRing
from resilience.policy.contract import Mode
from resilience.switches import FixedSwitches, Switches
from shard.cache_delete import DELETE_TIMEOUT_S, Deleter
from shard.cache_local import LocalReader
from shard.cache_node import CacheNode
from shard.cache_observer import SILENT_CACHE, CacheObserver
from shard.cache_placement import Placement
from shard.cache_reader import DEFAULT_TIMEOUT_S, NOTHING, Hit, Miss, Reader, Token
from shard.cache_scripts import TOKEN_CHARS
from shard.cache_watch import Watch
from shard.connection import Limits
from shard.hot_keys import HotKeys
from shard.link import Dial, directly
from shard.policy.coherence import Coherence
from shard.policy.local_cache import LocalCache
from shard.policy.topology import Address

__all__ = ["NOTHING", "CacheClient", "Hit", "Miss", "Token"]

EJECTION = "cache_ejection"  # its switch; off: nobody stands in for a node that is gone
DEFAULT_LOAD_FLOOR = 1000.0  # gets a second and client below which no node counts as hot: 1 % of it
_LIMITS = Limits(reply_timeout_s=DELETE_TIMEOUT_S)
_NEVER = FixedSwitches(default=Mode.OFF)


class CacheClient:
    """A client of all cache nodes; ``connect`` first, ``close`` last, from one event loop.

    Args:
        nodes: (host, port), in the same order for every client: they are ``cache-1`` and so on.
        timeout_s: Longest time a get or a fill takes, seconds, > 0.
        load_floor: Requests a second below which no node counts as overloaded, >= 0.
        balance_factor: How much more than its share a node takes, > 1.
        observer: Hears of operations and nodes.
        dial: Says where to connect for a node's address; see ``redial``.
        rng: Jitter; seed it for tests.
        clock: Monotonic seconds.
        limits: Of each connection.
        local: Where copies of hot keys are kept; None: nowhere.
        switches: Asked for ``local_cache`` and ``cache_ejection`` with each read; None: both on.

    Raises:
        ValueError: When there is no node, or one is listed twice.
    """

    def __init__(
        self,
        nodes: Sequence[tuple[str, int]],
        *,
        clock: Callable[[], float] = time.monotonic,
        rng: Random | None = None,
        observer: CacheObserver = SILENT_CACHE,
        dial: Dial = directly,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        load_floor: float = DEFAULT_LOAD_FLOOR,
        balance_factor: float = DEFAULT_BALANCE_FACTOR,
        limits: Limits = _LIMITS,
        local: LocalCache | None = None,
        switches: Switches | None = None,
    ) -> None:
        addresses = [Address(*node) for node in nodes]
        if not addresses:
            raise ValueError("no cache nodes: give the address of at least one")
        if len(set(addresses)) < len(addresses):
            raise ValueError(f"a cache node is listed twice: {', '.join(map(str, addresses))}")
        names = [f"cache-{number}" for number in range(1, len(addresses) + 1)]
        self._rng = rng or Random()
        self._clock = clock
        self._observer = observer
        ring = BoundedRing(names, balance_factor=balance_factor)
        self._nodes = {
            name: CacheNode(
                name, address, limits, self._rng, dial=dial, observer=observer, clock=clock
            )
            for name, address in zip(names, addresses, strict=True)
        }
        # Not from rng: two clients with one seed must not take each other's tokens for their own.
        self._coherence = Coherence(secrets.token_hex(TOKEN_CHARS // 4), names)
        self._watch = Watch(
            self._nodes,
            self._coherence,
            look_timeout_s=timeout_s,
            observer=observer,
            on_round=lambda: self.local.on_round(),
            clock=clock,
        )
        asked = switches or FixedSwitches()
        self._placement = Placement(
            ring,
            self._nodes,
            self._coherence,
            load_floor,
            lambda: asked.mode(EJECTION) is not Mode.OFF,
        )
        self._deleter = Deleter(
            self._placement,
            self._nodes,
            self._coherence,
            self._watch,
            observer=observer,
            clock=clock,
        )
        self._reader = Reader(
            self._placement,
            self._nodes,
            self._coherence.client,
            self._rng,
            timeout_s=timeout_s,
            clock=clock,
        )
        self.hot_keys = HotKeys(self._rng, clock)
        self.local = LocalReader(
            self._reader,
            self._nodes,
            self._coherence,
            self.hot_keys,
            LocalCache() if local is None else local,
            _NEVER if local is None else asked,
            limits=limits,
            rng=self._rng,
            dial=dial,
            timeout_s=timeout_s,
            clock=clock,
        )

    def __repr__(self) -> str:
        return f"<CacheClient {', '.join(map(repr, self._nodes.values()))}>"

    async def connect(self) -> None:
        """Look at every node once; dead ones are tried again later, nobody waits for them."""
        await self._watch.start()

    async def close(self) -> None:
        """End the looks, the deletes under way and every connection."""
        await self._watch.stop()
        await self._deleter.close()
        await self.local.close()
        for node in self._nodes.values():
            await node.link.close()

    def redial(self) -> None:
        """Connect anew, by the way that ``dial`` says now."""
        for node in self._nodes.values():
            node.redial()
        self.local.redial()
        self._watch.hurry()

    async def get(self, key: str, *, deadline_s: float | None = None) -> Hit | Miss:
        """Read a key. Never an error, never longer than the timeout.

        Args:
            key: Any text.
            deadline_s: Absolute monotonic seconds; None means the Context's, if any.
        """
        return (await self.get_many([key], deadline_s=deadline_s))[0]

    async def get_many(
        self, keys: Sequence[str], *, deadline_s: float | None = None
    ) -> list[Hit | Miss]:
        """Read keys, all at once; answers in their order."""
        began_s = self._clock()
        for key in keys:
            self.hot_keys.see(key)
        answers = await self.local.get_many(keys, deadline_s)
        duration_s = self._clock() - began_s
        for answer in answers:
            self._observer.on_operation("get", _name(answer), duration_s)
        return answers

    async def fill(
        self, miss: Miss, key: str, value: bytes, ttl_s: float, stale_s: float = 0.0
    ) -> bool:
        """Store what the origin said after this miss.

        Args:
            miss: What ``get`` of the same key returned, before the origin was asked; of a stale
                hit ``Miss(hit.refresh)``.
            key: The key.
            value: Its value.
            ttl_s: Seconds to live, > 0; spread by ``TTL_JITTER_RATIO``, at most
                ``STALE_BOUND_S``, at a node that only helps out at most ``OVERFLOW_TTL_S``.
            stale_s: For how long after that it is still given, as stale, while one reader fetches
                it anew; seconds, 0 or less means not at all. Both together have the same bounds.

        Returns:
            False when the key was deleted meanwhile, or its node can't take the value.
        """
        began_s = self._clock()
        result = await self._reader.fill(miss.token, key, value, ttl_s, stale_s)
        self._observer.on_operation("fill", result, self._clock() - began_s)
        return result == "stored"

    async def delete(self, *keys: str) -> None:
        """Delete keys everywhere they can be; call it after the origin has changed.

        When it returns, no read that begins then yields an older value. With all nodes well that
        takes one trip; with a node that can't be reached ``DELETE_TIMEOUT_S + LEASE_S`` and two
        looks at most, once an outage. It goes on when its caller is cancelled.
        """
        began_s = self._clock()
        with self.local.held(keys):
            result = await self._deleter.delete(keys)
        self._observer.on_operation("delete", result, self._clock() - began_s)

    def owner(self, key: str) -> str:
        """Name the node that a key belongs to: ``cache-2``."""
        return self._placement.candidates(key)[0]

    def snapshot(self) -> Mapping[str, object]:
        """Return counts and each node's state for a page or a metric."""
        return {
            "nodes": {name: self._snapshot_node(node) for name, node in self._nodes.items()},
            "hits": sum(node.hit_count for node in self._nodes.values()),
            "misses": sum(node.miss_count for node in self._nodes.values()),
            "off": self._reader.off_count,
            "overflows": self._reader.overflow_count,
            "looks": self._watch.round_count,
            "deletes": dict(self._deleter.counts),
            "local": dict(self.local.snapshot()),
        }

    def _snapshot_node(self, node: CacheNode) -> Mapping[str, object]:
        now_s = self._clock()
        return {
            "address": str(node.link.address),
            "state": self._state_of(node, now_s),
            "load": round(node.load.value(now_s), 1),
            "in_flight": node.link.in_flight,
            "hits": node.hit_count,
            "misses": node.miss_count,
            "failures": node.failure_count,
            "ejections": node.ejection.count,
            "evictions": node.eviction_count,
            "incarnation": f"{node.link.run}.{self._coherence.generation(node.name)}",
        }

    def _state_of(self, node: CacheNode, now_s: float) -> str:
        """Say ``up``, ``ejected``, ``barred`` (by us) or ``unread`` (a look or a flush is due)."""
        if not node.is_up:
            return "ejected"
        if self._coherence.is_barred(node.name):
            return "barred"
        is_read = self._coherence.may_read(node.name, now_s, self._watch.gone)
        return "up" if is_read else "unread"


def _name(answer: Hit | Miss) -> str:
    if isinstance(answer, Hit):
        return "local" if answer.is_local else "stale" if answer.is_stale else "hit"
    return "off" if answer.token is None else "miss"
