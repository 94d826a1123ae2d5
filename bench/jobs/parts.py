"""Parts: what the other policies stand on, so that their share of a chain shows.

hyx's time-out ends the current task's work at a time, as the cut-off does, and its fallback stands
in for an error. The rest has no peer. ``floor`` is the least that any gate can cost.
"""

import time
from collections.abc import Callable
from importlib import import_module

from bench.contender import Contender, Job, Make, Path, Step, Work, WorkError
from bench.guarded import gate_step
from resilience.cutoff import CutOff
from resilience.fallback import Fallback
from resilience.fallback_sources import FixedAnswer
from resilience.policy.bbr import BbrLimiter
from resilience.policy.budget import Budget, RetryBudget
from resilience.policy.contract import Mode, Outcome, Permit, Rejection, Request, Snapshot
from resilience.policy.deadline import attempt_timeout_s, clamp_s, is_spent
from resilience.policy.finagle_budget import FinagleBudget
from resilience.policy.pressure import combine
from resilience.policy.single import SingleEndpoint
from resilience.policy.switch import SwitchedGate
from resilience.policy.token_throttle import TokenThrottle
from resilience.single_flight import SingleFlight

TIMEOUT_S = 30.0  # never runs out


class Floor:
    """A gate that admits everything and learns nothing: what any gate costs at the least."""

    name = "floor"

    __slots__ = ("in_flight",)

    def __init__(self) -> None:
        self.in_flight = 0

    def admit(self, request: Request, now_s: float) -> Permit | Rejection:
        """Admit."""
        self.in_flight += 1
        return Permit(0, now_s, request.cost)

    def settle(self, permit: Permit, outcome: Outcome, now_s: float) -> None:
        """Take the permit back."""
        permit.mark_settled()
        self.in_flight -= 1

    def reset(self, now_s: float) -> None:
        """There is nothing to forget."""

    def snapshot(self) -> Snapshot:
        """Return what is in flight."""
        return {"in_flight": self.in_flight}


def floor(work: Work, path: Path) -> Step:
    """A permit, two calls, two readings of the clock, and no decision."""
    return gate_step(Floor(), work)


def cutoff(work: Work, path: Path) -> Step:
    """Arm, work, close."""
    call = work.acall

    async def step() -> None:
        cut = CutOff(TIMEOUT_S)
        try:
            await call()
        finally:
            cut.close()

    return step


def hyx_timeout(work: Work, path: Path) -> Step:
    """``async with`` one time-out; its decorator makes a task besides."""
    timeout, call = import_module("hyx.timeout").timeout(TIMEOUT_S), work.acall

    async def step() -> None:
        async with timeout:
            await call()

    return step


def fallback(work: Work, path: Path) -> Step:
    """A call that succeeds, so that nothing stands in for it."""
    guard, call = Fallback("bench", [FixedAnswer[None](None)]), work.acall

    async def step() -> None:
        await guard.call(call)

    return step


def hyx_fallback(work: Work, path: Path) -> Step:
    """Its decorator."""

    async def handler(error: Exception) -> None:
        return

    guarded = import_module("hyx.fallback").fallback(handler, on=WorkError)(work.acall)

    async def step() -> None:
        await guarded()

    return step


def budget(kind: Callable[[], Budget]) -> Make:
    """What a budget costs a call that needs no retry."""

    def make(work: Work, path: Path) -> Step:
        kept, clock, call = kind(), time.monotonic, work.call

        def step() -> None:
            kept.on_call_start(clock())
            call()
            kept.on_call_end(answered=True)

        return step

    return make


def deadline(work: Work, path: Path) -> Step:
    """The arithmetic of one request: its time, whether it is spent, one attempt's share."""
    clock, call = time.monotonic, work.call

    def step() -> None:
        now_s = clock()
        deadline_s = now_s + clamp_s(None, TIMEOUT_S)
        if not is_spent(deadline_s, now_s) and attempt_timeout_s(deadline_s, None, now_s):
            call()

    return step


def single(work: Work, path: Path) -> Step:
    """Pick, start, finish."""
    picker, request, clock, call = SingleEndpoint("here"), Request(), time.monotonic, work.call

    def step() -> None:
        endpoint = picker.pick(request, (), clock())
        assert endpoint is not None, "the one endpoint was not excluded"
        picker.on_start(endpoint, clock())
        call()
        picker.on_finish(endpoint, Outcome.OK, clock())

    return step


def switch(work: Work, path: Path) -> Step:
    """A limiter behind a switch that is on; the row ``bbr`` is the same without."""
    gate = BbrLimiter(lambda: 0.0)
    return gate_step(SwitchedGate(gate, lambda: Mode.ON), work)


def pressure(work: Work, path: Path) -> Step:
    """Combine four signals."""
    call = work.call

    def step() -> None:
        if combine(0.5, 0.001, 0.5, 0.01) <= 1.0:
            call()

    return step


def single_flight(work: Work, path: Path) -> Step:
    """A caller who finds nobody to join: a task for the work, and a wait for it."""
    do, call = SingleFlight().do, work.acall

    async def step() -> None:
        await do("key", call)

    return step


HAPPY = (Path.HAPPY,)
JOBS = (
    Job("floor", Contender("a gate that decides nothing", floor), (), HAPPY),
    Job(
        "cutoff",
        Contender("CutOff", cutoff),
        (Contender("hyx timeout", hyx_timeout, "hyx"),),
        HAPPY,
    ),
    Job(
        "fallback",
        Contender("Fallback", fallback),
        (Contender("hyx fallback", hyx_fallback, "hyx"),),
        HAPPY,
    ),
    Job("budget", Contender("RetryBudget", budget(RetryBudget)), (), HAPPY),
    Job("finagle_budget", Contender("FinagleBudget", budget(FinagleBudget)), (), HAPPY),
    Job("token_throttle", Contender("TokenThrottle", budget(TokenThrottle)), (), HAPPY),
    Job("deadline", Contender("deadline arithmetic", deadline), (), HAPPY),
    Job("single", Contender("SingleEndpoint", single), (), HAPPY),
    Job("switch", Contender("SwitchedGate(BbrLimiter)", switch), (), HAPPY),
    Job("single_flight", Contender("SingleFlight", single_flight), (), HAPPY),
    Job("pressure", Contender("combine", pressure), (), HAPPY),
)
