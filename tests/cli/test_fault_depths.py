"""``squall fault`` at its other two depths: links, and hosts under a real supervisor."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from chaos.drivers.contract import HostFault
from chaos.drivers.host_fault import KINDS as HOST_KINDS
from chaos.drivers.processes import ProcessDriver
from chaos.lab import InnerWays, Lab, load_lab
from faults.kinds import KINDS as RULE_KINDS
from kit.node import Node
from squall.commands.fault import ADD_HELP
from tests.chaos.supervisor.lab import running_lab, wait_for
from tests.cli.conftest import Squall
from tests.cli.nodes import Nodes
from tests.kit.lab import settings_for
from tests.valkey import Valkey

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab of stand-ins under a real supervisor."""
    with running_lab(tmp_path_factory.mktemp("lab")) as (lab, _):
        yield lab


@pytest.fixture
def hosts(tiny: Lab, monkeypatch: pytest.MonkeyPatch, squall: Squall) -> Iterator[Lab]:
    """Let commands find that lab; nothing is left broken behind a test."""
    driver = ProcessDriver(tiny.root)
    monkeypatch.setattr("chaos.lab.load_lab", lambda *_: tiny)
    wait_for("web.2 serves", lambda: bool(driver.logs("web.2", 1)["web.2"]))
    yield tiny
    for proof in driver.host_faults():
        driver.end(proof.id)


@pytest.fixture
def links(nodes: Nodes) -> Iterator[Nodes]:
    """The processes that follow control, and one that is the links process."""
    host, port = nodes.control
    server = cast(Valkey, SimpleNamespace(host=host, port=port))
    node = Node(settings_for(server, "links", 1), settle_s=0.0)
    nodes.run(node.start())
    try:
        yield nodes
    finally:
        nodes.run(node.stop())


def test_the_help_names_every_kind_of_every_depth() -> None:
    """One text for three depths; what can be asked for can be read there."""
    words = set(ADD_HELP.replace(",", " ").split())
    assert {*RULE_KINDS, *HOST_KINDS, "cut"} <= words


@pytest.mark.usefixtures("no_lab")
def test_a_host_fault_needs_no_control(hosts: Lab, squall: Squall) -> None:
    """Begun, listed with its seconds and proof, and ended early, with control away."""
    added = squall("fault", "add", "pause", "--on", "web.2", "--ttl", "20s", "--json")
    assert (added.code, added.json["schema"], added.json["hits"]) == (0, "squall.fault/1", 1)
    assert states(hosts)["web.2"] == "paused"

    listed = squall("fault", "list", "--json")
    [row] = listed.json["faults"]
    assert (row["id"], row["depth"], row["what"]) == (added.json["id"], "host", "pause on web.2")
    assert 15 < row["ends_in_s"] <= 20
    assert row["proof"] == "hits 1: web.2 paused"
    assert "only what is done to hosts" in listed.err

    ended = squall("fault", "clear", added.json["id"])
    assert (ended.code, ended.out) == (0, f"ended {added.json['id']}: web.2 paused\n")
    assert states(hosts)["web.2"] == "running"
    assert squall("fault", "list").code == 3


def test_list_and_clear_take_all_depths_together(hosts: Lab, nodes: Nodes, squall: Squall) -> None:
    """A rule and a host fault stand in one list and end with one command."""
    squall("fault", "add", "error", "--on", "video")
    squall("fault", "add", "kill", "--on", "web")
    assert {row["kind"] for row in squall("fault", "list", "--json").json["faults"]} == {
        "error",
        "kill",
    }

    cleared = squall("fault", "clear", "--all", "--json")
    assert (cleared.code, len(cleared.json["removed"])) == (0, 1)
    assert [one["hits"] for one in cleared.json["ended"]] == [2]
    assert squall("fault", "list").out == "no faults\n"
    assert {states(hosts)[name] for name in ("web.1", "web.2")} == {"running"}


def test_clear_leaves_what_somebody_renews(hosts: Lab, nodes: Nodes, squall: Squall) -> None:
    """A running drill's own faults are ended by their id only."""
    hosts.driver().begin(HostFault("drill-1", "pause", "web.1", 60.0), lease_s=30.0)
    assert squall("fault", "clear", "--json").json["ended"] == []
    assert [one["id"] for one in squall("fault", "remove", "drill-1", "--json").json["ended"]] == [
        "drill-1"
    ]


def test_what_misses_is_no_success(hosts: Lab, squall: Squall) -> None:
    """Killing what doesn't run hits nothing: exit 1, and it says so."""
    done = squall("fault", "add", "kill", "--on", "once.1")
    assert done.code == 1
    assert "once.1 was not running" in done.out


