"""``squall setting``: names, bounds and readers; and that a number is live when it returns."""

import re
from pathlib import Path

import pytest

from gateway.settings import GROUPS
from squall.setting_names import ANY_SERVER, known_settings
from tests.cli.conftest import Squall
from tests.cli.nodes import Nodes

ROOT = Path(__file__).resolve().parents[2]
READ = re.compile(r"""setting(?:_of)?\(\s*f?["']([a-z_]+)(?:["']|\.\{)""")


@pytest.mark.unit
def test_the_table_has_every_number_that_somebody_reads_by_its_name() -> None:
    """Whoever reads a new one names it here, or nobody could set it."""
    sources = [path for top in ("gateway", "lb", "services") for path in (ROOT / top).rglob("*.py")]
    read = {name for path in sources for name in READ.findall(path.read_text("utf-8"))}
    assert read
    assert read <= {name.rstrip(".") for name in known_settings()}


@pytest.mark.unit
def test_defaults_are_those_of_who_reads_them() -> None:
    """256 slots, 32 calls, a second; no quota, equal weights; a route's budget is budget_ms."""
    known = known_settings()
    names = ("cap", "bulkhead", "budget_ms", "per_try_ms", "quota_rps", "quota_weight.")
    assert [known[name].default for name in names] == [256, 32, 1000, 0, 0, 1]
    assert {known[f"budget_ms.{group}"].default for group in GROUPS} == {None}
    assert known["limit"].readers == ANY_SERVER
    assert all(each.default is None or each.default >= each.least for each in known.values())


@pytest.mark.unit
@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        (("set", "quota_rsp", "5"), "quota_rps"),
        (("set", "budget_ms.vidoes", "5"), "budget_ms.videos"),
        (("set", "quota_rps", "-1"), "give 0 or more (requests/s)"),
        (("set", "quota_rps", "nan"), "give 0 or more"),
        (("set", "quota_rps", "inf"), "give 0 or more"),
        (("set", "attempts", "0"), "give 1 or more (tries)"),
        (("set", "quota_weight.ann", "0"), "give 0.001 or more"),
        (("set", "quota_weight.", "2"), "quota_weight.TENANT"),
        (("set", "quota_weight.a/b", "2"), "without a slash"),
        (("set", "quota_rps", "5", "--on", "video"), "video reads no quota_rps: set it on gateway"),
        (("set", "attempts", "5", "--on", "video.2"), "set it on gateway or l7"),
        (("reset", "capp"), "did you mean cap"),
        (("reset", "cap", "--on", "l7"), "set it on gateway"),
        (("set", "cap", "many"), "valid number"),
    ],
    ids=lambda value: " ".join(value),
)
def test_what_cannot_be_meant_is_refused_with_what_can(
    argv: tuple[str, ...], hint: str, squall: Squall
) -> None:
    """Exit 2, one sentence, before anything is asked."""
    done = squall("setting", *argv)
    assert (done.code, done.out) == (2, "")
    assert hint in done.err


@pytest.mark.usefixtures("no_lab")
@pytest.mark.parametrize("argv", [("list",), ("set", "cap", "5"), ("reset", "cap")], ids=" ".join)
def test_without_a_lab_it_says_so(argv: tuple[str, ...], squall: Squall) -> None:
    """Exit 3."""
    done = squall("setting", *argv)
    assert (done.code, done.err) == (3, "squall: the lab is not running: make up\n")


@pytest.mark.integration
def test_a_number_is_live_when_the_command_returns(nodes: Nodes, squall: Squall) -> None:
    """Left out, --on means who reads it; a replica wins over its service; reset takes it back."""
    gateway = nodes.nodes["gateway.1"]
    done = squall("setting", "set", "quota_rps", "75", "--json")
    assert (done.code, done.json["schema"], done.json["on"]) == (0, "squall.setting/1", "gateway")
    assert (done.json["live"], done.json["missing"]) == (1, [])
    assert gateway.setting("quota_rps", 0.0) == 75.0

    squall("setting", "set", "quota_weight.ann", "2.5", "--on", "gateway.1")
    assert gateway.setting("quota_weight.ann", 1.0) == 2.5
    squall("setting", "set", "limit", "9")
    assert nodes.nodes["video.2"].setting("limit", 20.0) == 9.0

    rows = squall("setting", "list", "--json").json["set"]
    assert rows == [
        {"name": "limit", "on": "*", "value": 9.0},
        {"name": "quota_rps", "on": "gateway", "value": 75.0},
        {"name": "quota_weight.ann", "on": "gateway.1", "value": 2.5},
    ]
    shown = squall("setting", "list").out
    assert "75 on gateway" in shown
    assert "ann 2.5 on gateway.1" in shown

    assert squall("setting", "reset", "quota_rps").out.startswith("quota_rps default on gateway: ")
    assert gateway.setting("quota_rps", 0.0) == 0.0


@pytest.mark.integration
@pytest.mark.usefixtures("nodes")
def test_a_target_that_does_not_run_is_named_with_the_nearest(squall: Squall) -> None:
    """Exit 2, and nothing is written."""
    done = squall("setting", "set", "cap", "5", "--on", "gateway.7")
    assert done.code == 2
    assert "gateway.1" in done.err
    assert squall("setting", "list", "--json").json["set"] == []
