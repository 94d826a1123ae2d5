"""``squall drill`` and ``squall load`` as a user types them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kit.errors import ConfigError
from squall.main import app
from tests.loadtests.server import Answer, tiny_server

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[3]


def squall(*argv: str) -> "subprocess.CompletedProcess[str]":
    """Run the command as a process, with a lab that isn't there."""
    return subprocess.run(
        [sys.executable, "-m", "squall.main", *argv],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{ROOT}:{ROOT / 'cli'}", "TERM": "dumb"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_list_names_every_drill_with_its_cost_and_lesson() -> None:
    """As text and as data."""
    text = CliRunner().invoke(app, ["drill", "list"])
    data = json.loads(CliRunner().invoke(app, ["drill", "list", "--json"]).stdout)

    assert "overload" in text.stdout
    assert "reject early" in text.stdout
    assert data["schema"] == "squall.drill-list/1"
    assert {d["drill"] for d in data["drills"]} >= {"overload", "slow-dependency"}
    assert data["drills"][0]["needs"]["cores"] > 0


def test_show_prints_both_arms_whole() -> None:
    """What is on, what is off, when, and what must hold."""
    text = CliRunner().invoke(app, ["drill", "show", "slow-dependency"]).stdout
    data = json.loads(CliRunner().invoke(app, ["drill", "show", "overload", "--json"]).stdout)

    main, control = (line for line in text.splitlines() if line.endswith("all others off"))
    assert main.startswith("main       *: breaker on, bulkhead on, ")
    assert control.startswith("control    *: breaker on, bulkhead off, ")
    assert "fault      latency (ms 2000) on comment for 15 s" in text
    assert data["arms"]["control"]["off"] == ["limiter"]


def test_validate_takes_overrides() -> None:
    """A good one passes; a bad one is exit code 2 with a sentence and no traceback."""
    good = CliRunner().invoke(app, ["drill", "validate", "overload", "--set", "load.zipf=0.5"])
    bad = squall("drill", "validate", "overload", "--set", "load.zapf=0.5")

    assert good.exit_code == 0
    assert bad.returncode == 2
    assert "unknown key zapf; did you mean zipf" in bad.stderr
    assert "Traceback" not in bad.stderr


def test_unknown_drill_is_exit_2_with_the_nearest() -> None:
    """On stderr for people, as an object for programs."""
    done = squall("drill", "run", "overlode", "--json")

    assert done.returncode == 2
    assert "did you mean overload?" in done.stderr
    assert json.loads(done.stdout)["exit_code"] == 2


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ((), "which drill? Name one or several, or give --all"),
        (("overload", "--all"), "--all runs every drill: leave out overload"),
        (("--tag", "smoke"), "write --all --tag smoke"),
        (("--all", "--tag", "smoek"), "no drill has the tag smoek: did you mean smoke"),
        (("overload", "metastable", "--set", "load.zipf=1"), "--set changes one drill"),
        (("overload", "--ablate", "--no-ablation"), "contradict one another: give one of them"),
        (("overload", "metastabel"), "unknown drill metastabel: did you mean metastable"),
    ],
)
def test_run_refuses_what_makes_no_sense(argv: tuple[str, ...], message: str) -> None:
    """Exit code 2 in one sentence, before the lab is asked."""
    done = CliRunner().invoke(app, ["drill", "run", *argv])

    assert isinstance(done.exception, ConfigError)
    assert message in str(done.exception)


def test_list_shows_tags_and_what_each_drill_breaks_and_needs() -> None:
    """A host fault needs a capability; a spike of load needs none."""
    text = CliRunner().invoke(app, ["drill", "list"]).stdout
    data = json.loads(CliRunner().invoke(app, ["drill", "list", "--json"]).stdout)

    head, *rows = text.splitlines()
    assert head.split()[:6] == ["drill", "chapter", "tags", "breaks", "needs", "seconds"]
    by_name = {one["drill"]: one for one in data["drills"]}
    assert by_name["overload"]["tags"] == ["smoke"]
    assert by_name["frozen-replica"]["needs"]["faults"] == ["pause"]
    assert by_name["overload"]["needs"]["faults"] == []
    assert any(row.startswith("control-plane-loss") and " kill " in row for row in rows)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("--for", "soon"), "--for 'soon' is not a duration"),
        (("--shape", "poison"), "unknown shape poison: did you mean poisson"),
        (("--expect", "p95<200"), "write in_time>=0.99 or p95<=200ms"),
    ],
)
def test_load_refuses_what_it_cant_do(argv: tuple[str, ...], message: str) -> None:
    """Exit code 2 before any process is started."""
    done = squall("load", *argv)

    assert done.returncode == 2
    assert message in done.stderr


def refusing(path: str, request_id: str) -> Answer:
    """Refuse every tenth."""
    if int(request_id.rpartition("-")[2]) % 10 == 0:
        return 503, b'{"reason":"LIMIT_EXCEEDED"}'
    return 200, b"{}"


def test_load_reports_and_judges_its_expectations(tmp_path: Path) -> None:
    """One in ten is refused: 0.8 is met, 0.95 isn't, and that is exit code 1."""
    with tiny_server(refusing) as server:
        done = squall(
            "load", "--rate", "60", "--for", "4s", "--mix", "list", "--shape", "constant",
            "--host", server.url, "--out", str(tmp_path), "--json",
            "--expect", "in_time>=0.8", "--expect", "in_time>=0.95",
        )  # fmt: skip
    report = json.loads(done.stdout)

    if report["doubts"]:  # a machine too busy to send on time may say so
        assert done.returncode == 4
    else:
        assert done.returncode == 1, done.stderr
    assert report["schema"] == "squall.load/1"
    assert (report["scheduled"], report["rejected"]) == (240, 24)
    assert [expectation["met"] for expectation in report["expect"]] == [True, False]
    assert report["replay"].startswith("squall load --rate 60")
    assert (tmp_path / "latency.hgrm").exists()
