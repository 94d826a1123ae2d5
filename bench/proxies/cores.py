"""Cores: the proxy alone on one, load and backend on another.

Why: CPU per request depends on what else the core does; a proxy that shares its core with the load
is measured with the load's cache misses. On one core nothing can be kept apart, and the report says
so.
Source: taskset(1), sched_setaffinity(2).
"""

import os
import shutil
from collections.abc import Sequence
from typing import NamedTuple

import psutil


class Cores(NamedTuple):
    """Which core whom; None is wherever the kernel puts it.

    Args:
        load: Of wrk and the backend.
        proxy: Of the proxy.
    """

    load: int | None = None
    proxy: int | None = None


def cores(available: Sequence[int] | None = None) -> Cores:
    """Return the first core for the load and the last for the proxy, if there are two."""
    if available is None:
        has_affinity = hasattr(os, "sched_getaffinity") and shutil.which("taskset") is not None
        available = sorted(os.sched_getaffinity(0)) if has_affinity else []
    return Cores(available[0], available[-1]) if len(available) > 1 else Cores()


def pinned(core: int | None, command: Sequence[str]) -> list[str]:
    """Return the command, kept to a core; what it starts stays there too."""
    return list(command) if core is None else ["taskset", "-c", str(core), *command]


def cpu_s(pid: int) -> float:
    """Return the CPU seconds a process, its threads and its children have used."""
    family = _family(pid)
    times = [one.cpu_times() for one in family]
    return float(sum(each.user + each.system for each in times))


def rss_bytes(pid: int) -> int:
    """Return the memory a process and its children hold."""
    return sum(int(one.memory_info().rss) for one in _family(pid))


def _family(pid: int) -> list[psutil.Process]:
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]
