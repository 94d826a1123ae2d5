"""Control, store, four services and the gateway as they really run, on sockets of their own."""

import asyncio
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from kit.control import ControlClient
from tests.gateway.processes import INSTANCES, Processes, processes

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

READY_LIMIT_S = 40.0
BUDGET_MS = 9_000.0  # below 10 s gRPC counts a timeout in steps of 10 ms
GRPC_GRAIN_MS = 50.0
CLIENT_TIMEOUT_S = 30.0


@pytest.fixture(scope="module")
def lab() -> Iterator[Processes]:
    """Run the processes for all tests here."""
    with processes() as running:
        wait_for(lambda: page_of(running)["degraded"] == [])
        asyncio.run(write(running, {"setting/gateway/budget_ms": {"value": BUDGET_MS}}))
        yield running


@pytest.fixture(scope="module")
def client(lab: Processes) -> Iterator[httpx2.Client]:
    """Open a client of the gateway."""
    with httpx2.Client(base_url=lab.base_url, timeout=CLIENT_TIMEOUT_S) as running:
        yield running


def page_of(lab: Processes) -> dict[str, Any]:
    """Return the first video's page, or nothing degraded about nothing while there is none."""
    try:
        answer = httpx2.get(f"{lab.base_url}/v1/videos/1")
        page: dict[str, Any] = answer.json() if answer.status_code == 200 else {}
    except httpx2.TransportError:
        page = {}
    return {"degraded": None, **page}


def wait_for(condition: Any, limit_s: float = READY_LIMIT_S) -> None:
    """Wait until a condition holds; fail when it doesn't within the limit."""
    end_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end_s, "the condition did not come about in time"
        time.sleep(0.02)


def whole(client: httpx2.Client, path: str, **headers: str) -> dict[str, Any]:
    """Return a page with nothing missing; a busy machine may need more than one try."""
    pages: list[dict[str, Any]] = []

    def is_whole() -> bool:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        pages.append(client.get(path, headers=named).json())
        return pages[-1].get("degraded") == []

    wait_for(is_whole)
    return pages[-1]


async def write(lab: Processes, changes: dict[str, object | None]) -> None:
    """Write control state and wait until every process acts on it."""
    control = ControlClient((lab.control.host, lab.control.port))
    try:
        version = await control.write(changes)
        end_s = time.monotonic() + READY_LIMIT_S
        while True:  # a lease may have ended while the machine stood still
            report = await control.wait_live(version)
            if report.live == report.total == len(INSTANCES):
                return
            assert time.monotonic() < end_s, str(report)
            await asyncio.sleep(0.05)
    finally:
        await control.close()


def test_seeded_pages_are_whole(client: httpx2.Client) -> None:
    """Every tier takes part in a page, and the seeded data is in it."""
    page = whole(client, "/v1/videos/1")
    assert page["author"]["id"] == page["video"]["author_id"]
    assert page["comments"]["total"] >= 5
    assert page["stats"]["views"] > 0
    assert len(client.get("/v1/videos").json()["videos"]) == 20
    assert len(whole(client, "/v1/home")["videos"]) == 10


def test_what_is_written_is_read_back(client: httpx2.Client) -> None:
    """A session, a comment and a like go through to two nodes of the store and back."""
    name = f"visitor_{uuid.uuid4().hex[:8]}"
    session = client.post("/v1/sessions", json={"name": name}).json()
    headers = {"authorization": f"Bearer {session['token']}"}
    said = client.post("/v1/videos/3/comments", json={"text": name}, headers=headers)
    assert said.status_code == 201
    assert client.get("/v1/videos/3/comments").json()["comments"][0] == said.json()
    likes = whole(client, "/v1/videos/3")["stats"]["likes"]
    keyed = {**headers, "idempotency-key": name}
    first = client.post("/v1/videos/3/likes", json={}, headers=keyed).json()
    again = client.post("/v1/videos/3/likes", json={}, headers=keyed).json()
    assert first["likes"] == likes + 1
    assert again == {**first, "replayed": True}
    other = client.post("/v1/videos/4/likes", json={}, headers=keyed)
    assert (other.status_code, other.json()["reason"]) == (422, "IDEMPOTENCY_KEY_REUSED")


def publish(client: httpx2.Client, name: str) -> tuple[str, dict[str, str]]:
    """Publish a video as somebody new; return its path and the author's headers."""
    session = client.post("/v1/sessions", json={"name": name}).json()
    headers = {"authorization": f"Bearer {session['token']}"}
    made = client.post("/v1/videos", json={"title": "first", "duration_s": 5}, headers=headers)
    assert made.status_code == 201
    return made.headers["location"], headers


def cache_of(answer: httpx2.Response) -> str:
    """Return what a page says of the cache."""
    entries = answer.headers["server-timing"].split(",")
    return next(each.strip() for each in entries if "cache;" in each)


def test_write_is_seen_at_once_whoever_answers(client: httpx2.Client) -> None:
    """Rename again and again: of thirty reads after each answer, over three replicas, none is old.

    Between them the page comes from the cache.
    """
    path, headers = publish(client, f"writer_{uuid.uuid4().hex[:8]}")
    found: set[str] = set()
    for title in ("second", "third", "fourth", "fifth"):
        renamed = client.patch(path, json={"title": title}, headers=headers)
        assert (renamed.status_code, renamed.json()["title"]) == (200, title)
        for _ in range(30):
            page = client.get(path)
            assert page.json()["video"]["title"] == title
            found.add(cache_of(page))
        assert client.get("/v1/home").json()["videos"][0]["title"] == title
        assert client.get("/v1/videos").json()["videos"][0]["title"] == title
    assert 'cache;desc="hit"' in found


