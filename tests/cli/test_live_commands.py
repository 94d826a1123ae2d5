"""``squall fault``, ``policy`` and ``explain`` on a real control plane with processes on it."""

from types import SimpleNamespace

import pytest

from kit.recorder import RequestSummary
from resilience.policy.contract import Mode
from tests.cli.conftest import Squall
from tests.cli.nodes import Nodes
from tests.valkey import start_valkey

pytestmark = pytest.mark.integration

LATENCY = ("fault", "add", "latency", "--ms", "500", "--ttl", "60s")


def test_a_fault_is_live_in_its_target_when_the_command_returns(
    nodes: Nodes, squall: Squall
) -> None:
    """The service's replicas have the rule, the others don't; list shows it with its life."""
    added = squall(*LATENCY, "--on", "video", "--share", "0.5", "--json")

    assert (added.code, added.err) == (0, "")
    assert added.json["schema"] == "squall.fault/1"
    assert (added.json["live"], added.json["total"], added.json["missing"]) == (2, 2, [])
    rules = {name: node.state.faults_for(*split(name)) for name, node in nodes.nodes.items()}
    assert {name for name, found in rules.items() if found} == {"video.1", "video.2"}

    [row] = squall("fault", "list", "--json").json["faults"]
    assert (row["id"], row["kind"], row["target"]) == (added.json["id"], "latency", "video")
    assert (row["params"], row["share"]) == ({"ms": 500.0}, 0.5)
    assert 50 < row["ends_in_s"] <= 60
    assert row["proof_counts"] == {}


def test_a_fault_on_one_replica_leaves_the_others(nodes: Nodes, squall: Squall) -> None:
    """``--on video.2`` reaches that replica alone."""
    assert squall(*LATENCY, "--on", "video.2", "--json").json["total"] == 1
    assert nodes.nodes["video.2"].state.faults_for("video", 2)
    assert not nodes.nodes["video.1"].state.faults_for("video", 1)


def test_proof_is_added_up_over_replicas(nodes: Nodes, squall: Squall) -> None:
    """List sums what every process counted for a fault."""
    fault = squall(*LATENCY, "--on", "video", "--json").json["id"]
    for name in ("video.1", "video.2"):
        assert nodes.nodes[name].faults.decide("GetVideo", "", 0.0)
    [row] = squall("fault", "list", "--json").json["faults"]
    assert (row["id"], row["proof_counts"]["hits"]) == (fault, 2)
    assert "hits 2" in squall("fault", "list").out


def test_a_fault_is_removed_early(nodes: Nodes, squall: Squall) -> None:
    """Remove ends one, clear the rest; both wait until it is so everywhere."""
    one, two, three = (squall(*LATENCY, "--on", "comment", "--json").json["id"] for _ in range(3))
    removed = squall("fault", "remove", one, "--json")
    assert (removed.code, removed.json["removed"], removed.json["missing"]) == (0, [one], [])
    left = {rule.id for rule in nodes.nodes["comment.1"].state.faults_for("comment", 1)}
    assert left == {two, three}

    assert set(squall("fault", "clear", "--json").json["removed"]) == {two, three}
    assert not nodes.nodes["comment.1"].state.faults_for("comment", 1)
    assert squall("fault", "clear", "--json").json["removed"] == []
    assert squall("fault", "list").out == "no faults\n"


@pytest.mark.usefixtures("nodes")
@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        ((*LATENCY, "--on", "vidoe"), "video"),
        ((*LATENCY, "--on", "video.9"), "video.1"),
        ((*LATENCY, "--on", "l7"), "--on gateway"),
        ((*LATENCY, "--on", "l7.1"), "--on gateway"),
        (("fault", "remove", "latency-0"), "latency-0"),
        (("policy", "set", "limiter", "off", "--on", "gatewaay"), "gateway"),
        (("policy", "reset", "limiter", "--on", "video.3"), "video.2"),
        (("policy", "list", "--on", "comments"), "comment"),
    ],
    ids=lambda value: " ".join(value),
)
def test_what_does_not_run_is_answered_with_the_nearest(
    argv: tuple[str, ...], hint: str, squall: Squall
) -> None:
    """Exit 2, the nearest names, and nothing written."""
    done = squall(*argv, "--json")

    assert (done.code, done.json["exit_code"]) == (2, 2)
    assert hint in done.json["error"]
    assert squall("fault", "list", "--json").json["faults"] == []


