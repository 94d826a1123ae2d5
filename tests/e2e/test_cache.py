"""The cache in the whole lab: what pages say of it, that writes are seen, and that it may die."""

import re
import uuid
from collections.abc import Callable

import pytest

from tests.e2e.conftest import Lab
from tests.e2e.http import Answer
from tests.e2e.traffic import publish, readers, rename
from tests.e2e.wait import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

LOOKUP = re.compile(r'cache;desc="(hit|miss|off|local|stale)"')
REPLICA = re.compile(r'desc="(video\.\d+)"')
REPLICAS = {"video.1", "video.2", "video.3"}


def lookup(answer: Answer) -> str:
    """Return what a page says of the cache."""
    found = LOOKUP.findall(answer.headers["server-timing"])
    assert len(found) == 1, answer.headers["server-timing"]
    return str(found[0])


def titles(lab: Lab, path: str) -> set[str]:
    """Read a page a dozen times and return the titles seen; every read is answered."""
    answers = [lab.get(path) for _ in range(12)]
    assert {each.status for each in answers} == {200}, [each.json.get("reason") for each in answers]
    return {each.json["video"]["title"] for each in answers}


def rename_in_an_outage(path: str, title: str, headers: dict[str, str]) -> None:
    """PATCH as a client does that may be answered 504: with a key, until it is answered 200.

    A replica's first write of an outage takes most of the route's budget.
    """
    keyed = {**headers, "idempotency-key": uuid.uuid4().hex}
    wait_until(lambda: rename(path, title, keyed).status == 200, limit_s=20)


@pytest.mark.parametrize("path", ["/v1/videos/3", "/v1/home"])
def test_a_page_says_what_came_from_the_cache(lab: Lab, path: str) -> None:
    """Read again, a page is a hit with an Age; with the switch off it says so, and has none."""

    def is_hit() -> bool:
        answer = lab.get(path)
        return lookup(answer) == "hit" and 0 <= int(answer.headers["age"]) <= 66

    wait_until(is_hit, limit_s=10)
    lab.json("policy", "set", "cache", "off", "--on", "video")
    try:
        answer = lab.get(path)
        assert (answer.status, lookup(answer), answer.headers.get("age")) == (200, "off", None)
    finally:
        lab.json("policy", "reset", "cache", "--on", "video")
    wait_until(is_hit, limit_s=10)


@pytest.mark.usefixtures("unhurried")
def test_a_write_is_seen_by_the_next_read_of_every_replica(lab: Lab) -> None:
    """After each PATCH no read, of whichever replica, shows the title before it."""
    path, headers = publish(lab, "first")
    seen: set[str] = set()
    lookups: set[str] = set()
    for number in range(12):
        title = f"title {number}"
        assert rename(path, title, headers).status == 200
        for _ in range(8):
            answer = lab.get(path)
            assert answer.json["video"]["title"] == title
            seen.update(REPLICA.findall(answer.headers["server-timing"]))
            lookups.add(lookup(answer))
        assert lab.get("/v1/home").json["videos"][0]["title"] == title
    assert seen == REPLICAS
    assert "hit" in lookups


def test_only_the_author_changes_a_video(lab: Lab) -> None:
    """Somebody else's PATCH is 403 through every tier."""
    path, _ = publish(lab, "mine")
    _, other = publish(lab, "another's")
    refused = rename(path, "stolen", other)
    assert (refused.status, refused.json["reason"]) == (403, "NOT_THE_AUTHOR")


def test_figures_and_hops_show_the_cache(lab: Lab) -> None:
    """``squall explain`` shows the lookup at video's hop."""
    request_id = f"cache-{uuid.uuid4().hex[:8]}"
    lab.get("/v1/videos/5", x_request_id=request_id)
    hops = lab.json("explain", request_id)["hops"]
    (video,) = [hop for hop in hops if hop["route"].endswith("/GetVideo")]
    assert [note["what"] for note in video["notes"] if note["policy"] == "cache"] in (
        ["hit"],
        ["miss"],
    )


@pytest.mark.usefixtures("unhurried")
@pytest.mark.parametrize("verb", ["kill", "pause"])
def test_losing_a_cache_node_fails_no_read(
    lab: Lab, driver: Callable[[str, str], None], verb: str
) -> None:
    """Kill -9 or SIGSTOP of a node under reads: every read is answered, and writes are seen."""
    paths = [f"/v1/videos/{number}" for number in range(1, 31)]
    path, headers = publish(lab, "before")
    with readers(lab, paths) as answers:
        wait_until(lambda: len(answers) > 100, limit_s=20)
        driver(verb, "cache-2.1")
        try:
            hit = len(answers)
            wait_until(lambda: len(answers) > hit + 200, limit_s=30)
            rename_in_an_outage(path, "while it is away", headers)
            assert titles(lab, path) == {"while it is away"}
        finally:
            driver({"kill": "start", "pause": "resume"}[verb], "cache-2.1")
        back = len(answers)
        wait_until(lambda: len(answers) > back + 100, limit_s=30)
    assert set(answers) == {"OK"}
    assert titles(lab, path) == {"while it is away"}


@pytest.mark.usefixtures("unhurried")
def test_with_no_cache_at_all_the_lab_goes_on(lab: Lab, driver: Callable[[str, str], None]) -> None:
    """All nodes stopped: pages answer from the store and writes are seen; then hits come back."""
    path, headers = publish(lab, "before")
    nodes = ("cache-1.1", "cache-2.1", "cache-3.1")
    for node in nodes:
        driver("stop", node)
    try:
        assert {lab.get(f"/v1/videos/{number}").status for number in range(1, 21)} == {200}
        rename_in_an_outage(path, "without", headers)
        answer = lab.get(path)
        assert (answer.json["video"]["title"], lookup(answer)) == ("without", "miss")
    finally:
        for node in nodes:
            driver("start", node)
    wait_until(lambda: lookup(lab.get(path)) == "hit", limit_s=30)
    assert lab.get(path).json["video"]["title"] == "without"
