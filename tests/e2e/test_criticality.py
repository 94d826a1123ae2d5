"""Importance in the whole lab: with a slow station, who matters less makes room and is told why."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.conftest import Lab
from tests.e2e.http import Answer
from tests.e2e.wait import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

LIST = "/v1/videos"
LIMIT_S = 20.0
BUDGET_MS = 9000  # a slow machine must not turn an admitted request into a late one
CRITICAL, SHEDDABLE = 3, 12  # in one burst: four for each video replica and one that matters
WHO = ("criticality", "limiter")
REASONS = ("CRITICALITY_SHED", "LIMIT_EXCEEDED")


@pytest.fixture
def importance(lab: Lab) -> Iterator[Lab]:
    """Give each video replica one place and a station 20 times as slow, and take both back."""
    fault = ""
    try:
        lab.json("setting", "set", "budget_ms", str(BUDGET_MS), "--on", "gateway")
        lab.json("policy", "set", "limiter", "off", "--on", "gateway")  # it feels the machine
        lab.json("policy", "choose", "limiter", "fixed", "--on", "video")
        lab.json("setting", "set", "limit", "1", "--on", "video")
        lab.json("policy", "set", "criticality", "on", "--on", "video")
        added = lab.json("fault", "add", "slow", "--on", "video", "--factor", "20", "--ttl", "90s")
        fault = str(added["id"])
        yield lab
    finally:
        if fault:
            lab.run("fault", "remove", fault)
        lab.json("policy", "reset", "criticality", "--on", "video")
        lab.json("setting", "reset", "limit", "--on", "video")
        lab.json("policy", "reset", "limiter", "--on", "video")
        lab.json("policy", "reset", "limiter", "--on", "gateway")
        lab.json("setting", "reset", "budget_ms", "--on", "gateway")


def burst(lab: Lab) -> tuple[list[Answer], list[Answer]]:
    """Ask for the list at once, as critical and as sheddable; return the answers of each."""

    def ask_as(level: str) -> Answer:
        return lab.get(LIST, baggage=f"squall.criticality={level}")

    levels = ["critical"] * CRITICAL + ["sheddable"] * SHEDDABLE
    with ThreadPoolExecutor(len(levels)) as threads:
        answers = list(threads.map(ask_as, levels))
    return answers[:CRITICAL], answers[CRITICAL:]


def test_sheddable_requests_make_room_for_critical_ones_and_are_told_why(importance: Lab) -> None:
    """All critical ones are answered; a sheddable one learns who refused, as explain tells it."""
    critical: list[Answer] = []
    refused: list[Answer] = []

    def is_refused() -> bool:
        answered, others = burst(importance)
        critical.extend(answered)
        refused.extend(answer for answer in others if answer.status != 200)
        return bool(refused)

    wait_until(is_refused, limit_s=LIMIT_S)
    assert {answer.status for answer in critical} == {200}, [answer.body for answer in critical]
    assert {answer.status for answer in refused} == {503}, [answer.body for answer in refused]
    assert {answer.json["reason"] for answer in refused} <= set(REASONS)

    headers = refused[0].headers
    policy, where, figures = headers["x-squall-decision"].split("; ")
    value, limit = map(float, figures.split("/"))
    assert policy in WHO
    assert where.startswith("video.")
    assert value >= limit == 1
    assert int(headers["retry-after"]) >= 1

    told = importance.json("explain", headers["x-request-id"])
    notes = [(hop["instance"], note) for hop in told["hops"] for note in hop["notes"]]
    assert [(place, note["policy"], note["what"]) for place, note in notes if place == where] == [
        (where, policy, "rejected")
    ]
    detail = next(note["detail"] for place, note in notes if place == where)
    assert (detail["value"], detail["limit"]) == (value, limit)
    assert detail["reason"] == refused[0].json["reason"]
