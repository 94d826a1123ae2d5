"""What this machine must have for the lab, checked up front, each with how to mend it.

Why: an absent engine or a taken port should be one sentence before anything starts, not a timeout
after a minute.
Source: issue "The lab stands", "Bad input".
Not handled: whether a container may reach the package index (the build says so).
"""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from chaos.drivers.engine import compose_command, engine_version
from chaos.lab import Lab, Mode
from chaos.platforms import (
    OLDEST_COMPOSE,
    OLDEST_ENGINE,
    parse_version,
    python_note,
    this_platform,
)
from chaos.server_binary import find_server, read_version
from chaos.supervisor.plan import DEFAULT_NETWORK, NETWORKS
from kit.errors import LabEnvironmentError
from kit.listen import is_free
from kit.open_files import SPARE_FILES, hard_file_limit

Level = Literal["ok", "warning", "missing"]

OLDEST_PYTHON = (3, 11)
NEEDED_MEMORY_BYTES = 1_500_000_000  # the lab's aim of 1 GiB, and a load generator
NEEDED_DISK_BYTES = 1_000_000_000
WANTED_FILES = 20_000 + SPARE_FILES
WANTED_CORES = 2  # drills declare up to 1.2 cores for the lab, beside the load
# Every address listens on these (see docker-compose.yml), so nobody may hold them on all addresses.
INNER_PORTS = (6379, 16379, 8000, 8080, 8081, 9090, 9100)
# Control and the nodes of store and cache come first, all on the first of these ports. A drill may
# kill one of them, control for 20 s, and the network is that lab's all the same.
PROBED_ADDRESSES = range(1, 11)


@dataclass(frozen=True, slots=True)
class Check:
    """One finding.

    Args:
        name: What was looked at.
        level: ok; warning: works, with a limit; missing: the lab can't run so.
        found: What is there.
        mend: What to do; empty when ok.
    """

    name: str
    level: Level
    found: str
    mend: str = ""


def check_machine(lab: Lab, mode: Mode) -> list[Check]:
    """Look at everything that one way of running the lab needs.

    Args:
        lab: Whose ports are looked at; those that it holds itself are fine.
        mode: Which way.
    """
    checks = [
        check_platform(mode), check_python(), check_cores(), check_memory(), check_disk(lab.root),
        check_open_files(),
    ]  # fmt: skip
    if lab.inside:
        return [*checks, check_control(lab)]
    if mode == "containers":
        checks += [check_engine(), check_compose()]
    else:
        checks += [check_linux(), check_server(), *check_redis(), *check_inner_ports(lab)]
    return checks + check_ports(lab)


def require(checks: Sequence[Check]) -> None:
    """Refuse to go on when something is missing.

    Raises:
        LabEnvironmentError: Names each and how to mend it.
    """
    missing = [check for check in checks if check.level == "missing"]
    if missing:
        raise LabEnvironmentError(
            "; ".join(f"{check.name}: {check.found}: {check.mend}" for check in missing)
        )


def check_platform(mode: Mode) -> Check:
    """The row of README.md's table, "What works where"."""
    row = this_platform()
    if row is None:
        name = f"{sys.platform} {os.uname().machine}"
        return Check("platform", "warning", name, "not in the table of README.md: tell us of it")
    known = row.containers if mode == "containers" else row.processes
    level: Level = "missing" if known.startswith("no:") else "ok"
    mend = "MODE=containers" if level == "missing" else ""
    return Check("platform", level, f"{row.name}, {mode}: {known}", mend)


def check_control(lab: Lab) -> Check:
    """Control answers where the container `lab` is told it is."""
    where = ":".join(map(str, lab.control))
    if lab.is_answering():
        return Check("control", "ok", where)
    return Check("control", "missing", f"{where} is silent", "docker compose ps control")


def check_python() -> Check:
    """Python 3.11 or newer runs this."""
    note = python_note((sys.version_info[0], sys.version_info[1]))
    found = f"{'.'.join(map(str, sys.version_info[:3]))} ({note})"
    if sys.version_info[:2] >= OLDEST_PYTHON:
        return Check("python", "ok", found)
    return Check(
        "python", "missing", found, "install Python 3.11 or newer, then rm -r .venv; make up"
    )


def check_open_files() -> Check:
    """L4 and L7 take 10,000 connections each; in L4 one needs two files."""
    allowed = hard_file_limit()
    if allowed >= WANTED_FILES:
        return Check(
            "open files", "ok", "no limit" if allowed == float("inf") else f"{allowed:.0f}"
        )
    return Check(
        "open files",
        "warning",
        f"{allowed:.0f}",
        f"the balancers hold fewer than 10,000 connections: ulimit -Hn {WANTED_FILES}",
    )


def check_linux() -> Check:
    """Process mode needs loopback addresses beyond 127.0.0.1, and pidfd."""
    if sys.platform == "linux":
        return Check("system", "ok", f"Linux {os.uname().release}")
    return Check("system", "missing", sys.platform, "process mode is for Linux: MODE=containers")


