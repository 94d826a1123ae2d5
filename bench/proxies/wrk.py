"""wrk: the command for a cell, and what its report says.

Source: wrk 4.1, src/wrk.c (the report) and src/units.c (its units).
Not handled: pipelining; wrk counts an answer late that came after its pause (coordinated omission),
so a p99 compares proxies under a full closed loop and is no user's latency.
"""

import re
from pathlib import Path
from typing import NamedTuple

from bench.proxies.backend import UPLOAD_BYTES
from kit.errors import LabEnvironmentError

CONNECTIONS = 64
TIMEOUT_S = 5
HOW_TO = "apt-get install wrk"
UPLOAD_SCRIPT = f'wrk.method = "POST"\nwrk.body = string.rep("x", {UPLOAD_BYTES})\n'

_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_BYTES = {"B": 1.0, "KB": 1024.0, "MB": 1024.0**2, "GB": 1024.0**3, "TB": 1024.0**4}
_TOTAL = re.compile(r"(\d+) requests in ([\d.]+)(us|ms|s|m|h), ([\d.]+)(B|KB|MB|GB|TB) read")
_P99 = re.compile(r"^\s+99%\s+([\d.]+)(us|ms|s|m|h)$", re.MULTILINE)
_STATUS = re.compile(r"Non-2xx or 3xx responses: (\d+)")
_SOCKET = re.compile(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)")


class Wrk(NamedTuple):
    """What one run of wrk showed.

    Args:
        requests: Answered.
        duration_s: It took, > 0.
        read_bytes: Heads and bodies; wrk rounds them to two digits after the point.
        p99_s: Latency at the 99th percentile, seconds.
        errors: Answers of 400 and more, refused, reset and late connections.
    """

    requests: int
    duration_s: float
    read_bytes: float
    p99_s: float
    errors: int

    @property
    def rps(self) -> float:
        """Answers per second."""
        return self.requests / self.duration_s


def command(
    binary: Path,
    url: str,
    duration_s: int,
    *,
    script: Path | None = None,
    is_closing: bool = False,
    connections: int = CONNECTIONS,
) -> list[str]:
    """Return the command of one cell.

    Args:
        binary: Of wrk.
        url: It asks for.
        duration_s: How long, whole seconds >= 1.
        script: Lua that makes another request than a GET.
        is_closing: Whether each request gets a connection of its own.
        connections: At once.
    """
    made = [str(binary), "-t", "1", "-c", str(connections), "-d", f"{duration_s}s"]
    made += ["--latency", "--timeout", f"{TIMEOUT_S}s"]
    made += ["-s", str(script)] if script is not None else []
    made += ["-H", "Connection: close"] if is_closing else []
    return [*made, url]


def parse(text: str) -> Wrk:
    """Read wrk's report.

    Raises:
        LabEnvironmentError: It is not one; with its last line.
    """
    total, p99 = _TOTAL.search(text), _P99.search(text)
    if total is None or p99 is None or float(total[2]) == 0:
        last = (text.strip().splitlines() or ["nothing"])[-1]
        raise LabEnvironmentError(f"wrk gave no report; it said: {last}")
    statuses, sockets = _STATUS.search(text), _SOCKET.search(text)
    errors = int(statuses[1]) if statuses is not None else 0
    errors += sum(map(int, sockets.groups())) if sockets is not None else 0
    return Wrk(
        requests=int(total[1]),
        duration_s=float(total[2]) * _SECONDS[total[3]],
        read_bytes=float(total[4]) * _BYTES[total[5]],
        p99_s=float(p99[1]) * _SECONDS[p99[2]],
        errors=errors,
    )
