"""``squall events``: all processes' decisions by time, once and as they come."""

import json

import pytest

from squall.commands import events as command
from squall.commands.events import line
from tests.cli.conftest import Squall
from tests.cli.nodes import Nodes

EVENT = {
    "id": 7,
    "at_unix_s": 1_700_000_000.25,
    "instance": "gateway.1",
    "policy": "breaker",
    "what": "rejected",
    "scope": "gateway.1>video",
    "detail": {"reason": "BREAKER_OPEN", "value": 0.123456, "limit": None},
    "left_out": 12,
}


def refuse(nodes: Nodes, instance: str, value: int) -> None:
    """Let a process tell of a refusal."""
    told = nodes.nodes[instance].events
    told.on_decision("limiter", "rejected", instance, {"value": value})


@pytest.mark.unit
def test_a_line_says_when_where_who_what_and_for_how_many_it_stands() -> None:
    """Figures that aren't there are left out, a scope that is the instance too."""
    assert line(EVENT)[8:] == (
        ".250 gateway.1  breaker: rejected gateway.1>video reason=BREAKER_OPEN value=0.123 "
        "(and 12 like it before)"
    )
    own = {**EVENT, "scope": "gateway.1", "detail": {}, "left_out": 0}
    assert line(own)[8:] == ".250 gateway.1  breaker: rejected"


@pytest.mark.integration
def test_events_of_all_processes_come_by_time(squall: Squall, nodes: Nodes) -> None:
    """The last ones asked for, whoever told them."""
    for value, instance in enumerate(("video.2", "comment.1", "video.1")):
        refuse(nodes, instance, value)
    done = squall("events", "-n", "3", "--json")
    assert done.code == 0
    assert done.json["schema"] == "squall.events/1"
    told = [(each["instance"], each["detail"]) for each in done.json["events"]]
    assert told == [
        ("video.2", {"value": 0}),
        ("comment.1", {"value": 1}),
        ("video.1", {"value": 2}),
    ]


@pytest.mark.integration
def test_a_target_leaves_the_others_out_and_an_unknown_one_is_named(
    squall: Squall, nodes: Nodes
) -> None:
    """A replica, or what was probably meant."""
    refuse(nodes, "video.1", 1)
    refuse(nodes, "video.2", 2)
    found = squall("events", "--on", "video.2", "--json").json["events"]
    assert {each["instance"] for each in found} == {"video.2"}
    wrong = squall("events", "--on", "vidoe")
    assert (wrong.code, wrong.out) == (2, "")
    assert "did you mean video" in wrong.err


@pytest.mark.integration
def test_following_prints_each_event_once_as_it_comes(
    squall: Squall, nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One JSON object a line; a reader who leaves ends it with 0."""
    printed: list[str] = []
    monkeypatch.setattr(command, "ASK_EVERY_S", 0.01)
    monkeypatch.setattr(command, "_print", lambda found, *, as_json: _take(nodes, found, printed))
    assert squall("events", "--follow", "--newest", "1", "--on", "video.1", "--json").code == 0
    values = [json.loads(each)["detail"].get("value") for each in printed]
    assert values[-3:] == [100, 101, 102]


def _take(nodes: Nodes, found: list[dict[str, object]], printed: list[str]) -> bool:
    """Keep what would be printed and cause the next one; leave after three."""
    printed.extend(json.dumps(event) for event in found)
    caused = [each for each in printed if json.loads(each)["detail"].get("value", 0) >= 100]
    refuse(nodes, "video.1", 100 + len(caused))
    return len(caused) < 3


@pytest.mark.integration
def test_without_a_lab_it_says_so(squall: Squall, no_lab: None) -> None:
    """Exit code 3, one sentence."""
    done = squall("events", "--follow")
    assert (done.code, done.out) == (3, "")
    assert "the lab is not running" in done.err
