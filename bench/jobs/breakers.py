"""Breakers: refuse calls to a dependency that fails.

All four peers count failures in a row and open; none keeps a window, a share or a bounded half-open
state, so they do less for their time than either breaker of ours.
"""

import random
import time
from dataclasses import replace
from datetime import timedelta
from importlib import import_module

from bench.contender import Contender, Job, Path, Step, Work, WorkError
from bench.guarded import gate_step
from resilience.errors import Rejected
from resilience.guard import guard
from resilience.policy.breaker_settings import BreakerSettings
from resilience.policy.contract import Gate, Outcome, Permit, Request
from resilience.policy.sre_breaker import KRATOS_V1, SreBreaker
from resilience.policy.state_breaker import StateBreaker

OPEN_S = 3600.0  # an open breaker stays open for the whole run
FAILURES = 2_000  # then 1 request in 2,001 is let through
SEED = 20_261_122
_STAYS_OPEN = BreakerSettings(open_s=OPEN_S, open_cap_s=OPEN_S)


def sre_breaker(work: Work, path: Path) -> Step:
    """Throttle by the share of accepted requests; refusing after nothing but failures."""
    if path is Path.HAPPY:
        return gate_step(SreBreaker(random.Random(SEED)), work)
    # The default window of 3 s would forget the failures while others are measured.
    breaker = SreBreaker(random.Random(SEED), replace(KRATOS_V1, window_s=OPEN_S))
    _fail(breaker, FAILURES)
    return gate_step(breaker, work, Outcome.FAILED)


def state_breaker(work: Work, path: Path) -> Step:
    """Judge the last hundred results, the default; refusing once it is open."""
    if path is Path.HAPPY:
        return gate_step(StateBreaker(), work)
    breaker = StateBreaker(_STAYS_OPEN)
    _fail(breaker, _STAYS_OPEN.min_calls)
    return gate_step(breaker, work)


def guarded(work: Work, path: Path) -> Step:
    """The same breaker as a decorator of a plain function, which is how the peers are used."""
    breaker = StateBreaker(_STAYS_OPEN)
    if path is Path.REJECTION:
        _fail(breaker, _STAYS_OPEN.min_calls)
    call = guard(breaker, scope="bench")(work.call)
    if path is Path.HAPPY:
        return lambda: call()

    def step() -> None:
        try:
            call()
        except Rejected:
            return

    return step


def pybreaker(work: Work, path: Path) -> Step:
    """``CircuitBreaker.call``: what its decorator does, without the wrapper."""
    package = import_module("pybreaker")
    breaker = package.CircuitBreaker(fail_max=5, reset_timeout=OPEN_S)
    guarded, call, refused = breaker.call, work.call, package.CircuitBreakerError
    if path is Path.HAPPY:

        def through() -> None:
            guarded(call)

        return through
    breaker.open()

    def step() -> None:
        try:
            guarded(call)
        except refused:
            return

    return step


def aiobreaker(work: Work, path: Path) -> Step:
    """``CircuitBreaker.call``: the synchronous one is the cheaper of its two."""
    package = import_module("aiobreaker")
    breaker = package.CircuitBreaker(fail_max=5, timeout_duration=timedelta(seconds=OPEN_S))
    guarded, call, refused = breaker.call, work.call, package.CircuitBreakerError
    if path is Path.HAPPY:

        def through() -> None:
            guarded(call)

        return through
    breaker.open()

    def step() -> None:
        try:
            guarded(call)
        except refused:
            return

    return step


def purgatory(work: Work, path: Path) -> Step:
    """The synchronous breaker, looked up once and entered for each call."""
    package = import_module("purgatory")
    opened = import_module("purgatory.domain.model").OpenedState
    factory = package.SyncCircuitBreakerFactory(default_threshold=5, default_ttl=OPEN_S)
    breaker, call = factory.get_breaker("bench"), work.call
    if path is Path.HAPPY:

        def through() -> None:
            with breaker:
                call()

        return through
    for _ in range(5):
        try:
            with breaker:
                raise WorkError
        except WorkError:
            continue

    def step() -> None:
        try:
            with breaker:
                call()
        except opened:
            return

    return step


async def hyx(work: Work, path: Path) -> Step:
    """``async with`` one breaker: its decorator adds a partial to this."""
    breaker = import_module("hyx.circuitbreaker").consecutive_breaker(
        failure_threshold=5, recovery_time_secs=OPEN_S
    )
    refused, call = import_module("hyx.circuitbreaker.exceptions").BreakerFailing, work.acall
    if path is Path.HAPPY:

        async def through() -> None:
            async with breaker:
                await call()

        return through
    for _ in range(5):
        try:
            async with breaker:
                raise WorkError
        except WorkError:
            continue

    async def step() -> None:
        try:
            async with breaker:
                await call()
        except refused:
            return

    return step


def _fail(gate: Gate, calls: int) -> None:
    """Let that many calls fail, as far as they are let through."""
    for _ in range(calls):
        decision = gate.admit(Request(), time.monotonic())
        if isinstance(decision, Permit):
            gate.settle(decision, Outcome.FAILED, time.monotonic())


PEERS = (
    Contender("pybreaker", pybreaker, "pybreaker"),
    Contender("aiobreaker", aiobreaker, "aiobreaker"),
    Contender("purgatory", purgatory, "purgatory"),
    Contender("hyx consecutive_breaker", hyx, "hyx"),
)
JOBS = (
    Job("sre_breaker", Contender("SreBreaker", sre_breaker), PEERS),
    Job("state_breaker", Contender("StateBreaker", state_breaker), PEERS),
    Job("guard", Contender("@guard(StateBreaker)", guarded), PEERS),
)
