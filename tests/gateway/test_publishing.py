"""Publishing and renaming over a real socket, and what pages say of the cache."""

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import httpx2
import pytest
import pytest_asyncio

from gateway.cached import Cached, Lookup
from resilience.policy.deadline import PART_MAX_S
from tests.gateway.lab import VIDEOS, SmallLab, let_parts_take, small_lab

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]


class Door(NamedTuple):
    """One lab for all tests here, a client, and two open sessions."""

    lab: SmallLab
    client: httpx2.AsyncClient
    author: dict[str, str]  # headers of the account that publishes here
    other: dict[str, str]

    async def publish(self, title: str, **headers: str) -> httpx2.Response:
        """Publish a video as the author."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        body = {"title": title, "duration_s": 60}
        return await self.client.post("/v1/videos", json=body, headers={**self.author, **named})

    async def timing(self, path: str) -> tuple[str, str | None]:
        """Return what a page says came from the cache, and its Age."""
        answer = await self.client.get(path)
        assert answer.status_code == 200
        entries = [each.strip() for each in answer.headers["server-timing"].split(",")]
        (own,) = [each for each in entries if each.startswith("cache;")]
        assert any(each.startswith("gateway;") for each in entries)
        return own, answer.headers.get("age")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def door() -> AsyncIterator[Door]:
    """Run one lab for all tests here."""
    async with small_lab() as lab, httpx2.AsyncClient(base_url=lab.base_url) as client:
        sessions = []
        for name in ("publisher", "somebody_else"):
            opened = (await client.post("/v1/sessions", json={"name": name})).json()
            sessions.append({"authorization": f"Bearer {opened['token']}"})
        yield Door(lab, client, *sessions)


def reason(answer: httpx2.Response) -> tuple[int, Any]:
    """Return a refusal's status and reason."""
    return answer.status_code, answer.json().get("reason")


async def test_published_video_leads_list_home_and_its_own_page(door: Door) -> None:
    """201 with its place; the next reads of list, home and page have it."""
    await door.client.get("/v1/home")  # kept before the write
    answer = await door.publish(" Made today ")
    video = answer.json()
    assert (answer.status_code, video["title"]) == (201, "Made today")
    assert answer.headers["location"] == f"/v1/videos/{video['id']}"
    assert "idempotency-replayed" not in answer.headers
    assert (await door.client.get("/v1/videos")).json()["videos"][0] == video
    assert (await door.client.get("/v1/home")).json()["videos"][0]["id"] == video["id"]
    page = (await door.client.get(answer.headers["location"])).json()
    assert (page["video"], page["author"]["name"]) == (video, "publisher")


async def test_repeat_with_its_key_publishes_once(door: Door) -> None:
    """The same key and body: the first answer, marked; another body: 422."""
    first = await door.publish("only once", idempotency_key="publish one")
    again = await door.publish("only once", idempotency_key="publish one")
    other = await door.publish("something else", idempotency_key="publish one")
    assert again.json() == first.json()
    assert (again.status_code, again.headers["idempotency-replayed"]) == (201, "true")
    assert reason(other) == (422, "IDEMPOTENCY_KEY_REUSED")


async def test_renamed_video_is_new_on_its_page_at_once(door: Door) -> None:
    """PATCH answers the changed video, and neither page nor home shows the old title again."""
    path = (await door.publish("before")).headers["location"]
    await door.client.get(path)
    await door.client.get("/v1/home")
    answer = await door.client.patch(path, json={"title": "after"}, headers=door.author)
    assert (answer.status_code, answer.json()["title"]) == (200, "after")
    assert (await door.client.get(path)).json()["video"]["title"] == "after"
    assert (await door.client.get("/v1/home")).json()["videos"][0]["title"] == "after"


async def test_repeated_edit_with_its_key_is_marked(door: Door) -> None:
    """A repeat gets the first answer; the key with another title is refused."""
    path = (await door.publish("x")).headers["location"]
    headers = {**door.author, "idempotency-key": "edit one"}
    first = await door.client.patch(path, json={"title": "y"}, headers=headers)
    again = await door.client.patch(path, json={"title": "y"}, headers=headers)
    other = await door.client.patch(path, json={"title": "z"}, headers=headers)
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert reason(other) == (422, "IDEMPOTENCY_KEY_REUSED")


