"""A process with its descendants, and limits of memory, on real processes."""

import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from chaos.supervisor.limits import MIB, UNLIMITED, data_limit, limit_for, set_data_limit
from chaos.supervisor.tree import cpu_seconds, family, is_stopped, resident_bytes, signal_tree
from tests.chaos.supervisor.lab import is_alive, wait_for

pytestmark = pytest.mark.integration

NOBODY = 2**22 + 1  # beyond the kernel's largest process id
# A parent that starts a child in a session of its own, where no signal to the group reaches it.
FAMILY = """\
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "while True: pass"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(60)
"""
# Says how many bytes it could allocate in blocks of one MiB, each time it is asked.
GROW = """\
import sys
for _ in sys.stdin:
    blocks = []
    try:
        while len(blocks) < 256:
            blocks.append(bytearray(2**20))
    except MemoryError:
        pass
    count = len(blocks)
    blocks.clear()
    print(count, flush=True)
"""


@pytest.fixture
def parent() -> Iterator[tuple[int, int]]:
    """Process ids of a parent and its child, which has left its group."""
    with subprocess.Popen(
        [sys.executable, "-c", FAMILY], stdout=subprocess.PIPE, text=True, process_group=0
    ) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        yield process.pid, child
        signal_tree(process.pid, signal.SIGKILL)
    wait_for("the child is gone", lambda: not is_alive(child))


def test_a_signal_reaches_a_descendant_that_left_the_group(parent: tuple[int, int]) -> None:
    """Both stand still, and go on; the child burns nothing meanwhile."""
    pid, child = parent
    assert set(family(pid)) == {pid, child}
    signal_tree(pid, signal.SIGSTOP)
    wait_for("both are stopped", lambda: is_stopped(pid) and is_stopped(child))
    before_s = cpu_seconds([child])
    time.sleep(0.05)
    assert cpu_seconds([child]) == before_s

    signal_tree(pid, signal.SIGCONT)
    wait_for("it burns again", lambda: cpu_seconds([child]) > before_s)
    assert not is_stopped(pid)


def test_figures_are_of_all(parent: tuple[int, int]) -> None:
    """CPU and memory add up."""
    pid, child = parent
    wait_for("the child has begun", lambda: resident_bytes([child]) > MIB)
    assert resident_bytes([pid, child]) > resident_bytes([pid]) + MIB
    wait_for("the child has burnt", lambda: cpu_seconds(family(pid)) > cpu_seconds([pid]) + 0.01)


def test_what_is_gone_has_no_family_and_no_figures() -> None:
    """No error either: processes end whenever they like."""
    assert family(NOBODY) == []
    assert (cpu_seconds([NOBODY]), resident_bytes([NOBODY])) == (0.0, 0)
    assert not is_stopped(NOBODY)
    signal_tree(NOBODY, signal.SIGKILL)
    assert (data_limit(NOBODY), limit_for(NOBODY, 64.0)) == (UNLIMITED, None)
    set_data_limit(NOBODY, 5)


def test_a_limit_lets_a_process_grow_to_a_resident_size_and_no_further() -> None:
    """Allocating fails beyond it and nothing is killed; lifted, it may grow again."""
    with subprocess.Popen(
        [sys.executable, "-c", GROW], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def ask() -> int:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("grow\n")
            process.stdin.flush()
            return int(process.stdout.readline())

        wait_for("it is there", lambda: resident_bytes([process.pid]) > MIB)
        assert ask() == 256
        wanted = resident_bytes([process.pid]) / MIB + 20
        limit = limit_for(process.pid, wanted)
        assert limit is not None
        set_data_limit(process.pid, limit)
        assert 0 < ask() < 100
        assert data_limit(process.pid) == limit
        assert resource.prlimit(process.pid, resource.RLIMIT_DATA)[1] == UNLIMITED

        set_data_limit(process.pid, UNLIMITED)
        assert ask() == 256
        process.stdin.close()
    assert process.returncode == 0
