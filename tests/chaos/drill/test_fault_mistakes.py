"""Mistakes in faults and hypotheses, each with its place."""

from typing import Any

import pytest

from chaos.drill.loading import check_source
from chaos.drill.schema import Drill
from kit.source import SourceError, parse_source

pytestmark = pytest.mark.unit

FILE = """\
drill: tiny
chapter: "0"
incident: none
lesson: none
title: tiny
needs: {seconds: 10, cores: 1}
policies: {deadline: on}
load:
  phases:
    - {name: warm, seconds: 1, rates: {list: 10}}
    - {name: steady, seconds: 2, rates: {list: 10}}
    - {name: fault, seconds: 8, rates: {list: 10}}
    - {name: recover, seconds: 3, rates: {list: 10}}
faults:
  - {at: 0, for: 6, %s}
hypotheses:
  - {name: one, bound: ">= 1", %s}
control: {off: [deadline], refutes: [one]}
"""
LATENCY = "kind: latency, on: video, ms: 5"
PLAIN = "metric: failed_count"


def read(fault: str = LATENCY, claim: str = PLAIN) -> Drill:
    """Read a drill with one fault and one hypothesis."""
    return check_source(parse_source(FILE % (fault, claim), "tiny.yaml"))


@pytest.mark.parametrize(
    "fault",
    [
        LATENCY,
        "kind: burn, on: video.2, ms: 20",
        "kind: slow, on: video, factor: 20",
        'kind: latency, on: "link:gateway>video.1", ms: 5, jitter_ms: 2, stream: upstream',
        'kind: bandwidth, on: "link:video>store", kbps: 100',
        'kind: slicer, on: "link:l7>gateway", bytes: 10, variation: 5, us: 100',
        'kind: cut, on: "link:video>shard.1.primary"',
        "kind: kill, on: shard.1.primary",
        "kind: pause, on: control",
        "kind: cpu, on: video.1, cores: 0.1",
        "kind: memory, on: video.1, mb: 64",
        "kind: slowloris, on: clients, connections: 1200, rate: 200, ms: 1000",
    ],
)
def test_faults_of_four_depths_are_valid(fault: str) -> None:
    """One list, one shape."""
    assert len(read(fault).faults) == 1


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("kind: puase, on: video", "unknown fault puase; did you mean pause"),
        ("kind: kill, on: video, cores: 1", "kill has no param 'cores'"),
        (
            "kind: slowloris, on: l7, connections: 9, rate: 9, ms: 9",
            "slowloris comes from outside: write on: clients",
        ),
        ("kind: slowloris, on: clients, rate: 9, ms: 9", "connections is missing; give more than"),
        (
            "kind: slowloris, on: clients, connections: 10001, rate: 9, ms: 9",
            "connections is 10001; give more than 0, at most 10000",
        ),
        (
            "kind: slowloris, on: clients, connections: 9, rate: 0, ms: 9",
            "rate is 0; give more than 0",
        ),
        (
            "kind: slowloris, on: clients, connections: 9, rate: 9, ms: 9, kbps: 1",
            "slowloris has no param kbps; it takes connections, rate, ms",
        ),
        (
            "kind: slowloris, on: clients, connections: 9, rate: 9, ms: 9, share: 0.5",
            "it takes no route, tenant or share",
        ),
        ("kind: cpu, on: video", "cores"),
        ("kind: cpu, on: video, cores: 0.1, share: 0.5", "acts on whole instances"),
        ("kind: pause, on: video, route: x", "acts on whole instances"),
        ("kind: pause, on: 'link:gateway>video'", "link:gateway>video"),
        ("kind: cut, on: video", "write link:gateway>video"),
        ("kind: down, on: video", "one of links"),
        ("kind: block, on: 'link:gateway>video', ms: 1", "one of services"),
        ("kind: latency, on: shard.1.primary, ms: 1", "shard.1.primary is a store node"),
        ("kind: latency, on: 'link:gateway', ms: 1", "link:gateway"),
        ("kind: cpu, on: video, cores: 0.1, stream: upstream", "no param 'stream'"),
        ("kind: pause, on: video, colour: red", "unknown key colour"),
    ],
)
def test_mistakes_in_faults_are_located(fault: str, message: str) -> None:
    """On the line of the fault."""
    with pytest.raises(SourceError, match=r"^tiny.yaml:15:\d+: ") as caught:
        read(fault)

    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("{kind: pause, on: video}", "pause needs for: how many seconds"),
        ("{kind: restart, on: video, at: 8}", "the fault phase has 8 s"),
        ("{kind: pause, on: video, at: 3, for: 6}", "from 3 to 9 s; the fault phase has 8 s"),
    ],
)
def test_faults_fit_into_their_phase(fault: str, message: str) -> None:
    """A restart alone may leave its length out."""
    text = FILE.replace("{at: 0, for: 6, %s}", "%s")
    with pytest.raises(SourceError) as caught:
        check_source(parse_source(text % (fault, PLAIN), "tiny.yaml"))

    assert message in str(caught.value)
    good = "{kind: restart, on: video, at: 3}"
    assert check_source(parse_source(text % (good, PLAIN), "tiny.yaml")).faults[0].seconds == 0


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        ("metric: failed_count, last_s: 2", "takes no last_s; goodput_of_offered does"),
        ("metric: goodput_of_offered, last_s: 9", "last_s is 9; the fault phase has 8 s"),
        ("metric: goodput_of_offered, last_s: 0", "last_s is 0"),
        ("metric: goodput_of_offered, last_s: 2, phase: all", "last_s is of one phase"),
        ("metric: command_seconds", "command_seconds needs command"),
        ("metric: failed_count, command: status", "runs no command; command_seconds does"),
        ("metric: command_seconds, command: status, phase: recover", "3 s into the fault"),
        ('metric: command_seconds, command: "status \'x"', "is no command line"),
        ("metric: wasted_shere", "did you mean wasted_share"),
    ],
)
def test_mistakes_in_hypotheses_are_located(claim: str, message: str) -> None:
    """On the line of the hypothesis."""
    with pytest.raises(SourceError, match=r"^tiny.yaml:17:\d+: ") as caught:
        read(claim=claim)

    assert message in str(caught.value)


@pytest.mark.parametrize(
    "claim",
    [
        "metric: goodput_of_offered, last_s: 8",
        "metric: goodput_of_steady",
        "metric: wasted_share",
        "metric: watchdog_named",
        "metric: command_seconds, command: policy set limiter on --on video, exits: 3",
    ],
)
def test_new_metrics_are_valid(claim: str) -> None:
    """As drills use them."""
    assert read(claim=claim).hypotheses[0].name == "one"


@pytest.mark.parametrize(
    ("metric", "message"),
    [("watchdog_named", "the drill has none"), ("command_seconds", "the drill has none")],
)
def test_metrics_of_faults_need_one(metric: str, message: str) -> None:
    """Without a fault there is nothing to look at."""
    text = FILE.replace("faults:\n  - {at: 0, for: 6, %s}\n", "")
    more: dict[str, Any] = {"command_seconds": ", command: status"}
    with pytest.raises(SourceError) as caught:
        check_source(parse_source(text % f"metric: {metric}{more.get(metric, '')}", "tiny.yaml"))

    assert message in str(caught.value)