def check_cores() -> Check:
    """Two cores keep drills conclusive."""
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    if cores >= WANTED_CORES:
        return Check("cores", "ok", str(cores))
    return Check("cores", "warning", str(cores), "drills may end inconclusive on one core")


def check_memory() -> Check:
    """The lab's memory, and a load generator's."""
    available = _available_bytes()
    if available is None or available >= NEEDED_MEMORY_BYTES:
        text = "unknown" if available is None else f"{available / 2**20:.0f} MiB free"
        return Check("memory", "ok", text)
    return Check(
        "memory",
        "warning",
        f"{available / 2**20:.0f} MiB free",
        f"the lab and its load want {NEEDED_MEMORY_BYTES / 2**20:.0f} MiB: end something else",
    )


def check_disk(root: Path) -> Check:
    """Room for logs, data and reports."""
    free = shutil.disk_usage(root).free
    if free >= NEEDED_DISK_BYTES:
        return Check("disk", "ok", f"{free / 2**30:.1f} GiB free")
    return Check("disk", "warning", f"{free / 2**20:.0f} MiB free", "free a gigabyte")


def check_engine() -> Check:
    """A Docker engine answers."""
    version = engine_version()
    if version:
        return _versioned("docker engine", version, OLDEST_ENGINE)
    return Check(
        "docker engine",
        "missing",
        "none answers",
        "start it, or install one (Debian: apt-get install docker.io), or MODE=processes",
    )


def check_compose() -> Check:
    """Compose version 2 is here."""
    command = compose_command()
    if command:
        return _versioned("compose", compose_version(command), OLDEST_COMPOSE)
    return Check(
        "compose", "missing", "none", "install it (Debian 13: apt-get install docker-compose)"
    )


def check_server() -> Check:
    """A valkey-server of version 8 or newer."""
    try:
        return Check("valkey-server", "ok", str(find_server()))
    except LabEnvironmentError as error:
        return Check("valkey-server", "missing", "none", str(error))


def check_redis() -> list[Check]:
    """Say why an installed Redis isn't used, if there is one."""
    path = shutil.which("redis-server")
    if path is None:
        return []
    version = ".".join(map(str, read_version(Path(path)))) or "unknown version"
    return [
        Check(
            "redis-server",
            "ok",
            f"{path} {version}, not used: a failover in a slot move loses what valkey 8 keeps",
        )
    ]


def check_ports(lab: Lab) -> list[Check]:
    """The published ports are free, or this lab's own."""
    variables = {
        "front door": (lab.ports.front, "SQUALL_PORT"),
        "control": (lab.ports.control, "SQUALL_CONTROL_PORT"),
        "store": (lab.ports.store, "SQUALL_STORE_PORT"),
    }
    if lab.is_answering():
        return [
            Check(f"port {port}", "ok", f"{name} of the lab that runs")
            for name, (port, _) in variables.items()
        ]
    return [
        _port_check(
            "127.0.0.1", port, f"end what listens there, or set {variable} to a free port", name
        )
        for name, (port, variable) in variables.items()
    ]


def check_inner_ports(lab: Lab) -> list[Check]:
    """Nobody else holds, on all addresses, a port that every process of the lab listens on."""
    if lab.is_answering():
        return []
    checks = [
        _port_check(f"{lab.network}.1", port, "end what listens there, or MODE=containers", "inner")
        for port in INNER_PORTS
    ]
    return [check for check in checks if check.level != "ok"]


def choose_network(remembered: str | None = None) -> str:
    """Return a network of addresses that no other lab uses.

    Args:
        remembered: The one that this lab's data was written in; taken if it is free.
    """
    port = INNER_PORTS[0]
    wanted = [remembered, *NETWORKS] if remembered else NETWORKS
    return next((network for network in wanted if _is_unused(network, port)), DEFAULT_NETWORK)


def _is_unused(network: str, port: int) -> bool:
    return all(is_free(f"{network}.{number}", port) for number in PROBED_ADDRESSES)


def _versioned(name: str, version: str, oldest: tuple[int, int]) -> Check:
    least = ".".join(map(str, oldest))
    if parse_version(version) >= oldest:
        return Check(name, "ok", f"{version} (tested from {least})")
    return Check(name, "warning", f"{version or 'unknown version'}", f"tested from {least} only")


def compose_version(command: Sequence[str]) -> str:
    """Return the version of a compose command, empty when it doesn't say."""
    done = subprocess.run(  # noqa: S603 - compose's own command
        [*command, "version", "--short"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def _port_check(host: str, port: int, mend: str, use: str) -> Check:
    if is_free(host, port):
        return Check(f"port {port}", "ok", f"free, for the {use}")
    return Check(f"port {port}", "missing", f"taken{_holder(port)}", mend)


def _holder(port: int) -> str:
    """Name who listens on a port, as far as this user may know."""
    with contextlib.suppress(Exception):  # psutil is an extra, and may not be allowed to look
        import psutil

        for connection in psutil.net_connections("tcp"):
            if connection.laddr.port == port and connection.status == psutil.CONN_LISTEN:
                return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    return ""


def _available_bytes(meminfo: Path = Path("/proc/meminfo")) -> int | None:
    with contextlib.suppress(OSError):
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None
