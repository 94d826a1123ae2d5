"""One object of settings: what it builds, what may be left out, what it refuses."""

import asyncio
import random
from dataclasses import FrozenInstanceError

import pytest

from resilience.errors import DeadlineExpired, UpstreamTimeout
from resilience.pipeline_settings import BudgetKind, PipelineSettings, build_pipeline
from resilience.policy.breaker_settings import BreakerSettings
from resilience.policy.budget import RetryBudget
from resilience.policy.contract import Mode
from resilience.policy.finagle_budget import FinagleBudget
from resilience.policy.hedge import HedgeSettings
from resilience.policy.retry import RetrySettings
from resilience.policy.single import SingleEndpoint
from resilience.policy.sre_breaker import AEGIS, KRATOS_V1
from resilience.policy.token_throttle import TokenThrottle
from resilience.switches import FixedSwitches
from tests.resilience.fakes import FakeGate, FakePicker
from tests.resilience.pipeline_world import FakeObserver, broken

BARE = PipelineSettings(timeout_s=None, retry=None, breaker=None, max_concurrent=None)


async def answer(endpoint: str, timeout_s: float | None) -> tuple[str, float | None]:
    """Say where the call went, and how long it had."""
    return endpoint, timeout_s


async def hang(endpoint: str, timeout_s: float | None) -> None:
    """Answer too late for anyone."""
    await asyncio.sleep(60)


def test_defaults_are_those_of_each_part() -> None:
    """A second, Envoy's retries and budget, Kratos' breaker, 25 at once, no hedges."""
    settings = PipelineSettings()
    assert (settings.timeout_s, settings.per_try_timeout_s, settings.max_wait_s) == (
        1.0,
        None,
        None,
    )
    assert (settings.retry, settings.budget) == (RetrySettings(), BudgetKind.ENVOY)
    assert (settings.hedge, settings.breaker) == (None, KRATOS_V1)
    assert (settings.max_concurrent, settings.max_waiting, settings.attempts) == (25, 0, 3)
    with pytest.raises(FrozenInstanceError):
        settings.timeout_s = 2.0  # type: ignore[misc]


async def test_the_default_pipeline_answers_within_its_second() -> None:
    """The whole call's time is what an attempt gets."""
    pipeline = build_pipeline("video", PipelineSettings(), SingleEndpoint("only"))
    endpoint, timeout_s = await pipeline.call(answer, idempotent=True)

    assert endpoint == "only"
    assert timeout_s is not None
    assert 0.0 < timeout_s <= 1.0
    assert repr(pipeline) == "<ClientPipeline video [breaker, bulkhead, retry]>"


async def test_everything_may_be_left_out() -> None:
    """One attempt, no limits: only the budget is left, and nobody asks it."""
    pipeline = build_pipeline("bare", BARE, FakePicker("a"))

    assert await pipeline.call(answer, idempotent=True) == ("a", None)
    assert repr(pipeline) == "<ClientPipeline bare [retry]>"


async def test_without_retries_there_is_one_attempt() -> None:
    """Though the call may be repeated, and another endpoint is there."""
    sent = []

    async def fail(endpoint: str, timeout_s: float | None) -> None:
        sent.append(endpoint)
        raise broken()

    pipeline = build_pipeline("bare", BARE, FakePicker("a", "b"))
    with pytest.raises(Exception, match="broke"):
        await pipeline.call(fail, idempotent=True)
    assert sent == ["a"]


async def test_the_whole_call_ends_at_its_timeout_and_a_try_at_its_own() -> None:
    """Two errors, that say whose time ran out."""
    whole = build_pipeline("video", PipelineSettings(timeout_s=0.02), FakePicker("a"))
    with pytest.raises(DeadlineExpired):
        await whole.call(hang, idempotent=False)

    one_try = PipelineSettings(per_try_timeout_s=0.01, retry=None, timeout_s=5.0)
    with pytest.raises(UpstreamTimeout):
        await build_pipeline("video", one_try, FakePicker("a")).call(hang, idempotent=False)


async def test_the_timeout_obeys_the_deadline_s_switch() -> None:
    """Off means that no time is enforced, whoever set it."""
    switches = FixedSwitches({"deadline": Mode.OFF})
    pipeline = build_pipeline("video", PipelineSettings(), FakePicker("a"), switches)

    assert await pipeline.call(answer, idempotent=True) == ("a", None)


