"""Bulkheads: at most so many at once."""

from importlib import import_module

from bench.contender import Contender, Job, Path, Step, Work
from bench.guarded import fill_queue, queue_step
from resilience.policy.bulkhead import Bulkhead


def bulkhead(work: Work, path: Path) -> Step:
    """25 slots and no room to wait, the defaults."""
    queue = Bulkhead()
    if path is Path.REJECTION:
        fill_queue(queue)
    return queue_step(queue, work)


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


PEERS = (Contender("hyx bulkhead", hyx, "hyx"),)
JOBS = (Job("bulkhead", Contender("Bulkhead", bulkhead), PEERS),)
