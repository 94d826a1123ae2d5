"""Rate limits: at most so many in a time.

What does the same job differs. A leaky bucket (aiolimiter) and a token bucket (hyx) smooth and
allow a burst; aiolimiter also paces. limits has windows, of which the sliding ones do not let twice
the limit through at an edge. hyx's bucket reads no clock until it is empty.

A leased quota holds a global rate, and decides from tokens at hand; how many it gets is settled
elsewhere, some times a second. limits has that rate in its store and asks it each time: here the
store in memory and the fixed window, its cheapest, so that ours is held against no network.
"""

import time
from importlib import import_module
from typing import Any

from bench.contender import Contender, Job, Path, Step, Work
from bench.guarded import fill_gate, fill_queue, gate_step, queue_step
from resilience.policy.contract import Gate, Request
from resilience.policy.gcra import Gcra
from resilience.policy.lease import LeaseGrant
from resilience.policy.pacer import Pacer
from resilience.policy.sliding_window import SlidingLog, SlidingWindow
from resilience.policy.token_bucket import TokenBucket
from resilience.policy.token_lease import TokenLease
from resilience.policy.warm_up import WarmUp

PLENTY_RPS = 1e8  # never reached
SCARCE_RPS = 1e-4  # one request, and the next in three hours
DAY_S = 86_400.0


def token_bucket(work: Work, path: Path) -> Step:
    """A full bucket, or one with a token to come in three hours."""
    return _own(TokenBucket(PLENTY_RPS if path is Path.HAPPY else SCARCE_RPS), work, path)


def gcra(work: Work, path: Path) -> Step:
    """The same by arrival times."""
    return _own(Gcra(PLENTY_RPS if path is Path.HAPPY else SCARCE_RPS), work, path)


def sliding_window(work: Work, path: Path) -> Step:
    """Two counters, the older one weighted."""
    gate = SlidingWindow(PLENTY_RPS, 1.0) if path is Path.HAPPY else SlidingWindow(1.0, DAY_S)
    return _own(gate, work, path)


def sliding_log(work: Work, path: Path) -> Step:
    """Every request of the last second remembered."""
    gate = SlidingLog(PLENTY_RPS, 1.0) if path is Path.HAPPY else SlidingLog(1.0, DAY_S)
    return _own(gate, work, path)


def warm_up(work: Work, path: Path) -> Step:
    """A rate that a cold service reaches by degrees."""
    return _own(WarmUp(PLENTY_RPS if path is Path.HAPPY else SCARCE_RPS), work, path)


def pacer(work: Work, path: Path) -> Step:
    """Starts at even distances; who would have to wait is refused."""
    queue = Pacer(PLENTY_RPS if path is Path.HAPPY else SCARCE_RPS, max_wait_s=0.0)
    if path is Path.REJECTION:
        fill_queue(queue)
    return queue_step(queue, work)


def token_lease(work: Work, path: Path) -> Step:
    """A node that was granted a day's tokens, or next to none."""
    lease, tomorrow_s = TokenLease(PLENTY_RPS), time.monotonic() + DAY_S
    if path is Path.HAPPY:
        lease.admit(Request(PLENTY_RPS * DAY_S), tomorrow_s - 1.0)  # so that it asks for as much
    question = lease.wants(tomorrow_s)
    assert question is not None, "a new node asks at once"
    tokens = {tenant: ask.want for tenant, ask in question.asks.items()}
    lease.on_grant(LeaseGrant(question.sequence, 1_000_000_000, tokens), tomorrow_s)
    return _own(lease, work, path)


def aiolimiter(work: Work, path: Path) -> Step:
    """``acquire``; a caller who will not wait asks ``has_capacity`` first."""
    package, call = import_module("aiolimiter"), work.acall
    if path is Path.HAPPY:
        plenty = package.AsyncLimiter(PLENTY_RPS, 1.0)

        async def through() -> None:
            await plenty.acquire()
            await call()

        return through
    return _aiolimiter_refusing(package.AsyncLimiter(1.0, DAY_S), work)


def hyx(work: Work, path: Path) -> Step:
    """``async with`` one bucket; empty, it raises."""
    bucket, call = import_module("hyx.ratelimit").tokenbucket, work.acall
    refused = import_module("hyx.ratelimit.exceptions").RateLimitExceeded
    if path is Path.HAPPY:
        plenty = bucket(PLENTY_RPS, 1.0)

        async def through() -> None:
            async with plenty:
                await call()

        return through
    scarce = bucket(1, DAY_S)

    async def step() -> None:
        try:
            async with scarce:
                await call()
        except refused:
            return

    return step


def limits_counter(work: Work, path: Path) -> Step:
    """Two counters, in memory."""
    return _limits("SlidingWindowCounterRateLimiter", work, path)


def limits_log(work: Work, path: Path) -> Step:
    """Every request remembered, in memory."""
    return _limits("MovingWindowRateLimiter", work, path)


def limits_fixed(work: Work, path: Path) -> Step:
    """One counter, in memory."""
    return _limits("FixedWindowRateLimiter", work, path)


def _limits(strategy: str, work: Work, path: Path) -> Step:
    """``hit`` on the memory storage."""
    package, strategies = import_module("limits"), import_module("limits.strategies")
    limiter = getattr(strategies, strategy)(import_module("limits.storage").MemoryStorage())
    if path is Path.HAPPY:
        item = package.RateLimitItemPerSecond(int(PLENTY_RPS))
    else:
        item = package.RateLimitItemPerDay(1)
    hit, call = limiter.hit, work.call

    def step() -> None:
        if hit(item, "bench"):
            call()

    return step


def _own(gate: Gate, work: Work, path: Path) -> Step:
    if path is Path.REJECTION:
        fill_gate(gate)
    return gate_step(gate, work)


def _aiolimiter_refusing(limiter: Any, work: Work) -> Step:
    has_capacity, acquire, call = limiter.has_capacity, limiter.acquire, work.acall

    async def step() -> None:
        if has_capacity():
            await acquire()
            await call()

    return step


AIOLIMITER = Contender("aiolimiter", aiolimiter, "aiolimiter")
HYX = Contender("hyx tokenbucket", hyx, "hyx")
COUNTER = Contender("limits sliding window", limits_counter, "limits")
FIXED = Contender("limits fixed window", limits_fixed, "limits")
LOG = Contender("limits moving window", limits_log, "limits")
JOBS = (
    Job("token_bucket", Contender("TokenBucket", token_bucket), (AIOLIMITER, HYX)),
    Job("gcra", Contender("Gcra", gcra), (AIOLIMITER, HYX)),
    Job("sliding_window", Contender("SlidingWindow", sliding_window), (COUNTER,)),
    Job("sliding_log", Contender("SlidingLog", sliding_log), (LOG,)),
    Job("warm_up", Contender("WarmUp", warm_up)),
    Job("token_lease", Contender("TokenLease", token_lease), (FIXED,)),
    Job("pacer", Contender("Pacer", pacer), (AIOLIMITER,)),
)
