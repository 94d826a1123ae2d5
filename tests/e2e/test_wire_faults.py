"""Faults of links in the whole lab: they bite this client's way, prove it, and leave no trace."""

import asyncio
import http.client
import re
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from kit.control import ControlClient
from tests.e2e.conftest import PORT, ROOT, Lab
from tests.e2e.http import Answer
from tests.e2e.wait import on_a_moving_machine, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

PAGE = "/v1/videos/1"
LIST = "/v1/videos"
AFTERWARDS = 50  # requests without a failure once a fault is over
BUDGET_S = 1.0
PROMPT_S = BUDGET_S + 1.0  # an error at the end of its budget, on a busy machine; a hang is longer


@pytest.fixture(autouse=True)
def from_the_origin(lab: Lab) -> Iterator[None]:
    """Let video read from the store, begin without faults, and put both back."""
    lab.json("fault", "clear")
    lab.json("policy", "set", "cache", "off", "--on", "video")
    wait_until(lambda: is_whole(lab.get(PAGE)), limit_s=20)
    yield
    lab.json("fault", "clear")
    lab.json("policy", "set", "cache", "on", "--on", "video")


@contextmanager
def broken(lab: Lab, kind: str, link: str, **params: float | str) -> Iterator[str]:
    """Disturb a link for the length of a with block; gives the fault's id."""
    flags = [part for name, value in params.items() for part in (f"--{name}", str(value))]
    added = lab.json("fault", "add", kind, "--on", f"link:{link}", "--ttl", "60s", *flags)
    try:
        yield str(added["id"])
    finally:
        lab.json("fault", "clear")


def is_whole(answer: Answer) -> bool:
    """Whether a page has all its parts."""
    return answer.status == 200 and not answer.json["degraded"]


def hits(lab: Lab, fault: str) -> float:
    """Return how often a fault has bitten, by its own proof."""
    rows = lab.json("fault", "list")["faults"]
    return float(next(row["proof_counts"].get("hits", 0) for row in rows if row["id"] == fault))


def nothing_fails(lab: Lab, path: str = PAGE) -> None:
    """Ask fifty times at once after a fault: everything is there, every time."""

    def check() -> None:
        answers = [lab.get(path) for _ in range(AFTERWARDS)]
        assert Counter(answer.status for answer in answers) == {200: AFTERWARDS}

    on_a_moving_machine(check)


def test_a_slow_link_makes_the_page_go_without_and_ends_by_itself(lab: Lab) -> None:
    """500 ms on the way to the comments: pages come without them until the fault has ended."""
    lab.json(
        "fault", "add", "latency", "--on", "link:gateway>comment", "--ms", "500", "--ttl", "12s"
    )
    wait_until(lambda: lab.get(PAGE).json["degraded"] == ["comments"], limit_s=8)
    answers = [lab.get(PAGE) for _ in range(5)]  # each takes a third of a second, of the 12
    assert {answer.status for answer in answers} == {200}
    assert all("comments" in answer.json["degraded"] for answer in answers)
    wait_until(lambda: is_whole(lab.get(PAGE)), limit_s=30)
    nothing_fails(lab)


def test_a_service_cut_off_from_the_store_says_so_in_time(lab: Lab) -> None:
    """Video reaches no node: 503 with the reason, within the budget; others read on."""
    with broken(lab, "down", "video>store") as fault:
        answers = [lab.get(LIST) for _ in range(6)]
        assert {answer.status for answer in answers} <= {503, 504}
        assert 503 in {answer.status for answer in answers}
        assert max(answer.took_s for answer in answers) < PROMPT_S
        assert hits(lab, fault) > 0
    nothing_fails(lab, LIST)


def test_a_store_node_cut_off_from_one_service_is_well_for_the_others(lab: Lab) -> None:
    """Two nodes in turn are out of video's reach; what lies elsewhere is served, nothing hangs."""
    for number in (1, 2):
        with broken(lab, "down", f"video>store-{number}"):
            answers = [lab.get(f"/v1/videos/{video}") for video in range(1, 5)]
            assert {answer.status for answer in answers} <= {200, 503, 504}
            assert max(answer.took_s for answer in answers) < PROMPT_S
    nothing_fails(lab)


def test_reset_streams_cost_a_page_its_counts(lab: Lab) -> None:
    """The gRPC calls to counter are reset; video, author and comments are there."""
    with broken(lab, "reset_stream", "gateway>counter") as fault:
        wait_until(lambda: lab.get(PAGE).json["degraded"] == ["stats"], limit_s=10)
        assert hits(lab, fault) > 0
    nothing_fails(lab)
    wait_until(lambda: is_whole(lab.get(PAGE)), limit_s=10)


