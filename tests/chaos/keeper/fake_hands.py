"""Hands that touch nothing: instances are values, and every action is written down."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from chaos.keeper.look import Look
from kit.errors import ConfigError, LabEnvironmentError


@dataclass
class FakeHands:
    """Two instances of ``video``, until told otherwise; see `chaos.keeper.hands.Hands`."""

    def __post_init__(self) -> None:
        self.looks = {name: Look("running", f"{name} 1") for name in ("video.1", "video.2")}
        self.done: list[str] = []
        self.broken: set[str] = set()  # actions that the engine refuses
        self.grace = asyncio.Event()  # what a stop waits for
        self.grace.set()

    def breaks(self, *actions: str) -> None:
        """From now on the engine refuses exactly these, e.g. ``pause video.1``."""
        self.broken = set(actions)

    async def resolve(self, target: str) -> Sequence[str]:
        """Both replicas, or one."""
        found = [name for name in self.looks if target in (name, name.rpartition(".")[0])]
        if not found:
            raise ConfigError(f"nothing called {target!r} runs here")
        return found

    async def look(self, instance: str, *, with_usage: bool) -> Look:
        """As it is."""
        self._may(f"look {instance}")
        return self.looks.get(instance, Look("gone"))

    async def start(self, instance: str) -> None:
        """A new incarnation, unless it lives."""
        self._act(f"start {instance}")
        look = self.looks[instance]
        if not look.is_up:
            number = len([one for one in self.done if one == f"start {instance}"])
            self.looks[instance] = Look("running", f"{instance} {number + 1}", limits=look.limits)

    async def stop(self, instance: str) -> None:
        """Down once the grace is over, unless it was killed meanwhile."""
        self._act(f"stop {instance}")
        await self.grace.wait()
        self._down(instance, 0)

    async def kill(self, instance: str) -> None:
        """Down at once; whoever waits for its end sees it."""
        self._act(f"kill {instance}")
        self._down(instance, 137)
        self.grace.set()

    async def pause(self, instance: str) -> None:
        """Frozen, if it runs."""
        self._act(f"pause {instance}")
        if self.looks[instance].is_up:
            self.looks[instance] = replace(self.looks[instance], state="paused")

    async def resume(self, instance: str) -> None:
        """Let go on."""
        self._act(f"resume {instance}")
        if self.looks[instance].is_up:
            self.looks[instance] = replace(self.looks[instance], state="running")

    async def limit_cpu(self, instance: str, cores: float | None, was: Mapping[str, int]) -> None:
        """Written down only."""
        self._act(f"cpu {instance} {cores}")

    async def limit_memory(self, instance: str, mb: float | None, was: Mapping[str, int]) -> None:
        """Its limit, or the one it had."""
        self._act(f"memory {instance} {mb}")
        limits = dict(was) if mb is None else {"memory": int(mb * 2**20)}
        self.looks[instance] = replace(self.looks[instance], limits=limits)

    async def isolate(self, instance: str, for_s: float | None) -> None:
        """Cut off, with a packet lost at once, or not."""
        self._act(f"isolate {instance} {for_s}")
        self.looks[instance] = replace(self.looks[instance], dropped=0 if for_s is None else 1)

    def _down(self, instance: str, code: int) -> None:
        if self.looks[instance].is_up:
            self.looks[instance] = Look("stopped", exit_code=code)

    def _act(self, action: str) -> None:
        self._may(action)
        self.done.append(action)

    def _may(self, action: str) -> None:
        if action in self.broken:
            raise LabEnvironmentError(f"the engine refuses to {action}")
