"""How much CPU this process may use, and how often the kernel held it back for using it up.

Why: pressure is CPU over what there is. A container with half a core is busy at 50 % of one, and a
Python process never has more than one, whatever the machine. And where several processes share a
quota, the share that one of them used says little: that the group was throttled does.
Source: cgroup v2 ``cpu.max`` ("max 100000" or "50000 100000"), v1 ``cpu.cfs_quota_us`` (-1 is none)
and ``cpu.cfs_period_us``; kernel documentation, "Control Group v2" and "CFS Bandwidth Control".
aegis reads both too (aegis:internal/cpu). ``cpu.stat`` counts ``nr_periods`` (100 ms each, those in
which the group ran) and of them ``nr_throttled``, in both versions.
Not handled: cpusets and shares; quotas of parents above the mounted root, which a container can't
see.
"""

from pathlib import Path
from typing import NamedTuple

ONE_CORE = 1.0
CGROUP_ROOT = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")
MIN_CORES = 0.01  # the smallest quota the Docker engine takes


class Periods(NamedTuple):
    """Of a group since it began: periods in which it ran, and those in which it was held back."""

    all: int
    throttled: int


def available_cores(root: Path = CGROUP_ROOT, own: Path = OWN_CGROUPS) -> float:
    """Return cores this process may use, more than 0 and at most 1."""
    quotas = [quota for quota, _ in _quotas(root, own)]
    return max(MIN_CORES, min([ONE_CORE, *quotas]))


def limiting_group(root: Path = CGROUP_ROOT, own: Path = OWN_CGROUPS) -> Path | None:
    """Return the group that leaves this process least, where that is one core or less.

    None where nothing does. Why not a group of several cores: no process here can use them up, so
    what is throttled there are its neighbours, and refusing our own requests would not help them.
    """
    found = [(quota, folder) for quota, folder in _quotas(root, own) if quota <= ONE_CORE]
    return min(found, key=lambda each: each[0])[1] if found else None


def periods(folder: Path) -> Periods | None:
    """Read a group's ``cpu.stat``; None where it doesn't count periods."""
    figures = dict(
        words for line in _read(folder / "cpu.stat").splitlines() if len(words := line.split()) == 2
    )
    try:
        return Periods(int(figures["nr_periods"]), int(figures["nr_throttled"]))
    except (KeyError, ValueError):
        return None


def quota_v2(folder: Path) -> float | None:
    """Return the quota in cores that ``cpu.max`` gives; None when there is none."""
    words = _read(folder / "cpu.max").split()
    if len(words) != 2 or words[0] == "max":
        return None
    return _share(words[0], words[1])


def quota_v1(folder: Path) -> float | None:
    """Return the quota in cores of a v1 ``cpu`` controller; None when there is none."""
    return _share(_read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us"))


def _quotas(root: Path, own: Path) -> list[tuple[float, Path]]:
    return [
        (quota, folder)
        for folder in _folders(root, own)
        if (quota := quota_v2(folder) or quota_v1(folder)) is not None
    ]


def _folders(root: Path, own: Path) -> list[Path]:
    """Where quotas may stand: our own group, its parents, and the root that containers see."""
    folders = [root, root / "cpu", root / "cpu,cpuacct"]
    for line in _read(own).splitlines():
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if controllers and "cpu" not in controllers.split(","):
            continue
        base = root / controllers if controllers else root
        parts = path.strip("/").split("/") if path.strip("/") else []
        folders += [base.joinpath(*parts[:depth]) for depth in range(1, len(parts) + 1)]
    return folders


def _share(quota_us: str, period_us: str) -> float | None:
    try:
        quota, period = float(quota_us), float(period_us)
    except ValueError:
        return None
    return quota / period if quota > 0 and period > 0 else None


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
