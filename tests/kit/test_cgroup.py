"""CPU quotas as the kernel writes them, version 1 and 2."""

from pathlib import Path

import pytest

from kit.cgroup import (
    MIN_CORES,
    Periods,
    available_cores,
    limiting_group,
    periods,
    quota_v1,
    quota_v2,
)


def write(folder: Path, **files: str) -> Path:
    """Write files whose names have dots for double underscores."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text + "\n")
    return folder


@pytest.mark.parametrize(
    ("text", "cores"),
    [
        ("50000 100000", 0.5),
        ("25000 100000", 0.25),
        ("200000 100000", 2.0),
        ("max 100000", None),
        ("", None),
        ("nonsense", None),
        ("0 100000", None),
    ],
)
def test_version_2_quotas(tmp_path: Path, text: str, cores: float | None) -> None:
    """``cpu.max`` is quota and period, or max."""
    assert quota_v2(write(tmp_path, cpu__max=text)) == cores


@pytest.mark.parametrize(("quota", "cores"), [("75000", 0.75), ("-1", None), ("400000", 4.0)])
def test_version_1_quotas(tmp_path: Path, quota: str, cores: float | None) -> None:
    """-1 means none."""
    folder = write(tmp_path, cpu__cfs_quota_us=quota, cpu__cfs_period_us="100000")
    assert quota_v1(folder) == cores


def test_never_more_than_one_core(tmp_path: Path) -> None:
    """A Python process has no use for a second."""
    write(tmp_path, cpu__max="400000 100000")
    assert available_cores(tmp_path, tmp_path / "absent") == 1.0
    assert available_cores(tmp_path / "absent", tmp_path / "absent") == 1.0


def test_a_tiny_quota_stays_a_number_to_divide_by(tmp_path: Path) -> None:
    """One per cent of a core is the smallest."""
    write(tmp_path, cpu__max="1 1000000")
    assert available_cores(tmp_path, tmp_path / "absent") == MIN_CORES == 0.01


def test_inside_a_container_the_root_has_the_quota(tmp_path: Path) -> None:
    """Both versions show a container its own group as the root."""
    own = write(tmp_path / "proc", cgroup="0::/") / "cgroup"
    write(tmp_path / "v2", cpu__max="50000 100000")
    write(tmp_path / "v1" / "cpu", cpu__cfs_quota_us="30000", cpu__cfs_period_us="100000")
    assert available_cores(tmp_path / "v2", own) == 0.5
    assert available_cores(tmp_path / "v1", own) == 0.3


def test_on_a_host_the_smallest_of_the_parents_holds(tmp_path: Path) -> None:
    """A slice of 0.4 cores limits a scope without a quota, in both versions."""
    own = write(tmp_path / "proc", cgroup="0::/lab.slice/video.scope") / "cgroup"
    write(tmp_path / "lab.slice", cpu__max="40000 100000")
    write(tmp_path / "lab.slice" / "video.scope", cpu__max="max 100000")
    assert available_cores(tmp_path, own) == 0.4
    one = write(tmp_path / "proc1", cgroup="7:memory:/x\n1:cpu,cpuacct:/lab\n") / "cgroup"
    group = tmp_path / "v1" / "cpu,cpuacct" / "lab"
    write(group, cpu__cfs_quota_us="60000", cpu__cfs_period_us="100000")
    assert available_cores(tmp_path / "v1", one) == 0.6


def test_this_machine_has_a_figure() -> None:
    """Whatever runs the tests has more than nothing."""
    assert 0.0 < available_cores() <= 1.0


STAT_V2 = """usage_usec 53814002
user_usec 41200871
system_usec 12613131
nr_periods 812
nr_throttled 307
throttled_usec 9125500
nr_bursts 0
burst_usec 0"""
STAT_V1 = """nr_periods 812
nr_throttled 307
throttled_time 9125500000"""


@pytest.mark.parametrize("text", [STAT_V1, STAT_V2], ids=["v1", "v2"])
def test_periods_are_told_alike_by_both_versions(tmp_path: Path, text: str) -> None:
    """812 periods, held back in 307 of them."""
    assert periods(write(tmp_path, cpu__stat=text)) == Periods(812, 307)


@pytest.mark.parametrize(
    "text",
    ["", "usage_usec 5", "nr_periods x\nnr_throttled 1", "nr_periods 5", "a b c\nnonsense"],
)
def test_a_group_that_counts_no_periods_says_nothing(tmp_path: Path, text: str) -> None:
    """A root group's cpu.stat has only usage, and some kernels were built without quotas."""
    assert periods(write(tmp_path, cpu__stat=text)) is None


def test_files_that_are_missing_limit_nobody(tmp_path: Path) -> None:
    """No tree, no quota, no periods; the whole core is there."""
    absent = tmp_path / "absent"
    assert (periods(absent), limiting_group(absent, absent)) == (None, None)
    assert available_cores(absent, absent) == 1.0


def test_the_smallest_quota_of_a_core_or_less_limits(tmp_path: Path) -> None:
    """Of a slice of 0.4 cores and its scope of 0.8 the slice does; without quotas nobody does."""
    own = write(tmp_path / "proc", cgroup="0::/lab.slice/video.scope") / "cgroup"
    outer = write(tmp_path / "lab.slice", cpu__max="40000 100000")
    inner = write(outer / "video.scope", cpu__max="80000 100000")
    assert limiting_group(tmp_path, own) == outer
    write(outer, cpu__max="max 100000")
    assert limiting_group(tmp_path, own) == inner
    write(inner, cpu__max="max 100000")
    assert limiting_group(tmp_path, own) is None


def test_a_group_of_several_cores_limits_no_python(tmp_path: Path) -> None:
    """Throttled there are neighbours; exactly one core is what this process could use up."""
    group = write(tmp_path, cpu__max="125000 100000")
    assert limiting_group(group, tmp_path / "absent") is None
    write(tmp_path, cpu__max="100000 100000")
    assert limiting_group(group, tmp_path / "absent") == group


def test_version_1_limits_where_its_quota_stands(tmp_path: Path) -> None:
    """-1 is none; what has a quota has the periods beside it."""
    group = write(
        tmp_path / "cpu",
        cpu__cfs_quota_us="-1",
        cpu__cfs_period_us="100000",
        cpu__stat=STAT_V1,
    )
    assert limiting_group(tmp_path, tmp_path / "absent") is None
    write(group, cpu__cfs_quota_us="50000")
    assert limiting_group(tmp_path, tmp_path / "absent") == group
    assert periods(group) == Periods(812, 307)
