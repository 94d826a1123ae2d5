"""The table of platforms."""

from pathlib import Path

import pytest

from chaos.checks import check_platform, check_python
from chaos.platforms import (
    OLDEST_COMPOSE,
    OLDEST_ENGINE,
    PYTHONS,
    find_platform,
    parse_version,
    python_note,
    table,
    this_platform,
)

pytestmark = pytest.mark.unit

README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_readme_has_the_table() -> None:
    """Letter by letter: doctor and README say the same."""
    assert table() in README.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("system", "machine", "kernel", "name"),
    [
        ("linux", "x86_64", "6.1.0-38-amd64", "Linux x86-64"),
        ("linux", "aarch64", "6.8.0", "Linux ARM64"),
        ("linux", "x86_64", "5.15.167.4-microsoft-standard-WSL2", "WSL 2, x86-64"),
        ("linux", "aarch64", "6.6.87.2-Microsoft-standard", "WSL 2, ARM64"),
        ("darwin", "arm64", "24.1.0", "macOS, Apple silicon"),
        ("darwin", "x86_64", "23.0", "macOS, Intel"),
    ],
)
def test_each_machine_has_its_row(system: str, machine: str, kernel: str, name: str) -> None:
    """By system, processor, and whether the kernel is WSL's."""
    row = find_platform(system, machine, kernel)
    assert row is not None
    assert row.name == name


def test_a_machine_outside_of_the_table_has_none() -> None:
    """No guess."""
    assert find_platform("freebsd14", "amd64", "14.0") is None
    assert find_platform("linux", "riscv64", "6.8") is None


def test_doctor_names_this_machine_s_row_and_python() -> None:
    """Where the tests run there is a row, and it doesn't forbid containers."""
    row = this_platform()
    assert row is not None
    check = check_platform("containers")
    assert (check.level, check.found.startswith(f"{row.name}, containers: ")) == ("ok", True)
    assert python_note((3, 11)) == PYTHONS[3, 11]
    assert check_python().found.endswith(")")
    assert (python_note((3, 10)), python_note((4, 0))) == ("too old", "newer than any tested")


def test_what_cannot_be_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes on macOS: told with the way that works."""
    mac = find_platform("darwin", "arm64", "24.1.0")
    monkeypatch.setattr("chaos.checks.this_platform", lambda: mac)
    check = check_platform("processes")
    assert (check.level, check.mend) == ("missing", "MODE=containers")


def test_versions_are_read_as_tools_write_them() -> None:
    """Debian's suffixes and a leading v included."""
    assert parse_version("20.10.24+dfsg1") == (20, 10, 24)
    assert parse_version("v2.29.7") == (2, 29, 7)
    assert parse_version("2.26.1-4") == (2, 26, 1)
    assert parse_version("unknown") == ()
    assert (OLDEST_ENGINE, OLDEST_COMPOSE) == ((20, 10), (2, 26))
