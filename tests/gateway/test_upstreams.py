"""The gateway's way to its services: balancing, checks, endpoints that come, go and fail."""

import asyncio
import time
from collections import Counter

import httpx2
import pytest
from grpc_health.v1 import health_pb2

from gateway.channels import CLOSE_GRACE_S
from gateway.checks import CHECK_EVERY_S, CHECK_TIMEOUT_S
from gateway.settings import DEFAULT_BULKHEAD
from resilience.errors import Code, ServiceError
from resilience.policy.contract import Mode
from tests.gateway.lab import START_LIMIT_S, SmallLab, small_lab, until

pytestmark = pytest.mark.integration


def test_defaults_are_the_documented_ones() -> None:
    """Checks every 300 ms with 300 ms to answer, 32 calls at once, 5 s for a channel to close."""
    assert (CHECK_EVERY_S, CHECK_TIMEOUT_S) == (0.3, 0.3)
    assert (DEFAULT_BULKHEAD, CLOSE_GRACE_S) == (32, 5.0)


def calls(lab: SmallLab) -> Counter[str]:
    """Count the calls each video replica got."""
    return Counter({name: len(each.calls) for name, each in lab.services.trouble.items()})


def usable(lab: SmallLab, instance: str) -> bool:
    """Whether the gateway's balancer may pick a video replica."""
    return bool(lab.node.gates["video.balancer"].snapshot()[f"{instance}.usable"])


async def test_requests_spread_over_the_replicas() -> None:
    """Three replicas share the calls."""
    async with small_lab(3) as lab, httpx2.AsyncClient(base_url=lab.base_url) as client:
        limit_s = time.monotonic() + START_LIMIT_S  # one that stood still looks slow for a while
        while not all(calls(lab)[f"video.{each}"] >= 5 for each in (1, 2, 3)):
            assert time.monotonic() < limit_s, calls(lab)
            assert (await client.get("/v1/videos")).status_code == 200


async def test_broken_replica_is_left_at_once_and_found_again() -> None:
    """One call fails at a replica that is gone; the others don't go there until it is back."""
    async with small_lab(2) as lab, httpx2.AsyncClient(base_url=lab.base_url) as client:
        for _ in range(4):
            await client.get("/v1/videos")
        await lab.services.servers["video.1"].stop(None)
        answers = [(await client.get("/v1/videos")).status_code for _ in range(30)]
        assert answers.count(200) >= 29
        assert not usable(lab, "video.1")

        await lab.services.start_one("video.1")
        lab.announce()
        await until(lambda: usable(lab, "video.1"))
        before = calls(lab)["video.1"]
        for _ in range(30):
            await client.get("/v1/videos")
        assert calls(lab)["video.1"] > before


async def test_retry_hides_a_broken_replica() -> None:
    """With the policy on the one failed call is tried elsewhere, and nobody notices."""
    async with small_lab(2) as lab, httpx2.AsyncClient(base_url=lab.base_url) as client:
        lab.node.modes["retry"] = Mode.ON
        await client.get("/v1/videos")
        await lab.services.servers["video.2"].stop(None)
        assert {(await client.get("/v1/videos")).status_code for _ in range(30)} == {200}


async def test_replica_that_says_it_does_not_serve_is_left() -> None:
    """Three checks answered NOT_SERVING take a replica out; two good ones bring it back."""
    async with small_lab(2) as lab:
        health = lab.services.health["video.2"]
        await health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
        await until(lambda: not usable(lab, "video.2"))
        await health.set("", health_pb2.HealthCheckResponse.SERVING)
        await until(lambda: usable(lab, "video.2"))


async def test_replica_that_left_the_registry_finishes_what_it_has() -> None:
    """A call under way at a replica that left is still answered; new ones go elsewhere."""
    async with small_lab(2) as lab, httpx2.AsyncClient(base_url=lab.base_url) as client:
        lab.services.trouble["video.1"].delay_s = 0.3
        lab.services.trouble["video.2"].delay_s = 0.3
        async with httpx2.AsyncClient(base_url=lab.base_url) as other:
            asked = asyncio.create_task(other.get("/v1/videos"))
            await until(lambda: sum(calls(lab).values()) == 1)
            busy = next(name for name, count in calls(lab).items() if count)
            del lab.services.endpoints[busy]
            lab.announce()
            assert (await asked).status_code == 200
        lab.services.trouble["video.1"].delay_s = lab.services.trouble["video.2"].delay_s = 0.0
        before = calls(lab)[busy]
        for _ in range(10):
            assert (await client.get("/v1/videos")).status_code == 200
        assert calls(lab)[busy] == before


async def test_without_any_endpoint_the_answer_is_503() -> None:
    """A service that nobody runs is 503 with a reason and when to come back."""
    async with small_lab() as lab, httpx2.AsyncClient(base_url=lab.base_url) as client:
        lab.services.endpoints.clear()
        lab.announce()
        answer = await client.get("/v1/videos")
        assert (answer.status_code, answer.json()["reason"]) == (503, "NO_ENDPOINT")
        assert answer.headers["retry-after"] == "1"


async def test_push_back_of_a_service_reaches_the_client() -> None:
    """A refusal two hops down keeps its reason, Retry-After and decision."""
    async with small_lab() as lab, httpx2.AsyncClient(base_url=lab.base_url) as client:
        lab.services.trouble["video.1"].error = ServiceError(
            Code.UNAVAILABLE,
            "LIMIT_EXCEEDED",
            "refused",
            metadata={"decision": "limiter; video.1; 6/5"},
            retry_after_s=2.0,
            started=False,
        )
        answer = await client.get("/v1/videos")
        assert (answer.status_code, answer.json()["reason"]) == (503, "LIMIT_EXCEEDED")
        assert answer.headers["retry-after"] == "2"
        assert answer.headers["x-squall-decision"] == "limiter; video.1; 6/5"
