"""Bulkhead pools: a bulkhead of its own for each tenant or dependency, and never too many of them.

Why: one bulkhead for all is emptied by the one who hangs; with one for each, whoever fills his own
is refused and nobody else notices. But the keys come from outside, and a table with a row for each
name that a stranger sends is a leak: so at most ``max_pools`` are kept, the one idle for longest
makes room for a newcomer, and while none is idle newcomers share one overflow pool.
Source: Nygard, Release It!, "Bulkheads"; Hystrix, a pool of 10 per dependency
(HystrixThreadPoolProperties: coreSize 10, maxQueueSize -1). Differs: Hystrix never forgets a key.
Not handled: a bound over all pools together (put a ``Bulkhead`` in front); a request that got an
overflow slot keeps it also when its key has a pool by then, so for a moment a key may hold its own
limit and a share of the overflow.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

from resilience.policy.bulkhead import DEFAULT_MAX_WAITING
from resilience.policy.contract import QueueTurn, Request, Snapshot
from resilience.policy.pooled import Pool, PooledQueue

DEFAULT_POOL_LIMIT = 10  # Hystrix: coreSize
DEFAULT_MAX_POOLS = 256  # ours: of about 700 bytes each
OVERFLOW_KEY = "(overflow)"  # what pages call the shared pool


def by_tenant(request: Request) -> str:
    """Give each tenant a pool; all who are unknown share the one of ``""``."""
    return request.tenant


def by_key(request: Request) -> str:
    """Give each thing asked about a pool, e.g. each dependency."""
    return request.key


class BulkheadPools(PooledQueue):
    """A Queue of one bulkhead per key. O(1) a call.

    Args:
        limit: Slots of each pool, >= 1.
        max_waiting: Room to wait in, of each pool; 0 refuses at once.
        max_wait_s: Longest wait; None means until the request's own deadline.
        max_pools: Most keys that have a pool of their own at a time, >= 1.
        overflow_limit: Slots that all further keys share, >= 1; None takes ``limit``.
        limits: Keys that get other slots than ``limit``.
        key_of: Says whose pool a request belongs to.
        name: What decisions are reported under; the overflow's are ``<name>_overflow``.

    Invariants: keys with a pool <= max_pools; a pool with a permit out or a waiter is never taken
    away; of a key in a pool of its own at most ``limit`` are in flight there.
    """

    __slots__ = (
        "_by_key",
        "_idle",
        "_key_of",
        "_limits",
        "_rejected_before",
        "evicted",
        "limit",
        "max_pools",
        "max_wait_s",
        "max_waiting",
        "overflow",
        "overflowed",
    )

    def __init__(
        self,
        limit: int = DEFAULT_POOL_LIMIT,
        max_waiting: int = DEFAULT_MAX_WAITING,
        max_wait_s: float | None = None,
        *,
        max_pools: int = DEFAULT_MAX_POOLS,
        overflow_limit: int | None = None,
        limits: Mapping[str, int] | None = None,
        key_of: Callable[[Request], str] = by_tenant,
        name: str = "bulkhead",
    ) -> None:
        super().__init__(name)
        if max_pools < 1:
            raise ValueError(f"max_pools={max_pools} must be >= 1")
        bad = {key: slots for key, slots in (limits or {}).items() if slots < 1}
        if bad:
            raise ValueError(f"limits={bad} must each be >= 1")
        self.limit = limit
        self.max_waiting = max_waiting
        self.max_wait_s = max_wait_s
        self.max_pools = max_pools
        self._limits = dict(limits or {})
        self._key_of = key_of
        self._by_key: dict[str, Pool] = {}
        self._idle: OrderedDict[str, Pool] = OrderedDict()  # the one idle for longest first
        self._rejected_before = 0  # by pools that are no more
        self.overflowed = 0
        self.evicted = 0
        shared = limit if overflow_limit is None else overflow_limit
        self.overflow = self._make(OVERFLOW_KEY, shared, f"{name}_overflow")

    def pool(self, key: str) -> Pool | None:
        """Return the pool of a key; None while it has none of its own."""
        return self._by_key.get(key)

    def resize(self, limit: int, now_s: float) -> QueueTurn:
        """Change the slots of each pool live but of those named in ``limits``. O(pools).

        Who holds a slot keeps it, also above a smaller limit.

        Raises:
            ValueError: The limit is below 1.
        """
        pools = [pool for key, pool in self._by_key.items() if key not in self._limits]
        turn = self._resize(pools, limit, now_s)
        self.limit = limit
        return turn

    def reset(self, now_s: float) -> None:
        """Forget the counters; pools, and who is in or waits, stay."""
        super().reset(now_s)
        self._rejected_before = self.overflowed = self.evicted = 0

    def snapshot(self) -> Snapshot:
        """Return what all pools hold together, and how often room had to be made. O(pools)."""
        together = dict(super().snapshot())
        together["pools"] = len(self._by_key)
        together["rejected"] = self._rejected()
        return {
            **together,
            "max_pools": self.max_pools,
            "idle": len(self._idle),
            "evicted": self.evicted,
            "overflowed": self.overflowed,
        }

    def _choose(self, request: Request) -> Pool:
        key = self._key_of(request)
        pool = self._by_key.get(key)
        if pool is None:
            return self._make_room(key)
        if not pool.in_flight:
            del self._idle[key]
        return pool

    def _make_room(self, key: str) -> Pool:
        """Give a newcomer a pool, of one idle if need be; with none idle, the overflow."""
        if len(self._by_key) >= self.max_pools:
            if not self._idle:
                self.overflowed += 1
                return self.overflow
            gone_key, gone = self._idle.popitem(last=False)
            del self._by_key[gone_key]
            self._rejected_before += gone.rejected
            self.evicted += 1
        pool = self._by_key[key] = self._make(key, self._limits.get(key, self.limit), self.name)
        return pool

    def _make(self, key: str, limit: int, name: str) -> Pool:
        return Pool(key, limit, self.max_waiting, self.max_wait_s, name=name, numbers=self._numbers)

    def _on_idle(self, pool: Pool) -> None:
        if pool is not self.overflow:
            self._idle[pool.key] = pool

    def _pools(self) -> Sequence[Pool]:
        return (*self._by_key.values(), self.overflow)

    def _rejected(self) -> int:
        return self._rejected_before + sum(pool.rejected for pool in self._pools())

    def __repr__(self) -> str:
        in_flight = sum(pool.in_flight for pool in self._pools())
        return (
            f"<BulkheadPools {len(self._by_key)}/{self.max_pools} pools of {self.limit}, "
            f"in flight {in_flight}, waiting {self.waiting}>"
        )
