"""A process and everything it started: signals to all, CPU and memory of all, whether all stopped.

Why: a service may fork; freezing only the parent would leave the children serving.
Source: proc(5) (``task/*/children``, ``stat``); clock_getcpuclockid(3): a process's CPU clock is
(~pid << 3) | 2 on Linux, nanoseconds for all its threads, readable for any process of ours.
Not handled: a descendant whose parent has died (init adopts it), unless it is still in the group.
"""

import contextlib
import os
import signal
import time
from pathlib import Path

CPU_CLOCK_OF_PROCESS = 2  # CPUCLOCK_SCHED, include/linux/posix-timers.h
STOPPED_STATES = frozenset({"T", "t", "Z", "X"})  # stopped, traced, and the dead, who don't run
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
PROC = Path("/proc")


def family(pid: int) -> list[int]:
    """Return a process and its descendants; none when it is gone."""
    found, waiting = [], [pid]
    while waiting:
        one = waiting.pop()
        try:
            tasks = list((PROC / str(one) / "task").iterdir())
        except OSError:
            continue
        found.append(one)
        for task in tasks:
            with contextlib.suppress(OSError):
                waiting.extend(int(word) for word in (task / "children").read_text().split())
    return found


def signal_tree(pid: int, number: signal.Signals) -> None:
    """Signal a process group at once, and those descendants that have left it."""
    strangers = [one for one in family(pid) if _group(one) not in (pid, None)]
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)
    for one in strangers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(one, number)


def cpu_seconds(pids: list[int]) -> float:
    """Add up the CPU seconds of processes; those that are gone count 0."""
    total_s = 0.0
    for pid in pids:
        with contextlib.suppress(OSError):
            total_s += time.clock_gettime((~pid << 3) | CPU_CLOCK_OF_PROCESS)
    return total_s


def resident_bytes(pids: list[int]) -> int:
    """Add up resident memory, pages that they share counted for each."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            total += int((PROC / str(pid) / "statm").read_text().split()[1]) * PAGE_BYTES
    return total


def is_stopped(pid: int) -> bool:
    """Whether the process and all its descendants are stopped by a signal."""
    states = [_state(one) for one in family(pid)]
    return bool(states) and all(state in STOPPED_STATES for state in states)


def _state(pid: int) -> str:
    """The letter after the name, which may itself hold blanks and brackets."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(") ")[2][:1]
    except OSError:
        return "X"


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None