async def test_only_the_author_may_rename(door: Door) -> None:
    """Another account is 403, no session 401, no such video 404."""
    path = (await door.publish("mine")).headers["location"]
    for headers, expected in (
        (door.other, (403, "NOT_THE_AUTHOR")),
        ({}, (401, "TOKEN_MISSING")),
        ({"authorization": "Bearer " + "0" * 32}, (401, "SESSION_INVALID")),
    ):
        answer = await door.client.patch(path, json={"title": "stolen"}, headers=headers)
        assert reason(answer) == expected
    gone = await door.client.patch("/v1/videos/777", json={"title": "x"}, headers=door.author)
    assert reason(gone) == (404, "VIDEO_NOT_FOUND")
    assert (await door.client.get(path)).json()["video"]["title"] == "mine"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", (400, "JSON_MALFORMED")),
        (b"{", (400, "JSON_MALFORMED")),
        (b'{"title": "\\ud800", "duration_s": 1}', (400, "JSON_MALFORMED")),
        (b'{"title": "a"}', (422, "FIELD_MISSING")),
        (b'{"duration_s": 5}', (422, "FIELD_MISSING")),
        (b'{"title": "a", "duration_s": 5, "author_id": 1}', (422, "FIELD_UNKNOWN")),
        (b'{"title": 7, "duration_s": 5}', (422, "FIELD_INVALID")),
        (b'{"title": "a", "duration_s": "5"}', (422, "FIELD_INVALID")),
        (b'{"title": "a", "duration_s": 1.5}', (422, "FIELD_INVALID")),
        (b'{"title": "a", "duration_s": 0}', (422, "FIELD_INVALID")),
        (b'{"title": "a", "duration_s": 43201}', (422, "FIELD_INVALID")),
        (b'{"title": "a", "duration_s": 99999999999999999999}', (422, "FIELD_INVALID")),
        (b'{"title": "", "duration_s": 5}', (400, "VIDEO_TITLE_INVALID")),
        (b'{"title": "' + b"x" * 101 + b'", "duration_s": 5}', (400, "VIDEO_TITLE_INVALID")),
        (b'{"title": "a\\u0000", "duration_s": 5}', (400, "VIDEO_TITLE_INVALID")),
    ],
)
async def test_bad_publications(door: Door, body: bytes, expected: tuple[int, str]) -> None:
    """What can't be read is 400, what is well-formed and wrong 422, and nothing is published."""
    before = len(door.lab.services.videos.videos)
    answer = await door.client.post("/v1/videos", content=body, headers=door.author)
    assert reason(answer) == expected
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(door.lab.services.videos.videos) == before


@pytest.mark.parametrize(
    ("path", "body", "key", "expected"),
    [
        ("/v1/videos/1", b"{}", "k", (422, "FIELD_MISSING")),
        ("/v1/videos/1", b'{"title": null}', "k", (422, "FIELD_INVALID")),
        ("/v1/videos/1", b'{"title": "a", "duration_s": 5}', "k", (422, "FIELD_UNKNOWN")),
        ("/v1/videos/x", b'{"title": "a"}', "k", (400, "ID_INVALID")),
        ("/v1/videos/1", b'{"title": "a"}', "", (400, "IDEMPOTENCY_KEY_INVALID")),
        ("/v1/videos/1", b'{"title": "a"}', "x" * 129, (400, "IDEMPOTENCY_KEY_INVALID")),
    ],
)
async def test_bad_edits(
    door: Door, path: str, body: bytes, key: str, expected: tuple[int, str]
) -> None:
    """An id, a body or a key that makes no sense is refused with its reason."""
    headers = {**door.author, "idempotency-key": key}
    answer = await door.client.patch(path, content=body, headers=headers)
    assert reason(answer) == expected
    assert door.lab.services.videos.videos[1].title == "video 1"


async def test_pages_say_what_came_from_the_cache(door: Door) -> None:
    """First a miss without an Age, then a hit with the seconds since it was filled."""
    cache = door.lab.services.cache
    cache.values.clear()
    cache.age_s = 3.7
    for path in ("/v1/videos/9", "/v1/home"):
        assert await door.timing(path) == ('cache;desc="miss"', None)
        assert await door.timing(path) == ('cache;desc="hit"', "3")
    cache.age_s = 0.0
    assert await door.timing("/v1/videos/9") == ('cache;desc="hit"', "0")
    cache.is_down = True
    assert await door.timing("/v1/videos/9") == ('cache;desc="miss"', None)
    cache.is_down = False


async def test_list_says_nothing_of_the_cache(door: Door) -> None:
    """The list isn't cached, and doesn't claim to be."""
    answer = await door.client.get("/v1/videos")
    assert "cache;" not in answer.headers["server-timing"]
    assert "age" not in answer.headers


async def test_degraded_pages_are_never_kept(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the video is cached: a part that was missing is there as soon as its service is."""
    trouble = door.lab.services.trouble["comment.1"]
    trouble.delay_s = 60.0
    with monkeypatch.context() as patch:
        let_parts_take(patch, PART_MAX_S)
        degraded = (await door.client.get("/v1/videos/1")).json()
    trouble.delay_s = 0.0
    whole = (await door.client.get("/v1/videos/1")).json()
    assert ("comments" in degraded["degraded"], "comments" in whole["degraded"]) == (True, False)


async def test_openapi_tells_of_the_headers(door: Door) -> None:
    """The description of page and home has Server-Timing and Age, that of publishing Location."""
    paths = (await door.client.get("/openapi.json")).json()["paths"]
    for path in ("/v1/videos/{id}", "/v1/home"):
        headers = paths[path]["get"]["responses"]["200"]["headers"]
        assert headers.keys() == {"Server-Timing", "Age", "x-squall-decision"}
    assert "Location" in paths["/v1/videos"]["post"]["responses"]["201"]["headers"]
    assert VIDEOS == 30  # the tests above count on a page of ten being full


@pytest.mark.parametrize(
    ("cached", "headers"),
    [
        (Cached("", Lookup.OFF), {"server-timing": 'cache;desc="off"'}),
        (Cached("", Lookup.MISS, 9.0), {"server-timing": 'cache;desc="miss"'}),
        (Cached("", Lookup.HIT, 0.99), {"server-timing": 'cache;desc="hit"', "age": "0"}),
        (Cached("", Lookup.HIT, 60.1), {"server-timing": 'cache;desc="hit"', "age": "60"}),
    ],
)
async def test_headers_of_a_lookup(cached: Cached[str], headers: dict[str, str]) -> None:
    """An Age only for what came from the cache, in whole seconds."""
    assert cached.headers() == headers
