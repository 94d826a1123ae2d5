"""What a container uses, as both versions of cgroups tell it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chaos.drivers.container_usage import Usage, kernel_usage, usage

pytestmark = pytest.mark.unit

ID = "8ea6cb99c579"


def write(root: Path, files: dict[str, str]) -> tuple[Path, Path]:
    """Write files and return what stands for /proc and /sys/fs/cgroup."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root / "proc", root / "cgroup"


def test_version_1_counts_in_nanoseconds(tmp_path: Path) -> None:
    """One folder for each controller; two may share a line."""
    proc, cgroups = write(
        tmp_path,
        {
            "proc/7/cgroup": f"9:memory:/docker/{ID}\n4:cpu,cpuacct:/docker/{ID}\n0::/docker\n",
            f"cgroup/cpuacct/docker/{ID}/cpuacct.usage": "2500000000\n",
            f"cgroup/cpu/docker/{ID}/cpu.stat": "nr_periods 9\nthrottled_time 1500000000\n",
            f"cgroup/memory/docker/{ID}/memory.usage_in_bytes": "1000\n",
            f"cgroup/memory/docker/{ID}/memory.stat": "cache 500\ntotal_inactive_file 300\n",
        },
    )
    assert kernel_usage(7, ID, proc, cgroups) == Usage(2.5, 1.5, 700)


def test_version_2_counts_in_microseconds(tmp_path: Path) -> None:
    """One folder for all."""
    folder = f"cgroup/system.slice/docker-{ID}.scope"
    proc, cgroups = write(
        tmp_path,
        {
            "proc/7/cgroup": f"0::/system.slice/docker-{ID}.scope\n",
            f"{folder}/cpu.stat": "usage_usec 2500000\nthrottled_usec 1500000\n",
            f"{folder}/memory.current": "1000\n",
            f"{folder}/memory.stat": "anon 700\ninactive_file 300\n",
        },
    )
    assert kernel_usage(7, ID, proc, cgroups) == Usage(2.5, 1.5, 700)


@pytest.mark.parametrize("text", ["0::/user.slice\n", "", "damaged\n", f"0::/docker/{ID}\n"])
def test_what_is_not_here_is_left_to_the_engine(tmp_path: Path, text: str) -> None:
    """Another machine's process id, no such process, or cgroups mounted elsewhere."""
    proc, cgroups = write(tmp_path, {"proc/7/cgroup": text})
    assert kernel_usage(7, ID, proc, cgroups) is None
    assert kernel_usage(8, ID, proc, cgroups) is None


@pytest.mark.parametrize("name", ["total_inactive_file", "inactive_file"])
def test_the_engine_s_figures_are_the_same_ones(name: str) -> None:
    """Asked where the kernel can't be: in a virtual machine."""
    answer: dict[str, Any] = {
        "cpu_stats": {
            "cpu_usage": {"total_usage": 2_500_000_000},
            "throttling_data": {"throttled_time": 1_500_000_000},
        },
        "memory_stats": {"usage": 1000, "stats": {name: 300}},
    }
    api = SimpleNamespace(stats=lambda *_, **__: answer)
    container = SimpleNamespace(
        id=ID, attrs={"State": {"Pid": 2**22 + 1}}, client=SimpleNamespace(api=api)
    )
    assert usage(container) == Usage(2.5, 1.5, 700)
