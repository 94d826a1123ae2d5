"""How much CPU this process may use: the smaller of its cgroup's quota and one core.

Why: pressure is CPU over what there is. A container with half a core is busy at 50 % of one, and a
Python process never has more than one, whatever the machine.
Source: cgroup v2 ``cpu.max`` ("max 100000" or "50000 100000"), v1 ``cpu.cfs_quota_us`` (-1 is none)
and ``cpu.cfs_period_us``; kernel documentation, "Control Group v2" and "CFS Bandwidth Control".
aegis reads both too (aegis:internal/cpu).
Not handled: cpusets and shares; quotas of parents above the mounted root, which a container can't
see.
"""

from pathlib import Path

ONE_CORE = 1.0
CGROUP_ROOT = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")
MIN_CORES = 0.01  # the smallest quota the Docker engine takes


def available_cores(root: Path = CGROUP_ROOT, own: Path = OWN_CGROUPS) -> float:
    """Return cores this process may use, more than 0 and at most 1."""
    quotas = [
        quota
        for folder in _folders(root, own)
        if (quota := quota_v2(folder) or quota_v1(folder)) is not None
    ]
    return max(MIN_CORES, min([ONE_CORE, *quotas]))


def quota_v2(folder: Path) -> float | None:
    """Return the quota in cores that ``cpu.max`` gives; None when there is none."""
    words = _read(folder / "cpu.max").split()
    if len(words) != 2 or words[0] == "max":
        return None
    return _share(words[0], words[1])


def quota_v1(folder: Path) -> float | None:
    """Return the quota in cores of a v1 ``cpu`` controller; None when there is none."""
    return _share(_read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us"))


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
