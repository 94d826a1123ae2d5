"""A command line that is wrong: one clear line, the nearest names, exit 2, JSON where asked for."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from squall.main import run
from squall.seed import run as seed_inside
from tests.cli.conftest import Squall

pytestmark = pytest.mark.unit

WRONG = [
    (("statuz",), "'status'"),
    (("fault", "ad"), "'add'"),
    (("status", "--nope"), "--nope"),
    (("explain",), "squall explain --help"),
    (("load", "--rate", "0"), "--rate"),
    (("load", "--rate", "nan"), "--rate"),
    (("load", "--shape", "poison"), "poisson"),
    (("load", "--for", "60"), "60s"),
    (("load", "--expect", "in_time"), "in_time>=0.99"),
    (("fault", "add", "latncy", "--on", "comment", "--ms", "5"), "latency"),
    (("fault", "add", "late ncy", "--on", "comment", "--ms", "5"), "latency"),
    (("fault", "add", "latency", "--on", "comment"), "ms"),
    (("fault", "add", "latency", "--on", "comment", "--ms", "nan"), "ms"),
    (("fault", "add", "latency", "--on", "comment", "--ms", "5", "--share", "nan"), "share"),
    (("fault", "add", "latency", "--on", "comment", "--ms", "5", "--ttl", "5"), "60s"),
    (("fault", "add", "latency", "--on", "comment", "--ms", "5", "--ttl", "25h"), "86400"),
    (("fault", "add", "error", "--on", "comment", "--code", "UNAVAILABL"), "UNAVAILABLE"),
    (("fault", "add", "abort", "--on", "comment", "--ms", "5"), "it takes none"),
    (("policy", "set", "limitr", "off"), "limiter"),
    (("policy", "set", "limiter", "of"), "on, shadow, off"),
    (("policy", "reset", "limitr"), "limiter"),
    (("policy", "choose", "limitr", "vegas"), "limiter"),
    (("policy", "choose", "limiter", "vega"), "vegas"),
    (("drill", "run", "overlode"), "overload"),
    (("drill", "run", "overload", "--set", "loadd=1"), "load"),
    (("drill", "validate", "nowhere.yaml"), "nowhere.yaml"),
    (("seed", "--size", "smalll"), "small"),
    (("up", "--mode", "container"), "containers"),
    (("doctor", "--mode", "process"), "processes"),
]
NEED_A_LAB = [
    ("fault", "list"),
    ("fault", "clear"),
    ("fault", "remove", "latency-1"),
    ("fault", "add", "latency", "--on", "comment", "--ms", "5"),
    ("policy", "list"),
    ("policy", "set", "limiter", "off"),
    ("policy", "reset", "limiter"),
    ("policy", "choose", "limiter", "vegas"),
    ("explain", "some-request"),
    ("seed",),
    ("load", "--rate", "1", "--for", "1s"),
    ("drill", "run", "overload"),
]


@pytest.mark.parametrize(("argv", "hint"), WRONG, ids=lambda value: " ".join(value))
def test_what_is_wrong_is_said_in_one_line(
    argv: tuple[str, ...], hint: str, squall: Squall
) -> None:
    """Exit 2 and one line that says what was meant or is allowed; before a lab is looked for."""
    done = squall(*argv)

    assert (done.code, done.out) == (2, "")
    assert hint in done.err
    assert done.err.startswith("squall: ")
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(("argv", "hint"), WRONG, ids=lambda value: " ".join(value))
def test_what_is_wrong_is_also_json(argv: tuple[str, ...], hint: str, squall: Squall) -> None:
    """With --json stdout has one object with the error and the exit code."""
    done = squall(*argv, "--json")

    assert done.json.keys() == {"schema", "error", "exit_code"}
    assert (done.json["schema"], done.json["exit_code"], done.code) == ("squall.error/1", 2, 2)
    assert hint in done.json["error"]


@pytest.mark.usefixtures("no_lab")
@pytest.mark.parametrize("argv", NEED_A_LAB, ids=" ".join)
def test_without_a_lab_a_command_says_how_to_get_one(argv: tuple[str, ...], squall: Squall) -> None:
    """Exit 3, on stderr and as JSON."""
    done = squall(*argv, "--json")

    assert (done.code, done.json["exit_code"]) == (3, 3)
    assert "make up" in done.json["error"]
    assert "make up" in done.err


def test_restart_without_a_lab_is_no_wrong_name(
    squall: Squall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing runs, restart says so and exits 3, whatever the name."""
    lab = SimpleNamespace(
        require_host=lambda what: None,
        is_answering=lambda: False,
        driver=lambda: SimpleNamespace(instances=list),
    )
    monkeypatch.setattr("chaos.lab.load_lab", lambda: lab)
    done = squall("restart", "video")
    assert done.code == 3
    assert "make up" in done.err


def test_the_seed_s_error_is_json_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The part of ``squall seed`` that runs inside the lab tells its errors as all commands do."""
    monkeypatch.delenv("SQUALL_STORE", raising=False)
    monkeypatch.setenv("SQUALL_CONTROL", "127.0.0.1:1")
    assert seed_inside(["--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert (told["schema"], told["exit_code"]) == ("squall.error/1", 2)
    assert "SQUALL_STORE" in told["error"]


def test_a_drill_file_s_mistake_has_line_and_column(
    squall: Squall, tmp_path: "os.PathLike[str]"
) -> None:
    """A mistake in a drill file is named with its place."""
    path = os.path.join(tmp_path, "mine.yaml")
    with open(path, "w", encoding="utf-8") as file:
        file.write("drill: mine\nchaptre: '1'\n")
    done = squall("drill", "validate", path)
    assert done.code == 2
    assert "mine.yaml:2:1" in done.err
    assert "chapter" in done.err


def test_an_interrupt_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends a command as a shell says it, without a traceback."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("squall.main.app", interrupted)
    with pytest.raises(SystemExit) as left:
        run([])
    assert left.value.code == 130


def test_a_reader_that_leaves_is_no_failure() -> None:
    """A command whose stdout is closed early keeps its exit code and says nothing."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "squall.main", "drill", "list"],
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=20,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")
