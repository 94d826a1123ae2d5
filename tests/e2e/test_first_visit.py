"""What a newcomer types, in the order of the README."""

import uuid

import pytest

from tests.e2e.conftest import Lab
from tests.e2e.wait import on_a_moving_machine, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

PROCESSES = {
    "account.1", "cache-1.1", "cache-2.1", "cache-3.1", "comment.1", "control.1",
    "counter.1", "gateway.1", "gateway.2", "l4.1", "l7.1", "links.1",
    "store-1.1", "store-2.1", "store-3.1", "store-4.1", "store-5.1", "store-6.1",
    "store-7.1", "store-8.1", "store-proxy.1",
    "video.1", "video.2", "video.3",
}  # fmt: skip
DEGRADED_LIMIT_S = 0.450
GRPC_GRAIN_MS = 10  # gRPC rounds a timeout of a second or more up to this


def test_page_comes_whole_through_every_tier(lab: Lab) -> None:
    """A video's page answers 200 with every part, a request id and the time of each hop."""
    answer = lab.get("/v1/videos/1")

    assert answer.status == 200
    page = answer.json
    assert page["degraded"] == []
    assert page["video"]["id"] == 1
    assert {"author", "comments", "stats"} <= page.keys()
    assert answer.headers["x-request-id"]
    hops = answer.headers["server-timing"]
    assert "l7" in hops
    assert "gateway" in hops


def test_front_page_suits_who_asks(lab: Lab) -> None:
    """A browser gets a page of links, a client JSON; every link answers."""
    page = lab.get("/", accept="text/html,application/xhtml+xml,*/*;q=0.8")
    assert page.headers["content-type"].startswith("text/html")
    links = lab.get("/").json["links"]
    assert {path: lab.get(path).status for path in links.values()} == dict.fromkeys(
        links.values(), 200
    )


def test_status_shows_every_process_up_and_ready(lab: Lab) -> None:
    """Each process of the compose file is up, has memory, and is ready."""
    status = lab.json("status")

    rows = {row["instance"]: row for row in status["processes"]}
    assert rows.keys() >= PROCESSES
    for name in PROCESSES:
        assert rows[name]["up"], name
        assert rows[name]["ready"] is not False, name
        assert rows[name]["memory_bytes"] > 1_000_000, name


def test_slow_comments_leave_a_page_in_time_that_names_them(lab: Lab) -> None:
    """With 500 ms on comment the page still answers 200 in under 450 ms, degraded."""
    added = lab.json("fault", "add", "latency", "--on", "comment", "--ms", "500", "--ttl", "60s")
    try:
        assert added["live"] == added["total"] >= 1
        on_a_moving_machine(lambda: _is_degraded_in_time(lab))
        listed = lab.json("fault", "list")["faults"]
        assert [row["id"] for row in listed] == [added["id"]]
        assert listed[0]["proof_counts"]["hits"] >= 1
    finally:
        lab.json("fault", "clear")
    assert lab.get("/v1/videos/1").json["degraded"] == []


def _is_degraded_in_time(lab: Lab) -> None:
    answer = lab.get("/v1/videos/1")
    assert answer.status == 200
    assert answer.json["degraded"] == ["comments"]
    assert answer.took_s < DEGRADED_LIMIT_S


def test_fault_ends_by_itself(lab: Lab) -> None:
    """A fault bites, and after its few seconds is gone without anybody removing it."""
    lab.json("fault", "add", "error", "--on", "video", "--code", "NOT_FOUND", "--ttl", "5s")

    bitten = lab.get("/v1/videos")
    assert (bitten.status, bitten.json["reason"]) == (404, "FAULT_INJECTED")
    wait_until(lambda: lab.get("/v1/videos").status == 200, limit_s=15)
    wait_until(lambda: lab.json("fault", "list")["faults"] == [], limit_s=15)


def test_switch_is_live_when_the_command_returns(lab: Lab) -> None:
    """Policy set reports every target live, and policy list shows the switch."""
    report = lab.json("policy", "set", "limiter", "off", "--on", "video")
    try:
        assert (report["live"], report["total"]) == (3, 3)
        modes = lab.json("policy", "list")["policies"]
        assert {modes[f"video.{n}"]["limiter"] for n in (1, 2, 3)} == {"off"}
        assert modes["comment.1"]["limiter"] == "on"
    finally:
        lab.json("policy", "reset", "limiter", "--on", "video")


def test_explain_collects_the_hops_of_one_request(lab: Lab) -> None:
    """The hops of a page are l7, a gateway and the four services, with budget that shrinks."""
    request_id = f"e2e-{uuid.uuid4().hex[:12]}"
    assert lab.get("/v1/videos/1", x_request_id=request_id).headers["x-request-id"] == request_id

    hops = lab.json("explain", request_id)["hops"]
    services = [hop["instance"].rpartition(".")[0] for hop in hops]
    assert services[:2] == ["l7", "gateway"]
    assert set(services[2:]) >= {"account", "video", "comment", "counter"}
    gateway = hops[1]["remaining_in_ms"] + GRPC_GRAIN_MS
    assert all(hop["remaining_in_ms"] <= gateway for hop in hops[2:])


def test_seeding_again_changes_nothing(lab: Lab) -> None:
    """Seed is idempotent: the first page of videos is the same afterwards."""
    before = lab.get("/v1/videos").json
    lab.json("seed")
    assert lab.get("/v1/videos").json == before


def test_session_comment_and_like(lab: Lab) -> None:
    """A session can comment and like; the comment is there to read and the like counts once."""
    name = f"visitor_{uuid.uuid4().hex[:8]}"
    token = lab.make("/v1/sessions", {"name": name}).json["token"]
    bearer = {"authorization": f"Bearer {token}"}
    text = f"seen {uuid.uuid4().hex}"

    lab.make("/v1/videos/2/comments", {"text": text}, **bearer)
    assert lab.get("/v1/videos/2/comments").json["comments"][0]["text"] == text

    key = uuid.uuid4().hex
    first = lab.post("/v1/videos/2/likes", {}, idempotency_key=key, **bearer)
    again = lab.post("/v1/videos/2/likes", {}, idempotency_key=key, **bearer)
    assert (first.status, again.status) == (200, 200)
    assert first.json["likes"] == again.json["likes"]
    assert (first.json["replayed"], again.json["replayed"]) == (False, True)
    body = lab.post("/v1/videos/2/likes", {"source": "page"}, idempotency_key=key, **bearer)
    assert body.status == 422
    other = lab.post("/v1/videos/3/likes", {}, idempotency_key=key, **bearer)
    assert other.status == 422
    assert other.json["reason"] == "IDEMPOTENCY_KEY_REUSED"
