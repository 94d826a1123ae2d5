"""The keeper's hands in container mode: the Docker engine.

Why limits are posted and not set through the library: ``docker update --cpus`` sets NanoCpus, which
the library's update lacks, and the engine refuses a quota where NanoCpus is set.
Source: Engine API 1.41, ``POST /containers/{id}/update``; moby, container/container_unix.go,
UpdateContainer (0 means unchanged, and a container without a limit can't be given "none" back: so
it gets a quota of -1, and the whole machine's memory).
Not handled: the engine of another machine whose clock differs (times are its own words).
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from chaos.drivers.container_usage import Usage, usage
from chaos.drivers.contract import TAKES, Capability
from chaos.drivers.labelled import LabelledContainers, engine_errors, instance_of
from chaos.keeper.look import Look, State
from kit.errors import LabEnvironmentError

T = TypeVar("T")

PERIOD_US = 100_000  # the engine's default CPU period
NANO = 1e9
MIB = 2**20
LIVE = ("running", "paused", "restarting")
OK_BELOW = 400


class ContainerHands:
    """Touches the containers of one compose project; see `chaos.keeper.hands.Hands`.

    Args:
        containers: Of the project.
    """

    def __init__(self, containers: LabelledContainers) -> None:
        self._containers = containers

    async def resolve(self, target: str) -> Sequence[str]:
        """See `Hands.resolve`."""
        found = await asyncio.to_thread(self._containers.named, target)
        return sorted(instance_of(container) for container in found)

    async def look(self, instance: str, *, with_usage: bool) -> Look:
        """See `Hands.look`."""
        found = await self._do(instance, partial(_look, with_usage=with_usage))
        return found or Look("gone")

    async def start(self, instance: str) -> None:
        """See `Hands.start`."""
        await self._do(instance, lambda one: one.start())

    async def stop(self, instance: str) -> None:
        """See `Hands.stop`; the grace period is the container's own."""
        await self._do(instance, _stop)

    async def kill(self, instance: str) -> None:
        """See `Hands.kill`; the engine doesn't restart what was killed by hand."""
        await self._do(instance, lambda one: one.status in LIVE and one.kill())

    async def pause(self, instance: str) -> None:
        """See `Hands.pause`; done with the cgroup freezer."""
        await self._do(instance, lambda one: one.status == "running" and one.pause())

    async def resume(self, instance: str) -> None:
        """See `Hands.resume`."""
        await self._do(instance, lambda one: one.status == "paused" and one.unpause())

    async def limit_cpu(self, instance: str, cores: float | None, was: Mapping[str, int]) -> None:
        """See `Hands.limit_cpu`."""
        if was.get("nano_cpus"):
            nano = was["nano_cpus"] if cores is None else round(cores * NANO)
            await self._update(instance, NanoCpus=nano)
            return
        period = was.get("cpu_period") or PERIOD_US
        quota = (was.get("cpu_quota") or -1) if cores is None else round(cores * period)
        await self._update(instance, CpuQuota=quota)

    async def limit_memory(self, instance: str, mb: float | None, was: Mapping[str, int]) -> None:
        """See `Hands.limit_memory`; without swap, or the limit would only make it slow."""
        if mb is not None:
            size = round(mb * MIB)
            await self._update(instance, Memory=size, MemorySwap=size)
        elif was.get("memory"):
            await self._update(instance, Memory=was["memory"], MemorySwap=was.get("swap", -1))
        else:
            total = await self._do(instance, lambda one: int(one.client.info()["MemTotal"]))
            if total is None:
                return
            await self._update(instance, Memory=total, MemorySwap=-1)

    async def isolate(self, instance: str, for_s: float | None) -> None:
        """See `Hands.isolate`; a container's network is not ours to change.

        Raises:
            LabEnvironmentError: Always, when asked to cut.
        """
        if for_s is not None:
            raise LabEnvironmentError(f"{instance}: to isolate takes {TAKES[Capability.ISOLATE]}")

    async def _update(self, instance: str, **fields: int) -> None:
        await self._do(instance, lambda one: _update(one, fields))

    async def _do(self, instance: str, act: Callable[[Any], T]) -> T | None:
        return await asyncio.to_thread(self._act, instance, act)

    def _act(self, instance: str, act: Callable[[Any], T]) -> T | None:
        """Act on a container; None when it is gone, so that nothing is to be done."""
        container = self._containers.one(instance)
        if container is None:
            return None
        with engine_errors():
            return act(container)


def _look(container: Any, *, with_usage: bool) -> Look:
    state, host = container.attrs["State"], container.attrs["HostConfig"]
    is_up = container.status in LIVE
    used = usage(container) if with_usage and is_up else Usage(0.0, 0.0, 0)
    return Look(
        _state(container.status),
        incarnation=f"process {state['Pid']}" if is_up else "",
        exit_code=state["ExitCode"],
        cpu_s=used.cpu_s,
        held_s=used.held_s,
        memory_bytes=used.memory_bytes,
        limits={
            "memory": host["Memory"],
            "swap": host["MemorySwap"],
            "nano_cpus": host["NanoCpus"],
            "cpu_quota": host["CpuQuota"],
            "cpu_period": host["CpuPeriod"],
        },
    )


def _state(status: str) -> State:
    if status == "paused":
        return "paused"
    if status in LIVE:
        return "running"
    return "gone" if status in ("dead", "removing") else "stopped"


def _stop(container: Any) -> None:
    if container.status == "paused":
        container.unpause()  # a frozen process can't hear SIGTERM
    container.stop()


def _update(container: Any, fields: Mapping[str, int]) -> None:
    api = container.client.api
    url = f"{api.base_url}/v{api.api_version}/containers/{container.id}/update"
    answer = api.post(url, json=dict(fields))
    if answer.status_code >= OK_BELOW:
        asked = ", ".join(f"{name} {value}" for name, value in fields.items())
        raise LabEnvironmentError(
            f"the Docker engine refuses {asked} for {instance_of(container)}: "
            f"{answer.json().get('message', answer.text)}"
        )
