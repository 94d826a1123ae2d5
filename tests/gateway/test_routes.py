"""The routes that go well, over a real socket."""

from collections.abc import AsyncIterator

import httpx2
import pytest
import pytest_asyncio

from resilience.policy.contract import Mode
from tests.gateway.lab import VIDEOS, SmallLab, small_lab, until

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def lab() -> AsyncIterator[SmallLab]:
    """Run one lab for all tests here."""
    async with small_lab() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def client(lab: SmallLab) -> AsyncIterator[httpx2.AsyncClient]:
    """Open a client of it."""
    async with httpx2.AsyncClient(base_url=lab.base_url) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def authorized(client: httpx2.AsyncClient) -> dict[str, str]:
    """Open a session."""
    answer = await client.post("/v1/sessions", json={"name": "reader_1"})
    return {"authorization": f"Bearer {answer.json()['token']}"}


async def test_session_answers_with_a_token(client: httpx2.AsyncClient) -> None:
    """Opening a session is 201 with a token of 32 hex digits, the account and a day to live."""
    answer = await client.post("/v1/sessions", json={"name": "ann_1"})
    session = answer.json()
    assert answer.status_code == 201
    assert len(session["token"]) == 32
    assert session["account"]["name"] == "ann_1"
    assert session["expires_in_s"] == 86_400


async def test_list_follows_its_cursors(client: httpx2.AsyncClient) -> None:
    """The list shows all videos once over its pages, newest first."""
    seen: list[int] = []
    cursor = ""
    while True:
        answer = await client.get("/v1/videos", params={"limit": 7, "cursor": cursor})
        seen += [each["id"] for each in answer.json()["videos"]]
        cursor = answer.json()["next_cursor"]
        if not cursor:
            break
    assert seen == list(range(VIDEOS, 0, -1))


async def test_comment_is_shown_after_it_was_added(
    client: httpx2.AsyncClient, authorized: dict[str, str]
) -> None:
    """A comment is answered 201 with its place, and is the first of the list."""
    answer = await client.post(
        "/v1/videos/5/comments", json={"text": " Nice! \n北京 "}, headers=authorized
    )
    assert answer.status_code == 201
    assert answer.json()["text"] == "Nice! \n北京"
    listed = (await client.get("/v1/videos/5/comments")).json()
    assert listed["comments"][0] == answer.json()
    assert listed["total"] == 1


async def test_writing_under_an_unknown_video_is_404(
    client: httpx2.AsyncClient, authorized: dict[str, str]
) -> None:
    """Nothing is kept for a video that isn't there."""
    for path, body in (("comments", {"text": "x"}), ("likes", {})):
        answer = await client.post(f"/v1/videos/777/{path}", json=body, headers=authorized)
        assert (answer.status_code, answer.json()["reason"]) == (404, "VIDEO_NOT_FOUND")


async def test_like_is_counted_once(client: httpx2.AsyncClient, authorized: dict[str, str]) -> None:
    """Liking again changes nothing; the body may be left out."""
    first = await client.post("/v1/videos/6/likes", headers=authorized)
    again = await client.post("/v1/videos/6/likes", headers=authorized)
    assert (first.status_code, first.json()["liked_now"], first.json()["likes"]) == (200, True, 1)
    assert (again.json()["liked_now"], again.json()["likes"]) == (False, 1)


async def test_idempotency_key_replays_its_answer(
    client: httpx2.AsyncClient, authorized: dict[str, str]
) -> None:
    """A repeat with the same key and body gets the same answer, marked as replayed."""
    headers = {**authorized, "idempotency-key": "key one"}
    first = await client.post("/v1/videos/7/likes", json={"source": "player"}, headers=headers)
    again = await client.post(
        "/v1/videos/7/likes", content=b'{ "source" : "player" }', headers=headers
    )
    assert first.json()["replayed"] is False
    assert "idempotency-replayed" not in first.headers
    assert again.json() == {**first.json(), "replayed": True}
    assert again.headers["idempotency-replayed"] == "true"


async def test_idempotency_key_with_another_body_is_422(
    client: httpx2.AsyncClient, authorized: dict[str, str]
) -> None:
    """The same key with another body is refused, and the first answer stays."""
    headers = {**authorized, "idempotency-key": "key two"}
    await client.post("/v1/videos/7/likes", json={"source": "player"}, headers=headers)
    other = await client.post("/v1/videos/7/likes", json={"source": "list"}, headers=headers)
    assert (other.status_code, other.json()["reason"]) == (422, "IDEMPOTENCY_KEY_REUSED")