@pytest.mark.usefixtures("hosts", "nodes")
@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        (("paus", "--on", "web.1"), "did you mean pause"),
        (("pause", "--on", "wbe.1"), "there is web.1"),
        (("pause", "--on", "link:gateway>video"), "to cut a link use the kind down"),
        (("pause", "--on", "web.1", "--share", "0.5"), "takes no --share"),
        (("pause", "--on", "web.1", "--ms", "5"), "it takes none"),
        (("pause", "--on", "web.1", "--code", "503"), "takes no --code"),
        (("cpu", "--on", "web.1"), "0.01 to 64"),
        (("cpu", "--on", "web.1", "--mb", "64"), "it takes cores"),
        (("memory", "--on", "web.1", "--mb", "1"), "from 6 to 65536"),
        (("kill", "--on", "web.1", "--ttl", "25h"), "86400"),
        (("cut", "--on", "video"), "cut is about links"),
        (("clear-all",), "--on"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_wrong_host_fault_is_one_clear_line(
    argv: tuple[str, ...], hint: str, squall: Squall
) -> None:
    """Exit 2, what was wrong, and what to give instead."""
    done = squall("fault", "add", *argv, "--json")
    assert (done.code, done.json["exit_code"]) == (2, 2)
    assert hint in done.json["error"]


def test_an_id_and_all_together_are_refused(squall: Squall) -> None:
    """Which of the two was meant can't be known."""
    done = squall("fault", "clear", "pause-1", "--all")
    assert (done.code, done.err) == (2, "squall: give an id, or --all, but not both\n")


def test_inside_the_lab_a_host_fault_says_where_to_run_it(
    monkeypatch: pytest.MonkeyPatch, squall: Squall
) -> None:
    """The container `lab` has no engine's socket: exit 3."""
    inside = replace(load_lab(), inside=InnerWays(("l4", 8080), ("control", 6379)))
    monkeypatch.setattr("chaos.lab.load_lab", lambda *_: inside)
    done = squall("fault", "add", "pause", "--on", "video.1")
    assert done.code == 3
    assert "no Docker socket in here: run it on the host (make up)" in done.err


@pytest.mark.parametrize("kind", ["down", "cut"])
def test_a_cut_link_is_a_rule_for_links_and_for_its_client(
    kind: str, links: Nodes, squall: Squall, tmp_path: Path
) -> None:
    """Live in the links process and in every replica of the client."""
    done = squall("fault", "add", kind, "--on", "link:gateway>video.1", "--json")
    assert (done.code, done.json["kind"], done.json["total"]) == (0, "down", 2)
    [row] = squall("fault", "list", "--json").json["faults"]
    assert (row["depth"], row["what"]) == ("link", "down on link:gateway>video.1")


@pytest.mark.usefixtures("links")
@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        (("down", "--on", "link:gatewy>video"), "gateway>video"),
        (("down", "--on", "link:comment>video"), "is declared"),
        (("down", "--on", "link:gateway>video.9"), "link:gateway>video.1"),
        (("down", "--on", "link:video>store-9"), "link:video>store-"),
        (("down", "--on", "link:gateway"), "link:CLIENT>SERVER"),
        (("loading", "--on", "video"), "one of links"),
        (("slow", "--on", "gateway", "--factor", "2"), "no station"),
        (("latency", "--on", "link:gateway>video", "--ms", "5", "--route", "/x"), "route"),
        (("latency", "--on", "links", "--ms", "5"), "--on gateway"),
        (("bandwidth", "--on", "link:gateway>video", "--kbps", "5", "--stream", "up"), "upstream"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_wrong_link_is_one_clear_line(argv: tuple[str, ...], hint: str, squall: Squall) -> None:
    """Exit 2 with the nearest, and nothing written."""
    done = squall("fault", "add", *argv, "--json")
    assert (done.code, done.json["exit_code"]) == (2, 2)
    assert hint in done.json["error"]
    assert squall("fault", "list", "--json").json["faults"] == []


def test_without_links_process_a_link_fault_is_refused(nodes: Nodes, squall: Squall) -> None:
    """Nobody would stand in the path: exit 3."""
    done = squall("fault", "add", "down", "--on", "link:gateway>video")
    assert done.code == 3
    assert "links is not running" in done.err


def states(lab: Lab) -> dict[str, str]:
    """Each instance's state in the driver's words."""
    return {status.instance: status.state for status in lab.driver().instances()}
