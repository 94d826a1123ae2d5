"""Pages over real sockets: whole, with parts missing, and not at all."""

import time
from collections.abc import AsyncIterator

import httpx2
import pytest

from gateway.views import TIMEOUT_S
from resilience.errors import Code, ServiceError
from resilience.policy.contract import Mode
from resilience.policy.deadline import PART_MAX_S
from tests.gateway.lab import COMMENTS_ON_1, VIDEOS, SmallLab, let_parts_take, small_lab, until

GRPC_GRAIN_S = 0.01  # gRPC rounds a timeout of a second or more up to this

pytestmark = pytest.mark.integration


@pytest.fixture
async def lab() -> AsyncIterator[SmallLab]:
    """Run a lab."""
    async with small_lab() as running:
        yield running


@pytest.fixture
async def client(lab: SmallLab) -> AsyncIterator[httpx2.AsyncClient]:
    """Open a client of it."""
    async with httpx2.AsyncClient(base_url=lab.base_url) as running:
        yield running


async def test_page_has_all_its_parts(lab: SmallLab, client: httpx2.AsyncClient) -> None:
    """With every service well the page has video, author, comments and counts, nothing degraded."""
    lab.services.counters.likers[1] = {1, 2}
    answer = await client.get("/v1/videos/1")
    page = answer.json()
    assert answer.status_code == 200
    assert page["video"]["id"] == 1
    assert page["author"] == {"id": 2, "name": "author_2"}
    assert len(page["comments"]["comments"]) == 20
    assert page["comments"]["total"] == COMMENTS_ON_1
    assert page["stats"]["likes"] == 2
    assert page["degraded"] == []


@pytest.mark.parametrize(
    ("instance", "part"),
    [("comment.1", "comments"), ("counter.1", "stats"), ("account.1", "author")],
)
async def test_slow_part_is_left_out_in_time(
    lab: SmallLab,
    client: httpx2.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
    instance: str,
    part: str,
) -> None:
    """A dependency that takes a minute costs its part, and the page doesn't wait for it."""
    monkeypatch.setattr("gateway.views.TIMEOUT_S", TIMEOUT_S)
    let_parts_take(monkeypatch, PART_MAX_S)
    lab.services.trouble[instance].delay_s = 60.0
    answer = await client.get("/v1/videos/1")
    assert answer.status_code == 200
    assert part in answer.json()["degraded"]


async def test_failing_parts_are_named_in_order(lab: SmallLab, client: httpx2.AsyncClient) -> None:
    """All optional parts may fail at once: the page still answers 200 and names them all."""
    for instance in ("account.1", "comment.1", "counter.1"):
        lab.services.trouble[instance].error = ServiceError(Code.INTERNAL, "BROKEN", "broken")
    answer = await client.get("/v1/videos/1")
    page = answer.json()
    assert answer.status_code == 200
    assert page["degraded"] == ["author", "comments", "stats"]
    assert (page["author"], page["comments"], page["stats"]) == (None, None, None)


async def test_page_without_its_video_fails_at_once(
    lab: SmallLab, client: httpx2.AsyncClient
) -> None:
    """Without the essential part there is no page, and slow optional parts hold nothing up."""
    lab.services.trouble["comment.1"].delay_s = 60.0
    answer = await client.get("/v1/videos/999")
    assert (answer.status_code, answer.json()["reason"]) == (404, "VIDEO_NOT_FOUND")
    comment = lab.services.trouble["comment.1"]
    await until(lambda: comment.cancelled == len(comment.calls))


async def test_slow_video_runs_into_the_routes_budget(
    lab: SmallLab, client: httpx2.AsyncClient
) -> None:
    """The essential part may take the whole budget, 504 after it, and its work is cancelled."""
    lab.node.settings["budget_ms.video"] = 1_500.0
    lab.gateway.settings.refresh()
    lab.services.trouble["video.1"].delay_s = 60.0
    began_s = time.monotonic()
    answer = await client.get("/v1/videos/1")
    assert time.monotonic() - began_s > 1.4
    assert (answer.status_code, answer.json()["reason"]) == (504, "DEADLINE_EXCEEDED")
    await until(lambda: lab.services.trouble["video.1"].cancelled == 1)