@pytest.mark.parametrize(
    ("kind", "made"),
    [
        (BudgetKind.ENVOY, RetryBudget),
        (BudgetKind.FINAGLE, FinagleBudget),
        (BudgetKind.GRPC, TokenThrottle),
    ],
)
async def test_each_kind_of_budget_works_in_a_pipeline(kind: BudgetKind, made: type) -> None:
    """A call fails once and is retried out of it."""
    assert type(kind.make()) is made
    endings = [broken(), None]

    async def send(endpoint: str, timeout_s: float | None) -> str:
        ending = endings.pop(0)
        if ending is not None:
            raise ending
        return endpoint

    pipeline = build_pipeline("video", PipelineSettings(budget=kind), FakePicker("a", "b"))
    assert await pipeline.call(send, idempotent=True) == "b"
    figures = pipeline.snapshot()["retry"]
    assert (figures["calls"], figures["retries"], figures["spent"]) == (0, 0, 1)


async def test_any_gate_may_be_the_breaker() -> None:
    """A function of a Random makes it; settings of either breaker need none."""
    gate = FakeGate("breaker")
    pipeline = build_pipeline("video", PipelineSettings(breaker=lambda rng: gate), FakePicker("a"))
    await pipeline.call(answer, idempotent=True)
    assert len(gate.outcomes) == 1

    pipeline = build_pipeline("video", PipelineSettings(breaker=AEGIS), FakePicker("a"))
    assert pipeline.snapshot()["breaker"]["requests"] == 0
    pipeline = build_pipeline("video", PipelineSettings(breaker=BreakerSettings()), FakePicker("a"))
    assert pipeline.snapshot()["breaker"]["state"] == "closed"


async def test_a_hedge_a_room_and_an_observer_reach_the_pipeline() -> None:
    """Two slots with a room; a slow first attempt is joined by a second."""
    settings = PipelineSettings(
        retry=RetrySettings(2),
        hedge=HedgeSettings(delay_s=0.0),
        max_concurrent=2,
        max_waiting=3,
        max_wait_s=1.0,
    )
    observer = FakeObserver()

    async def send(endpoint: str, timeout_s: float | None) -> str:
        if endpoint == "a":
            await asyncio.sleep(60)
        return endpoint

    pipeline = build_pipeline(
        "video",
        settings,
        FakePicker("a", "b"),
        scope="here>video",
        rng=random.Random(1),
        observer=observer,
    )
    assert await pipeline.call(send, idempotent=True) == "b"
    assert observer.of("hedge") == ["hedges"]
    assert pipeline.snapshot()["bulkhead"]["limit"] == 2


async def test_one_object_builds_pipelines_that_share_nothing() -> None:
    """What one dependency spends is not missing for another."""
    settings = PipelineSettings()
    one, other = (build_pipeline(name, settings, FakePicker("a")) for name in ("one", "other"))

    assert all(one.policies[key] is not other.policies[key] for key in one.policies)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"timeout_s": 0.0}, "timeout_s=0.0 must be None or above 0"),
        ({"timeout_s": float("inf")}, "timeout_s=inf"),
        ({"per_try_timeout_s": -1.0}, "per_try_timeout_s=-1.0"),
        ({"max_wait_s": 0.0}, "max_wait_s=0.0"),
        ({"max_concurrent": 0}, "max_concurrent=0 must be None or >= 1"),
        ({"max_waiting": -1}, "max_waiting=-1 must be >= 0"),
        ({"max_concurrent": None, "max_waiting": 1}, "needs max_concurrent"),
        ({"retry": None, "hedge": HedgeSettings()}, "a hedge is a second attempt"),
        ({"retry": RetrySettings(1), "hedge": HedgeSettings()}, "max_attempts=1"),
    ],
)
def test_impossible_settings_are_refused(arguments: dict[str, object], words: str) -> None:
    """The message names the value and the range."""
    with pytest.raises(ValueError, match=words):
        PipelineSettings(**arguments)  # type: ignore[arg-type]


def test_the_bounds_themselves_are_allowed() -> None:
    """One slot, no room, two attempts with a hedge."""
    PipelineSettings(max_concurrent=1, max_waiting=0)
    PipelineSettings(retry=RetrySettings(2), hedge=HedgeSettings())
