"""The driver of container mode: asks the Docker engine.

Why: containers are found by the labels that compose puts on them, so a lab started by plain
``docker compose up`` is driven as well as one of ``squall up``.
Source: the Engine API 1.41 (engine 20.10), through the ``docker`` library.
Not handled: other projects of the same name on one engine.
"""

import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from chaos.compose import Topology
from chaos.drivers.container_usage import usage
from chaos.drivers.contract import (
    DEFAULT_LEASE_S,
    Capability,
    HostFault,
    HostProof,
    InstanceStatus,
    capabilities_of,
)
from chaos.drivers.engine import PROJECT
from chaos.drivers.labelled import (
    LabelledContainers,
    engine_errors,
    instance_of,
    service_of,
)
from chaos.keeper.commands import KeeperClient
from chaos.keeper.launch import ask_keeper, recall, see_to_keeper
from chaos.lab import ROOT, STATE_FOLDER

PARALLEL_COUNT = 8


class ContainerDriver:
    """Acts on the containers of one compose project.

    Args:
        topology: The compose file, for the order and for which services end by themselves.
        project: The compose project's name.
        folder: The lab's state folder, where the keeper of its host faults is found.

    Every method but `host_faults` raises LabEnvironmentError when no engine answers.
    """

    def __init__(
        self,
        topology: Topology,
        project: str = PROJECT,
        *,
        folder: Path = ROOT / STATE_FOLDER,
    ) -> None:
        self._topology = topology
        self._project = project
        self._folder = folder
        self._found = LabelledContainers(project)
        self._keeper = KeeperClient(partial(ask_keeper, folder, project))

    @property
    def capabilities(self) -> frozenset[Capability]:
        """See `Driver.capabilities`."""
        return capabilities_of(self._topology.services, isolates=False)

    def instances(self) -> Sequence[InstanceStatus]:
        """See `Driver.instances`; a keeper that was killed is replaced by whoever looks."""
        see_to_keeper(self._folder, self._project)
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

    def begin(self, fault: HostFault, *, lease_s: float = DEFAULT_LEASE_S) -> None:
        """See `Driver.begin`; by a process of its own, which outlives us."""
        self._keeper.begin(fault, lease_s=lease_s)

    def renew(self, fault_ids: Sequence[str], *, lease_s: float = DEFAULT_LEASE_S) -> None:
        """See `Driver.renew`."""
        self._keeper.renew(fault_ids, lease_s=lease_s)

    def end(self, fault_id: str) -> HostProof:
        """See `Driver.end`."""
        return self._keeper.end(fault_id)

    def host_faults(self) -> Sequence[HostProof]:
        """See `Driver.host_faults`; read from disk where nothing stands."""
        return msgspec.convert(recall(self._folder, self._project), list[HostProof])

    def memory(self) -> Mapping[str, int]:
        """What the kernel charges to each container, without the file cache it can drop."""
        live = [container for container in self._containers() if container.status == "running"]
        with engine_errors(), ThreadPoolExecutor(PARALLEL_COUNT) as pool:
            return dict(zip(map(instance_of, live), pool.map(_memory, live), strict=True))

    def logs(self, target: str, lines: int) -> Mapping[str, Sequence[str]]:
        """See `Driver.logs`."""
        with engine_errors():
            return {
                instance_of(container): container.logs(tail=lines)
                .decode("utf-8", "replace")
                .splitlines()
                for container in self._found.named(target)
            }

    def run_inside(self, service: str, argv: Sequence[str]) -> int:
        """See `Driver.run_inside`; through the command line, which streams as it comes."""
        name = self._found.named(f"{service}.1")[0].name
        command = ["docker", "exec", name, *argv]
        return subprocess.run(command, check=False).returncode  # noqa: S603 - a command of ours

    def _containers(self) -> list[Any]:
        found = self._found.all()
        order = {name: place for place, name in enumerate(self._topology.instances)}
        return sorted(found, key=lambda container: order.get(instance_of(container), len(order)))

    def _each(self, target: str, act: Any, only: Sequence[str] = ()) -> None:
        containers = [
            container
            for container in self._found.named(target)
            if not only or container.status in only
        ]
        with engine_errors(), ThreadPoolExecutor(PARALLEL_COUNT) as pool:
            list(pool.map(act, containers))

    def _stop(self, container: Any) -> None:
        if container.status == "paused":
            container.unpause()  # a frozen process can't hear SIGTERM
        service = self._topology.services.get(service_of(container))
        container.stop(timeout=int(service.stop_grace_s) if service else None)

    def _status(self, container: Any) -> InstanceStatus:
        state = container.attrs["State"]
        networks = container.attrs["NetworkSettings"]["Networks"].values()
        is_live = container.status in ("running", "paused")
        return InstanceStatus(
            instance=instance_of(container),
            service=service_of(container),
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
        service = self._topology.services.get(service_of(container))
        if service is None or not service.is_one_shot:
            return "stopped"
        return "done" if container.attrs["State"]["ExitCode"] == 0 else "failed"


def _seconds_since(text: str) -> float:
    """Seconds since a moment as the engine writes it: nanoseconds and a Z."""
    moment = datetime.fromisoformat(text[:19]).replace(tzinfo=UTC)
    return max(0.0, (datetime.now(UTC) - moment).total_seconds())


def _memory(container: Any) -> int:
    return usage(container).memory_bytes
