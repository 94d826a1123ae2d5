"""One drill at a time."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from chaos.drill.lock import LOCK_FILE, drill_lock
from kit.errors import LabEnvironmentError

pytestmark = pytest.mark.integration

HOLD = (
    "import sys, pathlib\n"
    "from chaos.drill.lock import drill_lock\n"
    "with drill_lock(pathlib.Path(sys.argv[1]), 'overload'):\n"
    "    print('held', flush=True)\n"
    "    sys.stdin.read()\n"
)


def test_second_drill_is_refused_with_the_firsts_name(tmp_path: Path) -> None:
    """Name, process and since when; exit code 3."""
    with drill_lock(tmp_path, "overload"), pytest.raises(LabEnvironmentError) as caught:  # noqa: SIM117
        with drill_lock(tmp_path, "slow-dependency"):
            pass

    assert f"overload (process {os.getpid()}) since 2" in str(caught.value)
    assert caught.value.exit_code == 3


def test_lock_is_free_after_the_run(tmp_path: Path) -> None:
    """Also when the drill failed."""
    with pytest.raises(RuntimeError), drill_lock(tmp_path, "overload"):
        raise RuntimeError

    with drill_lock(tmp_path, "overload"):
        assert json.loads((tmp_path / LOCK_FILE).read_text())["drill"] == "overload"


def test_killed_holder_holds_nothing(tmp_path: Path) -> None:
    """The kernel lets go of the lock of a process that was killed; its text stays behind."""
    root = Path(__file__).resolve().parents[3]
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        cwd=root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    with holder.stdin, holder.stdout:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(LabEnvironmentError, match=str(holder.pid)), drill_lock(tmp_path, "x"):
            pass
        holder.kill()
        holder.wait(5)

    with drill_lock(tmp_path, "slow-dependency"):
        assert json.loads((tmp_path / LOCK_FILE).read_text())["pid"] == os.getpid()
