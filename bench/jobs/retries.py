"""Retries: try a call again, at most three times, here without a wait between.

tenacity and stamina are measured twice, as each is used: synchronously against the pure plan, in a
coroutine against the pipeline. The pipeline guards more than they do (deadline, budget, endpoints,
what may be retried at all); here it has a retry policy and nothing else.
"""

import random
import time
from importlib import import_module
from typing import Any

from bench.contender import Contender, Job, Path, Step, Work, WorkError
from resilience.pipeline import ClientPipeline
from resilience.policy.budget import RetryBudget
from resilience.policy.contract import AttemptResult, Mode, Outcome, Try
from resilience.policy.retry import RetryPlan, RetrySettings
from resilience.policy.single import SingleEndpoint
from resilience.switches import FixedSwitches

ATTEMPTS = Path.GIVE_UP.value
SETTINGS = RetrySettings(max_attempts=ATTEMPTS, base_s=0.0)
SEED = 20_261_122


def retry_plan(work: Work, path: Path) -> Step:
    """A plan per call, driven as the pipeline drives it."""
    budget, rng, clock = RetryBudget(), random.Random(SEED), time.monotonic
    call = work.call if path is Path.HAPPY else work.fail
    failed = AttemptResult("here", Outcome.FAILED)

    def step() -> None:
        plan = RetryPlan(SETTINGS, budget, rng, idempotent=True, deadline_s=None)
        try:
            todo = plan.next(clock())
            while isinstance(todo, Try):
                try:
                    call()
                    return
                except WorkError:
                    plan.on_result(failed, clock())
                    todo = plan.next(clock())
        finally:
            plan.close()

    return step


def tenacity(work: Work, path: Path) -> Step:
    """One ``Retrying``, called; its sleep of zero seconds taken out."""
    retrying = _tenacity("Retrying", sleep=lambda seconds: None)
    call = work.call if path is Path.HAPPY else work.fail
    return _giving_up(lambda: retrying(call), path)


def stamina(work: Work, path: Path) -> Step:
    """Its decorator, without hooks."""
    call = _stamina()(work.call if path is Path.HAPPY else work.fail)
    return _giving_up(call, path)


def client_pipeline(work: Work, path: Path) -> Step:
    """A pipeline with one endpoint and retries; no deadline, breaker or bulkhead."""
    switches = FixedSwitches({"deadline": Mode.OFF})
    pipeline = ClientPipeline("bench", SingleEndpoint("here"), switches, retry=SETTINGS)
    attempt = work.acall if path is Path.HAPPY else work.afail

    async def send(endpoint: str, timeout_s: float | None) -> None:
        await attempt()

    return _giving_up_async(lambda: pipeline.call(send, idempotent=True), path)


def async_tenacity(work: Work, path: Path) -> Step:
    """One ``AsyncRetrying``, called; its sleep of zero seconds taken out."""

    async def no_sleep(seconds: float) -> None:
        return

    retrying = _tenacity("AsyncRetrying", sleep=no_sleep)
    call = work.acall if path is Path.HAPPY else work.afail
    return _giving_up_async(lambda: retrying(call), path)


def async_stamina(work: Work, path: Path) -> Step:
    """Its decorator on a coroutine function, without hooks."""
    return _giving_up_async(_stamina()(work.acall if path is Path.HAPPY else work.afail), path)


def hyx(work: Work, path: Path) -> Step:
    """Its decorator on a coroutine function; its ``attempts`` do not count the first."""
    retry = import_module("hyx.retry").retry(on=WorkError, attempts=ATTEMPTS - 1, backoff=0)
    spent = import_module("hyx.retry.exceptions").MaxAttemptsExceeded
    call = retry(work.acall if path is Path.HAPPY else work.afail)
    return _giving_up_async(call, path, spent)


def _tenacity(kind: str, *, sleep: Any) -> Any:
    package = import_module("tenacity")
    return getattr(package, kind)(
        stop=package.stop_after_attempt(ATTEMPTS),
        wait=package.wait_none(),
        retry=package.retry_if_exception_type(WorkError),
        sleep=sleep,
        reraise=True,
    )


def _stamina() -> Any:
    package = import_module("stamina")
    import_module("stamina.instrumentation").set_on_retry_hooks(())
    return package.retry(
        on=WorkError, attempts=ATTEMPTS, timeout=None, wait_initial=0, wait_max=0, wait_jitter=0
    )


def _giving_up(call: Any, path: Path) -> Step:
    """Expect the work's error on the path where every attempt fails."""
    if path is Path.HAPPY:
        return lambda: call()

    def step() -> None:
        try:
            call()
        except WorkError:
            return

    return step


def _giving_up_async(call: Any, path: Path, error: type[Exception] = WorkError) -> Step:
    if path is Path.HAPPY:

        async def through() -> None:
            await call()

        return through

    async def step() -> None:
        try:
            await call()
        except error:
            return

    return step


PATHS = (Path.HAPPY, Path.GIVE_UP)
HYX = Contender("hyx retry", hyx, "hyx")
JOBS = (
    Job(
        "retry",
        Contender("RetryPlan", retry_plan),
        (
            Contender("tenacity", tenacity, "tenacity"),
            Contender("stamina", stamina, "stamina"),
            HYX,
        ),
        PATHS,
    ),
    Job(
        "pipeline",
        Contender("ClientPipeline, retry only", client_pipeline),
        (
            Contender("tenacity, async", async_tenacity, "tenacity"),
            Contender("stamina, async", async_stamina, "stamina"),
            HYX,
        ),
        PATHS,
    ),
)
