"""Bulkheads: at most so many at once; one for all, one for each tenant, a hand of shared ones.

hyx has the first; none of the eight peers separates tenants.
"""

from importlib import import_module

from bench.contender import Contender, Job, Path, Step, Work
from bench.guarded import fill_queue, queue_step
from resilience.policy.bulkhead import Bulkhead
from resilience.policy.contract import Queue
from resilience.policy.fixed import FixedLimit
from resilience.policy.limit import AdaptiveLimiter
from resilience.policy.pools import BulkheadPools
from resilience.policy.shuffle_shard import ShuffleShardedBulkhead
from resilience.policy.wait_queue import WaitQueue

FOREVER_S = 3600.0


def bulkhead(work: Work, path: Path) -> Step:
    """25 slots and no room to wait, the defaults."""
    return _own(Bulkhead(), work, path)


async def hyx(work: Work, path: Path) -> Step:
    """``async with`` one bulkhead of as many slots; full, it raises."""
    guard = import_module("hyx.bulkhead").bulkhead(max_concurrency=25, max_capacity=25)
    refused, call = import_module("hyx.bulkhead.exceptions").BulkheadFull, work.acall
    if path is Path.HAPPY:

        async def through() -> None:
            async with guard:
                await call()

        return through
    for _ in range(25):
        await guard.__aenter__()

    async def step() -> None:
        try:
            async with guard:
                await call()
        except refused:
            return

    return step


def wait_queue(work: Work, path: Path) -> Step:
    """A room to wait in before a limiter; full, and nobody's wait ends while it is measured."""
    limiter = AdaptiveLimiter(FixedLimit(25))
    return _own(WaitQueue(limiter, target_s=FOREVER_S, interval_s=FOREVER_S), work, path)


def pools(work: Work, path: Path) -> Step:
    """A bulkhead for each tenant; here one tenant asks, and its pool is full."""
    return _own(BulkheadPools(), work, path)


def shuffle_shard(work: Work, path: Path) -> Step:
    """The emptier of a tenant's two pools out of eight; refusing when both are full."""
    return _own(ShuffleShardedBulkhead(), work, path)


def _own(queue: Queue, work: Work, path: Path) -> Step:
    if path is Path.REJECTION:
        fill_queue(queue)
    return queue_step(queue, work)


PEERS = (Contender("hyx bulkhead", hyx, "hyx"),)
JOBS = (
    Job("bulkhead", Contender("Bulkhead", bulkhead), PEERS),
    Job("wait_queue", Contender("WaitQueue(AdaptiveLimiter)", wait_queue), PEERS),
    Job("pools", Contender("BulkheadPools", pools)),
    Job("shuffle_shard", Contender("ShuffleShardedBulkhead", shuffle_shard)),
)
