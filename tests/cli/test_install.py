"""What ``make up`` does first: the environment is made, or what is missing is said in one line."""

import os
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "deploy" / "make-venv.sh"


def write_program(path: Path, *lines: str) -> None:
    """Put a program of a few lines in the place of a real one."""
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]), encoding="utf-8")
    path.chmod(0o755)


def make_venv(folder: Path, python: str, *, user: int) -> subprocess.CompletedProcess[str]:
    """Run the script as a user, with a python and an apt-get that only pretend."""
    write_program(folder / "id", f"echo {user}")
    write_program(folder / "apt-get", f'echo "$@" >> {folder}/apt.log')
    write_program(folder / "python", python)
    return subprocess.run(
        ["/bin/sh", str(SCRIPT), str(folder / "venv")],
        env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "PYTHON": "python"},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def test_without_root_a_missing_package_is_one_line_and_exit_3(tmp_path: Path) -> None:
    """Nothing is installed; the line to run as root names the package."""
    done = make_venv(tmp_path, "exit 1", user=1000)

    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == (
        "squall: missing: python3-venv. "
        "As root: apt-get update && apt-get install -y python3-venv\n"
    )
    assert not (tmp_path / "apt.log").exists()


def test_as_root_a_missing_package_is_installed(tmp_path: Path) -> None:
    """Root needs to do nothing by hand; the Python that is then too old is named all the same."""
    done = make_venv(tmp_path, "exit 1", user=0)

    assert (tmp_path / "apt.log").read_text().splitlines() == [
        "update",
        "install -y python3-venv",
    ]
    assert done.returncode == 3


def test_an_old_python_is_named_with_what_to_do(tmp_path: Path) -> None:
    """A Python below 3.11 ends with 3 before anything is made."""
    python = (
        'case "$2" in *version_info*) exit 1;; esac; [ "$1" != --version ] || echo Python 3.9.2'
    )
    done = make_venv(tmp_path, python, user=1000)

    assert done.returncode == 3
    assert done.stderr.startswith("squall: Python 3.9.2 is too old: install Python 3.11 or newer")
    assert not (tmp_path / "venv").exists()


def test_the_shim_without_an_environment_says_make_up(tmp_path: Path) -> None:
    """``./squall`` before the first ``make up`` is exit 3 with what to do."""
    shim = tmp_path / "squall"
    shim.write_bytes((ROOT / "squall").read_bytes())
    done = subprocess.run(
        ["/bin/sh", str(shim), "status"], capture_output=True, text=True, timeout=20, check=False
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert "make up" in done.stderr
