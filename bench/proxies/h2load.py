"""h2load: the command for a cell over HTTP/2 in the clear, and what it says.

Prior knowledge, no upgrade: what a proxy does behind another that has ended TLS. Sixty-four streams
at a time, as many as the other cells have connections, on eight connections.
Source: nghttp2 1.52, doc/h2load.1 (-D, --log-file: start, status and microseconds of each request).
"""

import re
from pathlib import Path

from bench.proxies.honest import quantile
from bench.proxies.wrk import Wrk
from kit.errors import LabEnvironmentError

CONNECTIONS, STREAMS = 8, 8
HOW_TO = "apt-get install nghttp2-client"

_FINISHED = re.compile(r"^finished in ([\d.]+)(us|ms|s),", re.MULTILINE)
_REQUESTS = re.compile(
    r"^requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded", re.MULTILINE
)
_TRAFFIC = re.compile(r"^traffic: .*?\((\d+)\) total", re.MULTILINE)
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


def command(binary: Path, url: str, duration_s: int, log: Path) -> list[str]:
    """Return the command of one cell; ``log`` gets a line for each request."""
    return [
        *(str(binary), "-c", str(CONNECTIONS), "-m", str(STREAMS), "-D", f"{duration_s}s"),
        *("--log-file", str(log), url),
    ]


def parse(text: str, log: str) -> Wrk:
    """Read its report and its log.

    Raises:
        LabEnvironmentError: It is none.
    """
    finished, requests = _FINISHED.search(text), _REQUESTS.search(text)
    if finished is None or requests is None:
        raise LabEnvironmentError(f"h2load said: {text.strip()[-200:]}")
    duration_s = float(finished[1]) * _SECONDS[finished[2]]
    done, succeeded = int(requests[1]), int(requests[2])
    traffic = _TRAFFIC.search(text)
    took_s = [int(line.split("\t")[2]) * 1e-6 for line in log.splitlines()]
    read_bytes = float(traffic[1]) if traffic else 0.0
    return Wrk(succeeded, duration_s, read_bytes, quantile(took_s, 0.99), done - succeeded)
