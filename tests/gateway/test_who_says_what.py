"""Every protection of the gateway that refuses, cuts or stands in says so: in a note and a header.

The notes are what ``squall explain`` prints; docs/resilience.md has the table.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest

from gateway.upstreams import STATES
from resilience.context import Note
from resilience.errors import Code, ServiceError
from resilience.policy.contract import Mode
from resilience.policy.hedge import HEDGE_MIN_SAMPLES
from resilience.server_admission import DEFAULT_FIXED_LIMIT
from tests.gateway.lab import SmallLab, small_lab, until

pytestmark = pytest.mark.integration

LIST, PAGE = "/v1/videos", "/v1/videos/1"
DECISION = "x-squall-decision"
PATIENCE_MS = 60_000.0
HELD_S = 60.0
BROKEN = ServiceError(Code.INTERNAL, "BROKEN", "broken")
AWAY = ServiceError(Code.UNAVAILABLE, "ENDPOINT_LEFT", "it left", started=False)


@asynccontextmanager
async def lab_with(**modes: Mode) -> AsyncIterator[tuple[SmallLab, httpx2.AsyncClient]]:
    """Run a small lab in which only these protections are on, with a client of patience."""
    async with small_lab() as lab:
        for name in ("limiter", "criticality", "partitions", "breaker", "bulkhead", "hedge"):
            lab.node.modes[name] = Mode.OFF
        lab.node.modes.update(modes)
        lab.node.settings["budget_ms"] = PATIENCE_MS
        lab.gateway.refresh()
        limits = httpx2.Limits(max_connections=None)
        async with httpx2.AsyncClient(
            base_url=lab.base_url, timeout=HELD_S, limits=limits
        ) as client:
            yield lab, client


@asynccontextmanager
async def held(
    lab: SmallLab, client: httpx2.AsyncClient, count: int, gate: str, **headers: str
) -> AsyncIterator[None]:
    """Have so many requests in flight at the video service for the length of a with block."""
    lab.services.trouble["video.1"].delay_s = HELD_S
    tasks = [asyncio.create_task(client.get(LIST, headers=headers)) for _ in range(count)]
    try:
        await until(lambda: lab.node.gates[gate].snapshot()["in_flight"] == count)
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await until(lambda: lab.node.gates[gate].snapshot()["in_flight"] == 0)


def notes(lab: SmallLab, answer: httpx2.Response, policy: str) -> list[Note]:
    """Return what this gateway noted of a request under one name."""
    (summary,) = lab.node.recorder.find(answer.headers["x-request-id"])
    return [note for note in summary.notes if note.policy == policy]


def check_refusal(
    lab: SmallLab, answer: httpx2.Response, said: str, status: int, reason: str
) -> None:
    """The header, the body and the note tell the same decision."""
    assert (answer.status_code, answer.json()["reason"]) == (status, reason)
    assert answer.headers[DECISION] == said
    policy, scope, figures = said.split("; ")
    (note,) = notes(lab, answer, policy)
    assert (note.what, note.detail["scope"], note.detail["reason"]) == ("rejected", scope, reason)
    value, _, limit = figures.partition("/")
    assert f"{note.detail['value']:g}" == value
    assert f"{note.detail['limit']:g}" == limit


async def test_the_limiter_says_how_many_there_were() -> None:
    """The seventeenth of sixteen."""
    async with lab_with(limiter=Mode.ON) as (lab, client):
        lab.node.choices["limiter"] = "fixed"
        async with held(lab, client, DEFAULT_FIXED_LIMIT, "limiter"):
            refused = await client.get(LIST)
        check_refusal(lab, refused, "limiter; gateway.1; 16/16", 503, "LIMIT_EXCEEDED")


async def test_criticality_says_that_it_was_importance() -> None:
    """A sheddable one has no room above the limit; a critical one has."""
    async with lab_with(limiter=Mode.ON, criticality=Mode.ON) as (lab, client):
        lab.node.choices["limiter"] = "fixed"
        async with held(lab, client, DEFAULT_FIXED_LIMIT, "criticality"):
            sheddable = {"baggage": "squall.criticality=sheddable"}
            refused = await client.get(LIST, headers=sheddable)
            lab.services.trouble["video.1"].delay_s = 0.0
            assert (await client.get(LIST)).status_code == 200
        check_refusal(lab, refused, "criticality; gateway.1; 16/16", 503, "CRITICALITY_SHED")


async def test_partitions_say_whose_share_it_was() -> None:
    """The greedy tenant is refused with its own figures, and a new one passes."""
    async with lab_with(limiter=Mode.ON, partitions=Mode.ON) as (lab, client):
        lab.node.choices["limiter"] = "fixed"
        greedy = {"baggage": "squall.tenant=greedy"}
        async with held(lab, client, DEFAULT_FIXED_LIMIT, "partitions", **greedy):
            refused = await client.get(LIST, headers=greedy)
        policy, scope, _ = refused.headers[DECISION].split("; ")
        assert (policy, scope) == ("partitions", "gateway.1")
        said = refused.headers[DECISION]
        check_refusal(lab, refused, said, 503, "TENANT_SHARE_EXCEEDED")


async def test_the_bulkhead_says_which_dependency() -> None:
    """Two calls at once may be at the video service; the third is refused by us."""
    async with lab_with(bulkhead=Mode.ON) as (lab, client):
        lab.node.settings["bulkhead"] = 2.0
        lab.gateway.refresh()
        async with held(lab, client, 2, "video.bulkhead"):
            refused = await client.get(LIST)
        check_refusal(lab, refused, "bulkhead; gateway.1>video; 2/2", 503, "BULKHEAD_FULL")


async def test_the_breaker_says_which_dependency_failed_how_much() -> None:
    """All of twenty failed, and half is the most."""
    async with lab_with(breaker=Mode.ON) as (lab, client):
        lab.node.choices["breaker"] = "states"
        lab.services.trouble["video.1"].error = BROKEN
        for _ in range(STATES.min_calls):
            assert (await client.get(LIST)).json()["reason"] == "BROKEN"
        refused = await client.get(LIST)
        said = refused.headers[DECISION]
        assert said.startswith("breaker; gateway.1>video; ")
        check_refusal(lab, refused, said, 503, "BREAKER_OPEN")


async def test_quota_says_what_the_tenant_asked_of_which_rate() -> None:
    """One a second for all, and the second comes at once: 429."""
    async with lab_with(quota=Mode.ON) as (lab, client):
        lab.node.settings["quota_rps"] = 1.0
        lab.gateway.refresh()
        ann = {"baggage": "squall.tenant=ann"}
        answers = [await client.get(LIST, headers=ann) for _ in range(2)]
        while answers[-1].status_code == 200:  # a machine that stood still for a second
            answers.append(await client.get(LIST, headers=ann))
        said = answers[-1].headers[DECISION]
        assert said.startswith("quota; gateway.1; ")
        assert said.endswith("/1")
        check_refusal(lab, answers[-1], said, 429, "QUOTA_EXCEEDED")


async def test_a_deadline_says_where_time_ran_out() -> None:
    """50 ms given, a service that takes a minute: 504, and the note names who cut."""
    async with lab_with() as (lab, client):
        lab.services.trouble["video.1"].delay_s = HELD_S
        answer = await client.get(LIST, headers={"x-envoy-expected-rq-timeout-ms": "50"})
        assert (answer.status_code, answer.json()["reason"]) == (504, "DEADLINE_EXCEEDED")
        assert answer.headers[DECISION].startswith("deadline; gateway.1")
        assert {note.what for note in notes(lab, answer, "deadline")} <= {"cut", "rejected"}
        assert notes(lab, answer, "deadline") != []


async def test_fallback_says_how_old_the_part_is() -> None:
    """The page is whole and the entry names the part, its age and the most allowed."""
    async with lab_with(fallback=Mode.ON) as (lab, client):
        assert (await client.get(PAGE)).json()["degraded"] == []
        lab.services.trouble["comment.1"].error = BROKEN
        page = await client.get(PAGE)
        assert (page.status_code, page.json()["stale"]) == (200, ["comments"])
        entries = page.headers[DECISION].split(", ")
        (said,) = [entry for entry in entries if entry.startswith("fallback; ")]
        _, scope, figures = said.split("; ")
        assert (scope, figures.endswith("/300")) == ("gateway.1>comments", True)
        assert len(notes(lab, page, "fallback")) == 1


async def test_the_retry_budget_says_that_it_is_spent() -> None:
    """A note and no header: the failure itself is the answer."""
    async with lab_with(retry=Mode.ON, retry_budget=Mode.ON) as (lab, client):
        lab.services.trouble["video.1"].error = AWAY
        lab.node.settings["attempts"] = 3.0
        lab.gateway.refresh()
        asked: list[httpx2.Response] = []

        async def ask() -> None:
            asked.append(await client.get(LIST))

        def is_spent() -> bool:
            reasons = {
                note.detail.get("reason")
                for answer in asked
                for note in notes(lab, answer, "retry")
                if note.what == "gave-up"
            }
            return "RETRY_BUDGET_SPENT" in reasons

        for _ in range(20):
            await asyncio.gather(*(ask() for _ in range(12)))
            if is_spent():
                break
        assert is_spent()
        assert {answer.json()["reason"] for answer in asked} == {"ENDPOINT_LEFT"}
        assert {DECISION in answer.headers for answer in asked} == {False}


async def test_a_hedge_leaves_two_attempts_in_the_notes() -> None:
    """In shadow one, and a word that a second would have been sent."""
    async with lab_with(hedge=Mode.SHADOW) as (lab, client):
        for _ in range(HEDGE_MIN_SAMPLES):
            assert (await client.get(LIST)).status_code == 200

        answer = await slow_answer(lab, client)
        assert [note.what for note in notes(lab, answer, "hedge")] == ["shadow-hedged"]
        assert len(notes(lab, answer, "attempt")) == 1

        lab.node.modes["hedge"] = Mode.ON
        answer = await slow_answer(lab, client)
        assert {note.what for note in notes(lab, answer, "hedge")} == {"hedges"}
        assert len(notes(lab, answer, "attempt")) >= 2
        assert DECISION not in answer.headers


async def slow_answer(lab: SmallLab, client: httpx2.AsyncClient) -> httpx2.Response:
    """Make the service so slow that a hedge is due, however slow the machine is."""
    for delay_s in (0.3, 1.0, 3.0):
        lab.services.trouble["video.1"].delay_s = delay_s
        answer = await client.get(LIST)
        assert answer.status_code == 200
        if notes(lab, answer, "hedge") or len(notes(lab, answer, "attempt")) > 1:
            break
    return answer