async def test_idempotency_key_in_flight_is_409(
    lab: SmallLab, client: httpx2.AsyncClient, authorized: dict[str, str]
) -> None:
    """While the first answer isn't proven a repeat is 409 with Retry-After."""
    headers = {**authorized, "idempotency-key": "key three"}
    lab.services.counters.proves = False
    await client.post("/v1/videos/7/likes", headers=headers)
    repeat = await client.post("/v1/videos/7/likes", headers=headers)
    lab.services.counters.proves = True
    assert (repeat.status_code, repeat.json()["reason"]) == (409, "IDEMPOTENCY_KEY_IN_FLIGHT")
    assert repeat.headers["retry-after"] == "1"


async def test_front_page_suits_who_asks(client: httpx2.AsyncClient) -> None:
    """A browser gets a page of links, a client JSON with the same routes."""
    page = await client.get("/", headers={"accept": "text/html,*/*"})
    data = await client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert 'href="/docs"' in page.text
    assert data.json()["links"]["docs"] == "/docs"


async def test_docs_load_nothing_from_elsewhere(client: httpx2.AsyncClient) -> None:
    """The documentation works without a network: no page of ours names another host."""
    for path in ("/docs", "/"):
        page = await client.get(path, headers={"accept": "text/html"})
        assert page.status_code == 200
        assert "http://" not in page.text
        assert "https://" not in page.text


async def test_openapi_describes_every_route(client: httpx2.AsyncClient) -> None:
    """The description has all routes, and every reference in it leads somewhere."""
    document = (await client.get("/openapi.json")).json()
    operations = {
        f"{method.upper()} {path}" for path, each in document["paths"].items() for method in each
    }
    assert operations == {
        "GET /",
        "GET /v1/home",
        "GET /v1/videos",
        "GET /v1/videos/{id}",
        "POST /v1/videos",
        "PATCH /v1/videos/{id}",
        "GET /v1/videos/{id}/comments",
        "POST /v1/videos/{id}/comments",
        "POST /v1/videos/{id}/likes",
        "POST /v1/sessions",
    }
    for reference in references(document):
        node = document
        for key in reference.removeprefix("#/").split("/"):
            node = node[key]


def references(node: object) -> list[str]:
    """Collect every ``$ref`` below a node of JSON."""
    if isinstance(node, dict):
        own = [node["$ref"]] if "$ref" in node else []
        return own + [found for each in node.values() for found in references(each)]
    if isinstance(node, list):
        return [found for each in node for found in references(each)]
    return []


async def test_head_is_answered_as_get_without_a_body(client: httpx2.AsyncClient) -> None:
    """HEAD gives the status and headers that GET gives."""
    answer = await client.head("/v1/videos")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == "application/json"


async def test_answers_carry_request_id_and_timings(
    lab: SmallLab, client: httpx2.AsyncClient
) -> None:
    """The caller's request id is kept over every hop, and Server-Timing has an entry for each."""
    answer = await client.get("/v1/videos", headers={"x-request-id": "my-id.1"})
    assert answer.headers["x-request-id"] == "my-id.1"
    assert lab.services.trouble["video.1"].request_ids[-1] == "my-id.1"
    hops = [each.split(";")[0].strip() for each in answer.headers["server-timing"].split(",")]
    assert hops == ["gateway", "video"]


async def test_finished_requests_are_kept_for_explain(
    lab: SmallLab, client: httpx2.AsyncClient
) -> None:
    """Each request leaves a summary with its route, code and attempts."""
    await client.get("/v1/videos/2", headers={"x-request-id": "kept-1"})
    await until(lambda: bool(lab.node.recorder.find("kept-1")))
    summary = lab.node.recorder.find("kept-1")[0]
    assert (summary.route, summary.code, summary.status) == ("GET /v1/videos/{id}", 200, "OK")
    assert summary.remaining_in_ms is not None
    attempts = {note.detail["endpoint"] for note in summary.notes if note.policy == "attempt"}
    assert attempts == {"video.1", "account.1", "comment.1", "counter.1"}


async def test_probes_say_live_and_ready(client: httpx2.AsyncClient) -> None:
    """Live as long as it answers; ready only in the phase READY; neither is recorded."""
    assert (await client.get("/livez")).status_code == 200
    answer = await client.get("/readyz")
    assert (answer.status_code, answer.text) == (503, "not ready\n")
    assert "x-request-id" not in answer.headers


async def test_limiter_refuses_with_its_decision(lab: SmallLab, client: httpx2.AsyncClient) -> None:
    """A refusal of the limiter is 503 with Retry-After and the decision; off lets all through."""
    lab.node.pressure_value = 1.0
    limiter = lab.node.gates["limiter"]
    await client.get("/v1/videos")
    statuses = [(await client.get("/v1/videos")).status_code for _ in range(3)]
    lab.node.modes["limiter"] = Mode.OFF
    assert (await client.get("/v1/videos")).status_code == 200
    lab.node.modes.clear()
    lab.node.pressure_value = 0.0
    assert set(statuses) <= {200, 503}
    assert "limit" in limiter.snapshot()