def test_a_switch_is_live_when_the_command_returns(nodes: Nodes, squall: Squall) -> None:
    """Set reaches a service, a more specific one wins, reset takes both back to the default."""
    done = squall("policy", "set", "limiter", "off", "--on", "video", "--json")
    assert (done.code, done.json["schema"], done.json["live"]) == (0, "squall.policy/1", 2)
    assert nodes.nodes["video.1"].mode("limiter") is Mode.OFF
    assert nodes.nodes["comment.1"].mode("limiter") is Mode.ON

    squall("policy", "set", "limiter", "shadow", "--on", "video.2")
    modes = squall("policy", "list", "--json").json["policies"]
    assert modes.keys() == nodes.nodes.keys()
    assert [modes[name]["limiter"] for name in ("video.1", "video.2", "gateway.1")] == [
        "off", "shadow", "on",
    ]  # fmt: skip

    squall("policy", "reset", "limiter", "--on", "video")
    squall("policy", "reset", "limiter", "--on", "video.2")
    assert {nodes.nodes[name].mode("limiter") for name in ("video.1", "video.2")} == {Mode.ON}


def test_a_choice_is_live_when_the_command_returns(nodes: Nodes, squall: Squall) -> None:
    """Choose reaches a service and is listed; reset takes the switch and the choice back."""
    done = squall("policy", "choose", "limiter", "vegas", "--on", "video", "--json")
    assert (done.code, done.json["schema"], done.json["live"]) == (0, "squall.policy/1", 2)
    assert nodes.nodes["video.1"].choice("limiter", "bbr") == "vegas"
    choices = squall("policy", "list", "--json").json["choices"]
    assert (choices["video.2"]["limiter"], choices["comment.1"]["limiter"]) == ("vegas", "bbr")

    squall("policy", "set", "limiter", "off", "--on", "video")
    squall("policy", "reset", "limiter", "--on", "video")
    assert nodes.nodes["video.1"].choice("limiter", "bbr") == "bbr"
    assert nodes.nodes["video.1"].mode("limiter") is Mode.ON


def test_a_switch_without_a_target_is_everywhere(nodes: Nodes, squall: Squall) -> None:
    """``--on`` left out means every process, and the text says so."""
    done = squall("policy", "set", "breaker", "on")
    assert done.out.startswith("breaker on everywhere: live in 5 of 5 after ")
    assert {node.mode("breaker") for node in nodes.nodes.values()} == {Mode.ON}


def test_who_does_not_follow_is_named(
    nodes: Nodes, squall: Squall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that holds its lease and doesn't act is named when the limit ends; exit 1."""
    monkeypatch.setattr("squall.link.LIVE_LIMIT_S", 4.0)
    with nodes.deaf("video.3"):
        done = squall("policy", "set", "limiter", "off", "--on", "video", "--json")
    assert done.code == 1
    assert (done.json["live"], done.json["total"], done.json["missing"]) == (2, 3, ["video.3"])
    assert done.json["after_ms"] >= 4_000


def test_policy_list_shows_the_lab_s_defaults(nodes: Nodes, squall: Squall) -> None:
    """With nothing set, retry is on at the L7 balancer and in shadow elsewhere."""
    modes = squall("policy", "list", "--json").json["policies"]
    assert modes.keys() == nodes.nodes.keys()
    assert (modes["l7.1"]["retry"], modes["gateway.1"]["retry"]) == ("on", "shadow")
    table = squall("policy", "list", "--on", "video").out.splitlines()
    assert [line.split()[0] for line in table[1:]] == ["video.1", "video.2"]


def test_explain_puts_the_hops_in_order(nodes: Nodes, squall: Squall) -> None:
    """Hops come from every process: balancer, gateway, then services by their start."""
    started = {"video.2": 100.3, "comment.1": 100.2, "gateway.1": 100.1, "l7.1": 100.15}
    for name, at in started.items():
        nodes.nodes[name].recorder.add(
            RequestSummary("req-7", "0" * 32, name, "GET /x", at, 5.0, 900.0, 895.0)
        )
    done = squall("explain", "req-7", "--json")

    assert (done.code, done.json["schema"]) == (0, "squall.explain/1")
    hops = done.json["hops"]
    assert [hop["instance"] for hop in hops] == ["l7.1", "gateway.1", "comment.1", "video.2"]
    assert hops[0]["remaining_in_ms"] == 900.0
    assert squall("explain", "req-7").out.startswith("request req-7\nhop ")


@pytest.mark.usefixtures("nodes")
def test_a_request_nobody_remembers_exits_1(squall: Squall) -> None:
    """No hop: exit 1, an empty list as JSON, and why on stderr."""
    done = squall("explain", "never-seen", "--json")
    assert (done.code, done.json["hops"]) == (1, [])
    assert "2,000" in done.err
    assert squall("explain", "never-seen").out == ""


def test_control_without_processes_is_the_environment(
    squall: Squall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where control answers alone, a target isn't wrong but absent: exit 3."""
    with start_valkey() as server:
        found = SimpleNamespace(control=(server.host, server.port))
        monkeypatch.setattr("chaos.lab.find_lab", lambda: found)
        done = squall("policy", "set", "limiter", "off", "--on", "video")
    assert done.code == 3
    assert "make up" in done.err


def split(instance: str) -> tuple[str, int]:
    """Split an instance's name into service and replica."""
    service, _, replica = instance.rpartition(".")
    return service, int(replica)