async def test_figures_of_the_cache_are_where_others_look(
    lab: Processes, client: httpx2.Client
) -> None:
    """``policies`` and ``stats`` of each replica have hits, misses and ejections; so do metrics."""
    for _ in range(20):
        client.get("/v1/videos/1")
    control = ControlClient((lab.control.host, lab.control.port))
    try:
        policies = await control.ask("policies", {}, targets=["video"], timeout_s=20.0)
        stats = await control.ask("stats", {}, targets=["video"], timeout_s=20.0)
    finally:
        await control.close()
    assert policies.keys() == stats.keys() == {"video.1", "video.2", "video.3"}
    figures = [policies[name]["cache"] for name in policies]
    assert sum(each["hits"] for each in figures) > 0
    assert all({"misses", "ejections", "cache-1.hits"} <= each.keys() for each in figures)
    assert all("led" in each["single_flight"] for each in stats.values())
    page = httpx2.get(f"http://{INSTANCES['video.1']}:9100/metrics").text
    assert 'squall_policy{figure="cache-1.hits",policy="cache"}' in page


def test_losing_a_cache_node_fails_no_read(lab: Processes, client: httpx2.Client) -> None:
    """Kill a node under reads: every page answers 200 and is served, and writes are seen."""
    paths = [f"/v1/videos/{number}" for number in range(1, 41)]
    path, headers = publish(client, f"writer_{uuid.uuid4().hex[:8]}")
    for each in paths:
        client.get(each)
    lab.cache[0].process.kill()
    assert {client.get(each).status_code for each in paths} == {200}
    client.get(path)
    # A replica's first write of an outage takes most of the route's budget: repeat what was late.
    keyed = {**headers, "idempotency-key": uuid.uuid4().hex}
    wait_for(lambda: client.patch(path, json={"title": "now"}, headers=keyed).status_code == 200)
    assert {client.get(path).json()["video"]["title"] for _ in range(12)} == {"now"}


async def test_slow_comments_cost_the_page_only_its_comments(
    lab: Processes, client: httpx2.Client
) -> None:
    """With a minute added to comment the page is 200 all the same, degraded, until it ends."""
    fault = {"id": "slow", "kind": "latency", "target": "comment", "params": {"ms": 60_000}}
    await write(lab, {"fault/slow": {**fault, "ttl_s": 60.0}})

    def is_only_that() -> bool:
        answer = client.get("/v1/videos/1")
        assert answer.status_code == 200
        assert "comments" in answer.json()["degraded"]
        return bool(answer.json()["degraded"] == ["comments"])

    wait_for(is_only_that)
    await write(lab, {"fault/slow": None})
    assert whole(client, "/v1/videos/1")["comments"]["total"] >= 5


async def test_every_hop_explains_a_request(lab: Processes, client: httpx2.Client) -> None:
    """Each process that took part in a request knows it by its id, with the time it had left."""
    request_id = f"explained-{uuid.uuid4().hex[:8]}"
    whole(client, "/v1/videos/2", x_request_id=request_id)
    control = ControlClient((lab.control.host, lab.control.port))
    try:
        answers = await control.ask("explain", {"request_id": request_id}, timeout_s=20.0)
    finally:
        await control.close()
    hops = {name: found for name, found in answers.items() if isinstance(found, list) and found}
    services = {name.partition(".")[0] for name in hops}
    assert services == {"gateway", "account", "video", "comment", "counter"}
    left_ms = {name: max(each["remaining_in_ms"] for each in hops[name]) for name in hops}
    # gRPC rounds a second's timeout up to 10 ms, from a clock reading that may be a little old.
    assert max(left_ms.values()) <= left_ms["gateway.1"] + GRPC_GRAIN_MS, left_ms


async def test_settings_reach_the_running_gateway(lab: Processes, client: httpx2.Client) -> None:
    """A route's budget set in control holds from then on, and no longer once it is gone."""
    slow = {"id": "slow", "kind": "latency", "target": "video", "params": {"ms": 300}}
    await write(
        lab,
        {
            "setting/gateway/budget_ms.videos": {"value": 100},
            "fault/slow": {**slow, "ttl_s": 60.0},
        },
    )
    answer = client.get("/v1/videos")
    assert (answer.status_code, answer.json()["reason"]) == (504, "DEADLINE_EXCEEDED")
    await write(lab, {"setting/gateway/budget_ms.videos": None, "fault/slow": None})
    assert client.get("/v1/videos").status_code == 200


def test_draining_a_replica_fails_no_request(lab: Processes, client: httpx2.Client) -> None:
    """SIGTERM to one of three video replicas under steady traffic: no request fails."""
    statuses: list[int] = []
    stop = threading.Event()

    def traffic() -> None:
        with httpx2.Client(base_url=lab.base_url, timeout=CLIENT_TIMEOUT_S) as own:
            while not stop.is_set():
                statuses.append(own.get("/v1/videos").status_code)

    thread = threading.Thread(target=traffic)
    thread.start()
    try:
        wait_for(lambda: len(statuses) > 10)
        assert lab.stop("video.2") == 0
        before = len(statuses)
        wait_for(lambda: len(statuses) > before + 10)
    finally:
        stop.set()
        thread.join()
        lab.start("video.2")
    assert set(statuses) == {200}


def test_gateway_stops_in_order(lab: Processes) -> None:
    """SIGTERM ends the gateway with exit code 0 and nothing left unsaid on the way."""
    assert lab.stop("gateway.1") == 0
