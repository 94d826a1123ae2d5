"""Which platforms the lab runs on, and what of that was tested: the table of README.md.

Why: somebody for whom something fails wants to know first whether it ever worked on a machine like
theirs. One source: `squall doctor` names the row, and a test holds the README's table to it.
Not handled: other engines (podman, containerd) and Windows without WSL.
"""

import os
import platform
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass

OLDEST_ENGINE = (20, 10)  # tested; Engine API 1.41, which chaos.drivers speaks
OLDEST_COMPOSE = (2, 26)  # tested (Debian 13's)
PYTHONS: Mapping[tuple[int, int], str] = {
    (3, 11): "processes and all tests: tested",
    (3, 12): "expected: every dependency installs; not tested",
    (3, 13): "in every container: tested; processes: expected, not tested",
}


@dataclass(frozen=True, slots=True)
class Platform:
    """One row.

    Args:
        name: System and processor.
        containers: What is known of running it in containers.
        processes: What is known of running it as processes.
    """

    name: str
    containers: str
    processes: str

    @property
    def row(self) -> str:
        """The row as the README has it."""
        return f"| {self.name} | {self.containers} | {self.processes} |"


DOCKER_DESKTOP = "expected through Docker Desktop, not tested"
# Looked up in the index: hdrhistogram has no wheel there and is compiled; all others have one.
ON_ARM = "expected, hdrhistogram is compiled; not tested"
PLATFORMS: Mapping[str, Platform] = {
    "linux-x86": Platform(
        "Linux x86-64", "tested: Debian 12, engine 20.10, compose 2.26", "tested: Debian 12"
    ),
    "linux-arm": Platform("Linux ARM64", ON_ARM, ON_ARM),
    "wsl-x86": Platform("WSL 2, x86-64", DOCKER_DESKTOP, "expected, as Linux; not tested"),
    "wsl-arm": Platform("WSL 2, ARM64", DOCKER_DESKTOP, "expected, as Linux; not tested"),
    "macos-x86": Platform("macOS, Intel", DOCKER_DESKTOP, "no: no addresses 127.77.0.N"),
    "macos-arm": Platform("macOS, Apple silicon", DOCKER_DESKTOP, "no: no addresses 127.77.0.N"),
}


def this_platform() -> Platform | None:
    """Return the row of this machine, None where the table has none."""
    return find_platform(sys.platform, platform.machine(), os.uname().release)


def find_platform(system: str, machine: str, kernel: str) -> Platform | None:
    """Return a row.

    Args:
        system: As ``sys.platform``: ``linux``, ``darwin``.
        machine: As ``uname -m``: ``x86_64``, ``aarch64``, ``arm64``.
        kernel: As ``uname -r``; WSL 2's says microsoft.
    """
    processor = {"x86_64": "x86", "amd64": "x86", "aarch64": "arm", "arm64": "arm"}
    names = {"linux": "wsl" if "microsoft" in kernel.lower() else "linux", "darwin": "macos"}
    return PLATFORMS.get(f"{names.get(system)}-{processor.get(machine.lower())}")


def python_note(version: tuple[int, int]) -> str:
    """Say what is known of a version of Python."""
    return PYTHONS.get(version, "newer than any tested" if version > max(PYTHONS) else "too old")


def parse_version(text: str) -> tuple[int, ...]:
    """Return the leading numbers: ``(20, 10, 24)`` of ``20.10.24+dfsg1``; empty without any."""
    match = re.match(r"v?(\d+(?:\.\d+)*)", text)
    return tuple(map(int, match[1].split("."))) if match else ()


def table() -> str:
    """Return the tables of the README, as Markdown."""
    rows = [each.row for each in PLATFORMS.values()]
    pythons = [
        f"| Python {'.'.join(map(str, version))} | {note} |" for version, note in PYTHONS.items()
    ]
    head = ["| platform | containers | processes |", "|---|---|---|"]
    return "\n".join([*head, *rows, "", "| Python | what is known |", "|---|---|", *pythons])
