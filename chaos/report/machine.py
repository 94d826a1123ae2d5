"""On what a run was measured: the machine and the versions, as far as they can be told.

Why: a figure without its machine can't be compared. Written once, when the run ends, since a report
that is re-written later may be re-written elsewhere. Names of hosts and people stay out.
"""

import json
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from chaos.report.run import MACHINE_FILE
from chaos.server_binary import find_server
from kit.errors import LabError

PACKAGES = ("squall-lab", "grpcio", "uvicorn", "uvloop", "fastapi", "redis", "hiredis", "locust")
CPUINFO = Path("/proc/cpuinfo")
UNKNOWN = "unknown"


def record_machine(folder: Path) -> Path:
    """Write what this machine is into a run's folder; what is there already stays."""
    path = folder / MACHINE_FILE
    if not path.exists():
        path.write_text(json.dumps(describe_machine(), indent=1) + "\n", encoding="utf-8")
    return path


def describe_machine() -> dict[str, Any]:
    """Return cores, memory in bytes, kernel and versions."""
    return {
        "cpu": cpu_model(CPUINFO.read_text(encoding="utf-8") if CPUINFO.exists() else ""),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0,
        "memory_bytes": _memory_bytes(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "valkey": _server_version(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
    }


def cpu_model(cpuinfo: str) -> str:
    """Return the processor's name out of /proc/cpuinfo's text."""
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model"):
            return value.strip()
    return platform.processor() or UNKNOWN


def _memory_bytes() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0


def _server_version() -> str:
    try:
        return ".".join(map(str, find_server().version))
    except LabError:
        return UNKNOWN


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