def test_a_store_that_loads_is_waited_for_and_no_longer_than_there_is_time(lab: Lab) -> None:
    """Every command of counter is answered LOADING: no counts on the page; a like is refused."""
    session = lab.make("/v1/sessions", {"name": f"wire_{secrets.token_hex(4)}"}).json
    token = {"authorization": f"Bearer {session['token']}"}
    with broken(lab, "loading", "counter>store") as fault:
        wait_until(lambda: lab.get(PAGE).json["degraded"] == ["stats"], limit_s=10)
        refused = lab.post("/v1/videos/1/likes", {}, **token)
        assert refused.status in (503, 504)
        assert refused.took_s < PROMPT_S
        assert hits(lab, fault) > 0
    nothing_fails(lab)
    assert lab.post("/v1/videos/1/likes", {}, **token).status in (200, 201)


def test_slow_headers_make_a_request_slow_and_not_wrong(lab: Lab) -> None:
    """The head of each answer of the gateway trickles, 1 ms a byte; the page is whole."""
    with broken(lab, "slow_headers", "l7>gateway", ms=1) as fault:
        answers = [lab.get(PAGE) for _ in range(5)]
        assert {answer.status for answer in answers} == {200}
        assert min(answer.took_s for answer in answers) > 0.15  # no head is below 150 bytes
        assert hits(lab, fault) > 0
    nothing_fails(lab)


def test_a_fault_bites_connections_that_are_open_already(lab: Lab) -> None:
    """A client keeps its connection through l4 to l7: the next request is slow, and then not."""
    kept = http.client.HTTPConnection("127.0.0.1", PORT, timeout=10)

    def took_s() -> float:
        """Ask on the kept connection."""
        began_s = time.monotonic()
        kept.request("GET", LIST)
        answer = kept.getresponse()
        answer.read()
        assert answer.status == 200
        return time.monotonic() - began_s

    try:
        took_s()
        socket = kept.sock
        with broken(lab, "latency", "l4>l7", ms=200):
            assert took_s() >= 0.2
        assert any(took_s() < 0.2 for _ in range(5))
        assert kept.sock is socket
    finally:
        kept.close()


def test_no_request_fails_while_links_are_led_round_and_back(lab: Lab) -> None:
    """All declared links at once, 2 ms slower for a while, four times, while clients ask on.

    Nothing hides a failure (no retries at l7), and a busy machine makes none (no limiter).
    """
    links = declared_links()
    assert len(links) >= 10
    rules = {
        f"fault/round-{number}": {
            **{"id": f"round-{number}", "kind": "latency", "target": f"link:{link}"},
            "params": {"ms": 2},
        }
        for number, link in enumerate(links)
    }
    policies = {"policy/*/limiter": {"mode": "off"}, "policy/l7/retry": {"mode": "off"}}

    def check() -> None:
        with Asking(lab, clients=4) as asking:
            for _ in range(4):
                for change in (rules, dict.fromkeys(rules)):
                    asyncio.run(write(change))
                    wait_until(asking.answered(30), limit_s=20)
        assert set(asking.statuses) == {200}

    asyncio.run(write(policies))
    on_a_moving_machine(check)
    asyncio.run(write(dict.fromkeys(policies)))


class Asking:
    """Clients that ask for the page, each as soon as it has its answer.

    Args:
        lab: Whom.
        clients: How many at once.
    """

    def __init__(self, lab: Lab, clients: int) -> None:
        self.statuses: Counter[int] = Counter()
        self._lab = lab
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(clients)]

    def __enter__(self) -> "Asking":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def answered(self, more: int) -> Callable[[], bool]:
        """Return whether so many more answers have come than by now, to be asked."""
        goal = self.statuses.total() + more
        return lambda: self.statuses.total() >= goal

    def _ask(self) -> None:
        while not self._is_over.is_set():
            try:
                status = self._lab.get(PAGE).status
            except OSError:
                status = 0
            self.statuses[status] += 1


async def write(change: Mapping[str, Mapping[str, Any] | None]) -> None:
    """Write to the lab's control plane, and wait until everybody acts on it."""
    client = ControlClient(("127.0.0.1", PORT - 1))
    try:
        report = await client.wait_live(await client.write(change))
        assert report.is_complete, str(report)
    finally:
        await client.close()


def declared_links() -> list[str]:
    """Return the lab's links, from the only place that says them."""
    text = (ROOT / "docker-compose.yml").read_text()
    declared = re.search(r"SQUALL_LINKS: >-\n((?: {8}.*\n)+)", text)
    assert declared is not None
    return declared[1].split()
