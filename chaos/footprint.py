"""What the lab costs while nothing is asked of it: CPU, memory, image.

Why: the figures of README.md, "Footprint", come from one command, so that anybody can ask what
they are on their machine. CPU is what the kernel counted for the lab's own processes, not what the
machine was busy with.
Source: proc(5), ``/proc/PID/stat``; the Engine API's container statistics (cgroup accounting).
Not handled: what the engine itself costs (dockerd, containerd).
"""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import docker
import docker.errors
import requests

from chaos.lab import Lab
from chaos.supervisor.channel import ask
from chaos.supervisor.launch import find_supervisor
from kit.errors import LabEnvironmentError

IMAGE = "squall:local"
TIMEOUT_S = 10.0
PARALLEL_COUNT = 8
UTIME, STIME = 11, 12  # places in /proc/PID/stat after the name's closing bracket (proc(5): 14, 15)


def cpu_seconds(lab: Lab) -> Mapping[str, float]:
    """Return the CPU time that each live instance has used since it started.

    Raises:
        LabEnvironmentError: No supervisor or no engine answers.
    """
    if lab.mode == "processes":
        return _of_processes(lab.state_folder)
    with _Engine() as client:
        containers = client.containers.list(
            filters={"label": f"com.docker.compose.project={lab.topology().project}"}
        )
        with ThreadPoolExecutor(PARALLEL_COUNT) as pool:
            seconds = list(pool.map(_of_container, containers))
        return dict(zip((one.name for one in containers), seconds, strict=True))


def image_bytes(name: str = IMAGE) -> int:
    """Return the size of an image with all its layers.

    Raises:
        LabEnvironmentError: No engine answers, or it has no such image.
    """
    with _Engine() as client:
        return int(client.images.get(name).attrs["Size"])


def busy_cores(before: Mapping[str, float], after: Mapping[str, float], seconds: float) -> float:
    """Return the cores in use between two readings; who came or went in between is left out."""
    return sum(after[name] - before[name] for name in before.keys() & after.keys()) / seconds


def process_seconds(pid: int, proc: Path = Path("/proc")) -> float | None:
    """Return the CPU time of a process in seconds, None once it is gone."""
    try:
        text = (proc / str(pid) / "stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name before may have blanks and brackets
    return (int(fields[UTIME]) + int(fields[STIME])) / os.sysconf("SC_CLK_TCK")


def _of_processes(folder: Path) -> Mapping[str, float]:
    pids = {one["instance"]: one["pid"] for one in ask(folder, "status")}
    pids["supervisor"] = find_supervisor(folder)
    read = {name: process_seconds(pid) for name, pid in pids.items() if pid is not None}
    return {name: seconds for name, seconds in read.items() if seconds is not None}


def _of_container(container: Any) -> float:
    figures = container.client.api.stats(container.id, stream=False, one_shot=True)
    return int(figures["cpu_stats"]["cpu_usage"]["total_usage"]) / 1e9


class _Engine:
    """A client for the length of a with block; foreign errors come out as ours."""

    def __enter__(self) -> Any:
        try:
            return docker.from_env(timeout=TIMEOUT_S)
        except docker.errors.DockerException as error:
            raise LabEnvironmentError(f"no Docker engine answers: {error}") from error

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, docker.errors.DockerException | requests.RequestException):
            raise LabEnvironmentError(f"the Docker engine says: {error}") from error
