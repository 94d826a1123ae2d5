"""What a container uses, from the kernel where it runs on this machine, else from the engine.

Why: engine 20.10 answers its statistics up to a second late (it waits for its next collection), and
a fault that begins or ends a second late is a wrong fault. The kernel's own files are there at
once, for any user.
Source: Linux, Documentation/admin-guide/cgroup-v1 (cpuacct.usage, cpu.stat, memory.stat) and
cgroup-v2.rst (cpu.stat, memory.current); what ``docker stats`` subtracts: inactive file cache.
Not handled: an engine in a virtual machine or elsewhere; there the engine is asked.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")
NANO = 1e9
MICRO = 1e6


@dataclass(frozen=True, slots=True)
class Usage:
    """What a container uses.

    Args:
        cpu_s: CPU seconds since it was started.
        held_s: Seconds for which its CPU limit kept it from running.
        memory_bytes: What is charged to it, without file cache that can be dropped.
    """

    cpu_s: float
    held_s: float
    memory_bytes: int


def usage(container: Any) -> Usage:
    """Return what a running container uses now."""
    found = kernel_usage(int(container.attrs["State"]["Pid"]), str(container.id))
    return found or _engine_usage(container)


def kernel_usage(
    pid: int, container_id: str, proc: Path = PROC, cgroups: Path = CGROUPS
) -> Usage | None:
    """Return what the kernel of this machine says; None if the container isn't here.

    Args:
        pid: The container's first process, as the engine says.
        container_id: Must be part of that process's cgroup, or it is another machine's process.
        proc: Where processes are told.
        cgroups: Where cgroups are mounted.
    """
    try:
        lines = (proc / str(pid) / "cgroup").read_text().splitlines()
        paths: dict[str, str] = {}
        for line in lines:
            _, controllers, path = line.split(":", 2)
            paths |= dict.fromkeys(controllers.split(","), path.lstrip("/"))
        if not any(container_id in path for path in paths.values()):
            return None
        if "cpuacct" in paths:
            return _version_1(paths, cgroups)
        return _version_2(cgroups / paths[""])
    except (OSError, ValueError, KeyError):
        return None


def _version_1(paths: dict[str, str], cgroups: Path) -> Usage:
    memory = cgroups / "memory" / paths["memory"]
    charged = int((memory / "memory.usage_in_bytes").read_text())
    cpu = _figures(cgroups / "cpu" / paths["cpu"] / "cpu.stat")
    return Usage(
        cpu_s=int((cgroups / "cpuacct" / paths["cpuacct"] / "cpuacct.usage").read_text()) / NANO,
        held_s=cpu["throttled_time"] / NANO,
        memory_bytes=max(0, charged - _figures(memory / "memory.stat")["total_inactive_file"]),
    )


def _version_2(folder: Path) -> Usage:
    cpu = _figures(folder / "cpu.stat")
    charged = int((folder / "memory.current").read_text())
    return Usage(
        cpu_s=cpu["usage_usec"] / MICRO,
        held_s=cpu["throttled_usec"] / MICRO,
        memory_bytes=max(0, charged - _figures(folder / "memory.stat")["inactive_file"]),
    )


def _figures(path: Path) -> dict[str, int]:
    """Read a file of names and numbers."""
    pairs = (line.split() for line in path.read_text().splitlines())
    return {name: int(number) for name, number in pairs}


def _engine_usage(container: Any) -> Usage:
    figures = container.client.api.stats(container.id, stream=False, one_shot=True)
    cpu, memory = figures.get("cpu_stats", {}), figures.get("memory_stats", {})
    detail = memory.get("stats", {})
    cache = detail.get("total_inactive_file", detail.get("inactive_file", 0))
    return Usage(
        cpu_s=cpu.get("cpu_usage", {}).get("total_usage", 0) / NANO,
        held_s=cpu.get("throttling_data", {}).get("throttled_time", 0) / NANO,
        memory_bytes=max(0, int(memory.get("usage", 0)) - int(cache)),
    )
