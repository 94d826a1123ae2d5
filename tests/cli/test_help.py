"""Every command explains itself, takes --json, and does so quickly."""

import resource
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

from squall.main import app
from tests.cli.conftest import Squall

pytestmark = pytest.mark.unit

HELP_LIMIT_S = 0.3  # issue 2: --help under 300 ms
BUILT = {
    "up", "down", "restart", "status", "doctor", "seed", "fault", "policy", "drill", "load",
    "explain", "banner", "events", "footprint", "setting",
}  # fmt: skip
LATER = {"experiment", "compare", "bench", "hash", "shard", "lb"}  # design.md, "The floors"
HEAVY = ("redis", "grpc", "msgspec", "yaml", "uvloop", "docker", "chaos", "services")


def walk(command: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Go through a command and everything below it."""
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from walk(child, *path, name)


EVERY = dict(walk(get_command(app)))
LEAVES = {path: command for path, command in EVERY.items() if not hasattr(command, "commands")}


def test_the_verbs_are_those_of_the_design() -> None:
    """Each verb that documents rely on is there, and none that the design doesn't name."""
    verbs = {path[0] for path in EVERY if path}
    assert BUILT <= verbs <= BUILT | LATER
    assert {path[1] for path in EVERY if path[:1] == ("drill",) and path[1:]} >= {
        "list", "show", "validate", "run",
    }  # fmt: skip


@pytest.mark.parametrize("path", EVERY, ids=" ".join)
def test_every_command_has_help(path: tuple[str, ...], squall: Squall) -> None:
    """--help and -h say what a command is for, and exit 0."""
    done = squall(*path, "--help")

    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("Usage: squall")
    assert "``" not in done.out  # markup that a terminal doesn't know
    assert (EVERY[path].help or "").strip().endswith(".")
    assert squall(*path, "-h").out == done.out


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_every_command_takes_json_and_explains_its_options(path: tuple[str, ...]) -> None:
    """--json is an option of every command, and no option or argument is without help."""
    parameters = LEAVES[path].params

    assert any("--json" in parameter.opts for parameter in parameters)
    unexplained = [one.name for one in parameters if not getattr(one, "help", None)]
    assert unexplained == []


@pytest.mark.parametrize("path", [path for path in EVERY if path not in LEAVES], ids=" ".join)
def test_a_group_alone_shows_its_commands_and_is_no_success(
    path: tuple[str, ...], squall: Squall
) -> None:
    """A group without a command lists what it has on stderr, and exits 2."""
    done = squall(*path)

    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("Usage: squall")


def test_help_imports_nothing_heavy() -> None:
    """What the command imports for its help has none of the packages that take long."""
    code = f"import sys, squall.main; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=20
    )
    assert done.stdout.strip() == "[]"


def test_help_is_quick() -> None:
    """It takes under 300 ms of CPU, which is its wall time where nothing else runs."""
    spent_s = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-m", "squall.main", "--help"],
            capture_output=True,
            check=True,
            timeout=20,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent_s.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(spent_s) < HELP_LIMIT_S
