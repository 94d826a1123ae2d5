"""The keeper's hands in process mode: the supervisor's own children."""

import asyncio
import contextlib
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from chaos.keeper.look import Look
from chaos.keeper.look import State as LookState
from chaos.supervisor import isolation
from chaos.supervisor.child import Child, State
from chaos.supervisor.limits import data_limit, limit_for, set_data_limit
from chaos.supervisor.throttle import Throttle
from chaos.supervisor.tree import cpu_seconds, family, is_stopped, resident_bytes
from kit.errors import ConfigError, LabEnvironmentError

# A stop takes effect in microseconds unless a thread is deep in the kernel: look for 1 s.
STOP_LOOKS = 500
LOOK_EVERY_S = 0.002

_STORE = re.compile(r"store-[1-9][0-9]*")


def named(children: Mapping[str, Child], target: str) -> list[Child]:
    """Return the children that a target means: an instance, a service or ``*``.

    Raises:
        ConfigError: None is called so; names the nearest.
    """
    found = [child for name, child in children.items() if target in (name, child.plan.service, "*")]
    if not found:
        known = sorted({*children, *(child.plan.service for child in children.values())})
        close = get_close_matches(target, known, n=3, cutoff=0.4) or known
        raise ConfigError(f"nothing called {target!r} runs here; there is {', '.join(close)}")
    return found


class ProcessHands:
    """Touches the children of one supervisor; see `chaos.keeper.hands.Hands`.

    Args:
        children: By instance.
    """

    def __init__(self, children: Mapping[str, Child]) -> None:
        self._children = children
        self._throttles: dict[str, Throttle] = {}
        self._isolated: set[str] = set()

    async def resolve(self, target: str) -> Sequence[str]:
        """See `Hands.resolve`."""
        return [child.plan.instance for child in named(self._children, target)]

    async def look(self, instance: str, *, with_usage: bool) -> Look:
        """See `Hands.look`; ``paused`` only if the kernel says that every process is stopped."""
        child = self._children[instance]
        pid = child.pid
        if pid is None:
            state: LookState = "running" if child.state is State.WAITING else "stopped"
            return Look(state, exit_code=child.exit_code)
        is_paused = child.state is State.PAUSED and is_stopped(pid)
        pids = family(pid) if with_usage else []
        throttle = self._throttles.get(instance)
        return Look(
            "paused" if is_paused else "running",
            incarnation=f"process {pid}",
            exit_code=child.exit_code,
            cpu_s=cpu_seconds(pids),
            held_s=throttle.held_s if throttle is not None else 0.0,
            memory_bytes=resident_bytes(pids),
            limits={"memory": data_limit(pid)},
            dropped=await self._dropped(instance),
            limit_of=" of data",
        )

    async def start(self, instance: str) -> None:
        """See `Hands.start`."""
        self._children[instance].start()

    async def stop(self, instance: str) -> None:
        """See `Hands.stop`."""
        await self._children[instance].stop()

    async def kill(self, instance: str) -> None:
        """See `Hands.kill`."""
        await self._children[instance].kill()

    async def pause(self, instance: str) -> None:
        """See `Hands.pause`; waits until the kernel has stopped every process."""
        child = self._children[instance]
        child.pause()
        for _ in range(STOP_LOOKS):
            if child.pid is None or is_stopped(child.pid):
                break
            await asyncio.sleep(LOOK_EVERY_S)

    async def resume(self, instance: str) -> None:
        """See `Hands.resume`."""
        self._children[instance].resume()

    async def limit_cpu(self, instance: str, cores: float | None, was: Mapping[str, int]) -> None:
        """See `Hands.limit_cpu`; a process has no limit of its own to go back to."""
        throttle = self._throttles.get(instance)
        if cores is None:
            if throttle is not None:
                self._throttles.pop(instance).close()
        elif throttle is None:
            self._throttles[instance] = Throttle(self._children[instance], cores)
        else:
            throttle.set_cores(cores)

    async def limit_memory(self, instance: str, mb: float | None, was: Mapping[str, int]) -> None:
        """See `Hands.limit_memory`; whoever is started meanwhile gets the limit at once."""
        child = self._children[instance]
        if mb is None:
            child.on_spawn = lambda pid: None
            if child.pid is not None:
                set_data_limit(child.pid, was.get("memory", -1))
            return
        child.on_spawn = lambda pid: _limit(pid, mb)
        if child.pid is not None:
            _limit(child.pid, mb)

    async def isolate(self, instance: str, for_s: float | None) -> None:
        """See `Hands.isolate`; who is no store node reaches the others through no bus."""
        host = self._children[instance].plan.host
        if for_s is None:
            if instance in self._isolated:
                await asyncio.to_thread(isolation.heal, host)
                self._isolated.discard(instance)
            return
        others = [
            child.plan.host
            for child in self._children.values()
            if _STORE.fullmatch(child.plan.service) and child.plan.host != host
        ]
        self._isolated.add(instance)
        await asyncio.to_thread(isolation.cut_off, host, others, for_s)

    def heal_all(self) -> None:
        """Take away every cut at our addresses, an earlier supervisor's too; none is no error."""
        self._isolated.clear()
        if isolation.can_isolate():
            with contextlib.suppress(LabEnvironmentError):
                isolation.heal_all(child.plan.host for child in self._children.values())

    async def _dropped(self, instance: str) -> int:
        if instance not in self._isolated:
            return 0
        return await asyncio.to_thread(isolation.dropped, self._children[instance].plan.host)


def _limit(pid: int, mb: float) -> None:
    limit_bytes = limit_for(pid, mb)
    if limit_bytes is not None:
        set_data_limit(pid, limit_bytes)
