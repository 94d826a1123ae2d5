"""The driver of container mode: asks the Docker engine.

Why: containers are found by the labels that compose puts on them, so a lab started by plain
``docker compose up`` is driven as well as one of ``squall up``.
Source: the Engine API 1.41 (engine 20.10), through the ``docker`` library.
Not handled: other projects of the same name on one engine.
"""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import docker
import docker.errors
import requests

from chaos.compose import Topology
from chaos.drivers.contract import Capability, InstanceStatus
from chaos.drivers.engine import HOW_TO_MEND, PROJECT
from kit.errors import ConfigError, LabEnvironmentError

TIMEOUT_S = 30.0  # longer than a stop with its grace period of 15 s
PARALLEL_COUNT = 8


class ContainerDriver:
    """Acts on the containers of one compose project.

    Args:
        topology: The compose file, for the order and for which services end by themselves.
        project: The compose project's name.

    Raises:
        LabEnvironmentError: No engine answers.
    """

    capabilities = frozenset(Capability)

    def __init__(self, topology: Topology, project: str = PROJECT) -> None:
        self._topology = topology
        self._project = project
        with _engine_errors():
            self._client = docker.from_env(timeout=TIMEOUT_S)

    def instances(self) -> Sequence[InstanceStatus]:
        """See `Driver.instances`."""
        return [self._status(container) for container in self._containers()]

    def start(self, target: str) -> None:
        """See `Driver.start`."""
        self._each(target, lambda container: container.start())

    def stop(self, target: str) -> None:
        """See `Driver.stop`."""
        self._each(target, self._stop)

    def kill(self, target: str) -> None:
        """See `Driver.kill`; the engine doesn't restart what was killed by hand."""
        self._each(target, lambda container: container.kill(), only=("running", "paused"))

    def pause(self, target: str) -> None:
        """See `Driver.pause`; done with the cgroup freezer."""
        self._each(target, lambda container: container.pause(), only=("running",))

    def resume(self, target: str) -> None:
        """See `Driver.resume`."""
        self._each(target, lambda container: container.unpause(), only=("paused",))

    def restart(self, target: str) -> None:
        """See `Driver.restart`."""
        self.stop(target)
        self.start(target)

    def memory(self) -> Mapping[str, int]:
        """What the kernel charges to each container, without the file cache it can drop."""
        live = [container for container in self._containers() if container.status == "running"]
        with _engine_errors(), ThreadPoolExecutor(PARALLEL_COUNT) as pool:
            return dict(zip(map(_instance, live), pool.map(_memory_bytes, live), strict=True))

    def logs(self, target: str, lines: int) -> Mapping[str, Sequence[str]]:
        """See `Driver.logs`."""
        with _engine_errors():
            return {
                _instance(container): container.logs(tail=lines)
                .decode("utf-8", "replace")
                .splitlines()
                for container in self._targets(target)
            }

    def run_inside(self, service: str, argv: Sequence[str]) -> int:
        """See `Driver.run_inside`; through the command line, which streams as it comes."""
        name = self._targets(f"{service}.1")[0].name
        command = ["docker", "exec", name, *argv]
        return subprocess.run(command, check=False).returncode  # noqa: S603 - a command of ours

    def _containers(self) -> list[Any]:
        label = f"com.docker.compose.project={self._project}"
        with _engine_errors():
            found = self._client.containers.list(all=True, filters={"label": label})
        order = {name: place for place, name in enumerate(self._topology.instances)}
        return sorted(found, key=lambda container: order.get(_instance(container), len(order)))

    def _targets(self, target: str) -> list[Any]:
        containers = self._containers()
        found = [
            container
            for container in containers
            if target in (_instance(container), _service(container), "*")
        ]
        if not found:
            known = sorted({_service(container) for container in containers})
            raise ConfigError(
                f"nothing called {target!r} runs here; there is {', '.join(known) or 'nothing'}"
            )
        return found

    def _each(self, target: str, act: Any, only: Sequence[str] = ()) -> None:
        containers = [
            container for container in self._targets(target) if not only or container.status in only
        ]
        with _engine_errors(), ThreadPoolExecutor(PARALLEL_COUNT) as pool:
            list(pool.map(act, containers))

    def _stop(self, container: Any) -> None:
        if container.status == "paused":
            container.unpause()  # a frozen process can't hear SIGTERM
        service = self._topology.services.get(_service(container))
        container.stop(timeout=int(service.stop_grace_s) if service else None)

    def _status(self, container: Any) -> InstanceStatus:
        state = container.attrs["State"]
        networks = container.attrs["NetworkSettings"]["Networks"].values()
        is_live = container.status in ("running", "paused")
        return InstanceStatus(
            instance=_instance(container),
            service=_service(container),
            state=self._state(container),
            host=next((network["IPAddress"] for network in networks), ""),
            up_s=_seconds_since(state["StartedAt"]) if is_live else None,
            exit_code=None if is_live else state["ExitCode"],
            restarts=container.attrs["RestartCount"],
        )

    def _state(self, container: Any) -> str:
        if container.status in ("running", "paused"):
            return str(container.status)
        if container.status in ("restarting", "created"):
            return "waiting"
        service = self._topology.services.get(_service(container))
        if service is None or not service.is_one_shot:
            return "stopped"
        return "done" if container.attrs["State"]["ExitCode"] == 0 else "failed"


@contextmanager
def _engine_errors() -> Iterator[None]:
    try:
        yield
    except (docker.errors.DockerException, requests.RequestException) as error:
        raise LabEnvironmentError(f"the Docker engine says: {error}; {HOW_TO_MEND}") from error


def _service(container: Any) -> str:
    return str(container.labels["com.docker.compose.service"])


def _instance(container: Any) -> str:
    return f"{_service(container)}.{container.labels['com.docker.compose.container-number']}"


def _memory_bytes(container: Any) -> int:
    """Usage less inactive file cache, as ``docker stats`` counts (cgroup v1 and v2 names)."""
    figures = container.client.api.stats(container.id, stream=False, one_shot=True)["memory_stats"]
    detail = figures.get("stats", {})
    cache = detail.get("total_inactive_file", detail.get("inactive_file", 0))
    return max(0, int(figures.get("usage", 0)) - int(cache))


def _seconds_since(text: str) -> float:
    """Seconds since a moment as the engine writes it: nanoseconds and a Z."""
    moment = datetime.fromisoformat(text[:19]).replace(tzinfo=UTC)
    return max(0.0, (datetime.now(UTC) - moment).total_seconds())