async def test_callers_deadline_shortens_what_services_get(
    lab: SmallLab, client: httpx2.AsyncClient
) -> None:
    """A service sees what remains of the caller's time; a part sees it less the 50 ms reserve."""
    headers = {"x-envoy-expected-rq-timeout-ms": "9000"}
    await client.get("/v1/videos/1", headers=headers)
    video_s = lab.services.trouble["video.1"].deadlines_s[0]
    comment_s = lab.services.trouble["comment.1"].deadlines_s[0]
    assert video_s is not None
    assert comment_s is not None
    assert 0.0 < video_s <= 9.0 + GRPC_GRAIN_S
    assert 0.0 < comment_s <= 8.95 + GRPC_GRAIN_S


async def test_parts_are_skipped_when_no_time_is_left_for_them(
    lab: SmallLab, client: httpx2.AsyncClient
) -> None:
    """With less than the reserve left optional parts aren't even asked for."""
    headers = {"x-envoy-expected-rq-timeout-ms": "49"}
    answer = await client.get("/v1/videos/1", headers=headers)
    if answer.status_code == 200:  # 49 ms are usually enough for the video alone
        assert answer.json()["degraded"] == ["author", "comments", "stats"]
    assert lab.services.trouble["comment.1"].calls == []


async def test_with_the_deadline_off_nobody_is_cut_short(
    lab: SmallLab, client: httpx2.AsyncClient
) -> None:
    """With the policy off no service gets a deadline, and the page waits for its slowest part."""
    lab.node.modes["deadline"] = Mode.OFF
    lab.services.trouble["comment.1"].delay_s = 0.5
    answer = await client.get("/v1/videos/1", headers={"x-envoy-expected-rq-timeout-ms": "200"})
    assert (answer.status_code, answer.json()["degraded"]) == (200, [])
    assert lab.services.trouble["comment.1"].deadlines_s == [None]


async def test_home_has_names_and_never_asks_for_comments(
    lab: SmallLab, client: httpx2.AsyncClient
) -> None:
    """The home page is the feed with authors' names; the comment service isn't touched."""
    answer = await client.get("/v1/home")
    home = answer.json()
    assert [each["id"] for each in home["videos"]] == list(range(VIDEOS, VIDEOS - 10, -1))
    assert home["videos"][0]["author"] == "author_1"
    assert home["degraded"] == []
    assert lab.services.trouble["comment.1"].calls == []


async def test_home_without_names_is_degraded(
    lab: SmallLab, client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the account service the home page still has its videos."""
    let_parts_take(monkeypatch, PART_MAX_S)
    lab.services.trouble["account.1"].delay_s = 60.0
    home = (await client.get("/v1/home")).json()
    assert home["degraded"] == ["authors"]
    assert home["videos"][0]["author"] is None


async def test_home_of_an_empty_lab_is_empty(lab: SmallLab, client: httpx2.AsyncClient) -> None:
    """Without videos the home page is empty and asks for no names."""
    lab.services.videos.videos.clear()
    assert (await client.get("/v1/home")).json() == {"videos": [], "degraded": []}
    assert lab.services.trouble["account.1"].calls == []


async def test_views_are_counted_beside_the_page(lab: SmallLab, client: httpx2.AsyncClient) -> None:
    """Each page read counts a view, although the answer doesn't wait for it."""
    await client.get("/v1/videos/1")
    await client.get("/v1/videos/1")
    await until(lambda: lab.services.counters.views[1] == 2)


async def test_views_are_dropped_under_pressure(lab: SmallLab, client: httpx2.AsyncClient) -> None:
    """Under pressure a page is served and its view isn't counted."""
    lab.node.modes["limiter"] = Mode.OFF
    lab.node.pressure_value = 0.9
    assert (await client.get("/v1/videos/1")).status_code == 200
    assert lab.gateway.views.snapshot()["dropped"] == 1


async def test_failed_view_fails_nothing(
    lab: SmallLab, client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A view that can't be counted in time is forgotten, and the page comes without its counts."""
    monkeypatch.setattr("gateway.views.TIMEOUT_S", TIMEOUT_S)
    let_parts_take(monkeypatch, PART_MAX_S)
    lab.services.trouble["counter.1"].delay_s = 60.0
    answer = await client.get("/v1/videos/1")
    assert "stats" in answer.json()["degraded"]
    await until(lambda: lab.gateway.views.snapshot()["failed"] == 1)
