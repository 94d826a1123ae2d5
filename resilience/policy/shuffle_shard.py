"""Shuffle sharding: each tenant gets k of n pools, and hardly two tenants get the same k.

Why: with n pools split into fixed groups of k, a poisonous tenant takes all its group down. Dealt
out like hands of cards, its pools are shared with many tenants but its *hand* with almost none:
all others keep a pool that it cannot touch, and only who holds the very same hand goes down too.

    hands          C(n, k)                          8 pools by 2: 28; 100 by 5: 75 million
    shared with    P(m) = C(k, m) C(n-k, k-m) / C(n, k)     of 8 by 2: 54 %, 43 %, 3.6 %

The hand is the first k of the pools ranked for the tenant's name by rendezvous hashing: every hand
is equally likely, the same in every process, and when a pool is added a tenant's hand changes only
where that pool ranks among its first k. Of its hand a request takes the pool with the least under
way; of two equals the one that ranks first, so a quiet tenant stays where its caches are warm.

Source: MacCarthaigh, "Workload isolation using shuffle-sharding", AWS Builders' Library; the least
loaded of two: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001.
Differs: the published form deals hands out so that no two overlap too much, which needs a register
of tenants; hashing needs none. And with k above 2 the whole hand is compared, not two drawn from
it: drawing serves loads known late or from afar, and these are exact.
Not handled: pools that fail (a pool is a bulkhead, not a machine); names that an attacker picks so
as to share a victim's hand (mix a secret into ``key_of``).
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from math import comb

from hashing.algorithm import Node
from hashing.rendezvous import Rendezvous
from resilience.policy.bulkhead import DEFAULT_MAX_WAITING
from resilience.policy.contract import QueueTurn, Request
from resilience.policy.pooled import Pool, PooledQueue
from resilience.policy.pools import DEFAULT_POOL_LIMIT, by_tenant

DEFAULT_POOLS = 8  # AWS Builders' Library: its example of eight workers
DEFAULT_HAND = 2  # the same example: two workers for each
MAX_REMEMBERED = 4096  # ours: tenants whose hand need not be worked out again, of 200 bytes each


def hand_count(pools: int, hand: int) -> int:
    """Return how many different hands there are.

    Raises:
        ValueError: The hand isn't between 1 and the number of pools.
    """
    _check(pools, hand)
    return comb(pools, hand)


def overlap_probability(pools: int, hand: int, shared: int) -> float:
    """Return how likely it is that two tenants share exactly so many pools.

    Raises:
        ValueError: The hand isn't between 1 and the number of pools, or ``shared`` not in 0..hand.
    """
    _check(pools, hand)
    if not 0 <= shared <= hand:
        raise ValueError(f"shared={shared} must be in 0..{hand}, the size of a hand")
    return comb(hand, shared) * comb(pools - hand, hand - shared) / comb(pools, hand)


class ShuffleShards:
    """Say which k of n pools a tenant has. O(n) for a new tenant, O(1) for one remembered.

    Args:
        names: The pools' names, all different; one that stays keeps its place in every ranking.
        hand: How many pools each tenant gets, 1..len(names).

    Raises:
        ValueError: No names, a name twice, or a hand out of range.
    """

    __slots__ = ("_hands", "_ranking", "hand", "names")

    def __init__(self, names: Sequence[str], hand: int = DEFAULT_HAND) -> None:
        _check(len(names), hand)
        self.names = tuple(names)
        self.hand = hand
        self._ranking = Rendezvous([Node(name) for name in names])
        self._hands: OrderedDict[str, tuple[str, ...]] = OrderedDict()

    def of(self, tenant: str) -> tuple[str, ...]:
        """Name the tenant's pools, the best ranked first; always the same."""
        hand = self._hands.get(tenant)
        if hand is None:
            if len(self._hands) >= MAX_REMEMBERED:
                self._hands.popitem(last=False)
            hand = tuple(self._ranking.ranked(tenant.encode(), self.hand))
            self._hands[tenant] = hand
        return hand

    def __repr__(self) -> str:
        return f"<ShuffleShards {self.hand} of {len(self.names)}>"


class ShuffleShardedBulkhead(PooledQueue):
    """A Queue over n pools, of which each tenant may use k. O(k) a call.

    Args:
        limit: Slots of each pool, >= 1.
        max_waiting: Room to wait in, of each pool; 0 refuses at once.
        max_wait_s: Longest wait; None means until the request's own deadline.
        pools: How many there are, >= 1; together they hold ``pools × limit``.
        hand: How many of them each tenant may use, 1..pools.
        key_of: Says whose hand a request plays.
        name: What decisions are reported under.

    Invariants: a tenant has at most ``hand × limit`` in flight; it is refused only when all pools
    of its hand are full.
    """

    __slots__ = ("_by_name", "_key_of", "shards")

    def __init__(
        self,
        limit: int = DEFAULT_POOL_LIMIT,
        max_waiting: int = DEFAULT_MAX_WAITING,
        max_wait_s: float | None = None,
        *,
        pools: int = DEFAULT_POOLS,
        hand: int = DEFAULT_HAND,
        key_of: Callable[[Request], str] = by_tenant,
        name: str = "bulkhead",
    ) -> None:
        super().__init__(name)
        self.shards = ShuffleShards([f"pool-{number}" for number in range(pools)], hand)
        self._key_of = key_of
        self._by_name = {
            each: Pool(each, limit, max_waiting, max_wait_s, name=name, numbers=self._numbers)
            for each in self.shards.names
        }

    def hand_of(self, tenant: str) -> tuple[Pool, ...]:
        """Return the tenant's pools, the best ranked first."""
        return tuple(self._by_name[name] for name in self.shards.of(tenant))

    def resize(self, limit: int, now_s: float) -> QueueTurn:
        """Change the slots of each pool live; who holds one keeps it. O(pools).

        Raises:
            ValueError: The limit is below 1.
        """
        return self._resize(self._pools(), limit, now_s)

    def _choose(self, request: Request) -> Pool:
        """Take the pool of the hand with the least under way, waiters included."""
        names = self.shards.of(self._key_of(request))
        best = self._by_name[names[0]]
        least = best.in_flight + best.waiting
        for name in names[1:]:
            pool = self._by_name[name]
            load = pool.in_flight + pool.waiting
            if load < least:
                best, least = pool, load
        return best

    def _pools(self) -> Sequence[Pool]:
        return tuple(self._by_name.values())

    def __repr__(self) -> str:
        in_flight = sum(pool.in_flight for pool in self._by_name.values())
        shards = self.shards
        return (
            f"<ShuffleShardedBulkhead {shards.hand} of {len(shards.names)} pools each, "
            f"in flight {in_flight}, waiting {self.waiting}>"
        )


def _check(pools: int, hand: int) -> None:
    if pools < 1 or not 1 <= hand <= pools:
        raise ValueError(f"hand={hand} must be in 1..{pools}, the number of pools, which is >= 1")
