"""Parts of a page that stand in for failed ones, and who is said to have taken a part away."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from gateway import parts
from resilience.errors import Code, ServiceError
from resilience.policy.contract import Mode
from tests.gateway.lab import SmallLab, let_parts_take, small_lab

pytestmark = pytest.mark.integration

BROKEN = ServiceError(Code.INTERNAL, "BROKEN", "broken")
PAGE = "/v1/videos/1"
DECISION = "x-squall-decision"


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


def break_all(lab: SmallLab) -> None:
    """Let every optional part fail."""
    for instance in ("account.1", "comment.1", "counter.1"):
        lab.services.trouble[instance].error = BROKEN


def without_views(page: dict[str, Any]) -> dict[str, Any]:
    """Leave out what counts up by itself."""
    stats = {key: value for key, value in page["stats"].items() if key != "views"}
    return {**page, "stats": stats}


def test_defaults_are_the_documented_ones() -> None:
    """Five minutes, 1,024 keys of each part."""
    assert (parts.MAX_AGE_S, parts.MAX_KEYS) == (300.0, 1024)


async def test_failed_parts_are_shown_as_they_were(
    lab: SmallLab, client: httpx2.AsyncClient
) -> None:
    """With the policy on the page is whole, names what is old and how old, and who let it."""
    lab.node.modes["fallback"] = Mode.ON
    fresh = (await client.get(PAGE)).json()
    break_all(lab)
    answer = await client.get(PAGE)
    page = answer.json()

    assert (answer.status_code, page["degraded"]) == (200, [])
    assert page["stale"] == ["author", "comments", "stats"]
    ages_s = page.pop("stale_age_s")
    assert all(0.0 <= ages_s[part] < 60.0 for part in page.pop("stale"))
    assert without_views(page) == without_views(fresh)
    decisions = answer.headers[DECISION].split(", ")
    assert decisions[1] == f"fallback; gateway.1>comments; {ages_s['comments']:g}/300"
    assert lab.node.gates["fallback.stats"].snapshot()["covered"] == 1


async def test_home_keeps_its_names(lab: SmallLab, client: httpx2.AsyncClient) -> None:
    """The same names while the account service fails."""
    lab.node.modes["fallback"] = Mode.ON
    fresh = (await client.get("/v1/home")).json()
    break_all(lab)
    home = (await client.get("/v1/home")).json()
    assert (home["videos"], home["stale"]) == (fresh["videos"], ["authors"])


async def test_what_was_never_seen_is_missing(lab: SmallLab, client: httpx2.AsyncClient) -> None:
    """Another video's comments don't stand in; nor does anything for a service that says no."""
    lab.node.modes["fallback"] = Mode.ON
    await client.get(PAGE)
    break_all(lab)
    assert (await client.get("/v1/videos/2")).json()["degraded"] == ["author", "comments", "stats"]

    lab.services.trouble["comment.1"].error = ServiceError(Code.NOT_FOUND, "GONE", "gone")
    assert (await client.get(PAGE)).json()["degraded"] == ["comments"]


@pytest.mark.parametrize(("mode", "counted"), [(Mode.SHADOW, 3), (Mode.OFF, 0)])
async def test_in_shadow_and_off_failed_parts_are_missing(
    lab: SmallLab, client: httpx2.AsyncClient, mode: Mode, counted: int
) -> None:
    """The page is what it was before there was a fallback; shadow counts what it could cover."""
    lab.node.modes["fallback"] = mode
    fresh = await client.get(PAGE)
    assert not {"stale", "stale_age_s"} & fresh.json().keys()
    assert DECISION not in fresh.headers
    break_all(lab)
    page = (await client.get(PAGE)).json()
    assert (page["degraded"], "stale" in page) == (["author", "comments", "stats"], False)
    gates = [lab.node.gates[f"fallback.{part}"] for part in ("author", "comments", "stats")]
    assert sum(int(str(gate.snapshot()["would_cover"])) for gate in gates) == counted


async def test_a_degraded_page_says_who_took_the_part_away(
    lab: SmallLab, client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Late: the deadline, with milliseconds; broken: the service; refused: the policy's words."""
    let_parts_take(monkeypatch, 2.0)
    lab.services.trouble["comment.1"].delay_s = 60.0
    lab.services.trouble["counter.1"].error = BROKEN
    late, broken = (await client.get(PAGE)).headers[DECISION].split(", ")
    who, scope, figures = late.split("; ")
    waited_ms, given_ms = map(int, figures.split("/"))
    assert (who, scope, given_ms) == ("deadline", "gateway.1>comment", 2000)
    assert waited_ms >= 1990
    assert broken == "upstream; counter; BROKEN"
