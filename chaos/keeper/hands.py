"""What a keeper needs of whoever can touch instances: the supervisor, or the Docker engine.

Why: when to act and when to undo is the same for both; only the touching differs.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from chaos.keeper.look import Look


class Hands(Protocol):
    """Touches one instance at a time.

    What is asked for and holds already is no error: killing what is dead, resuming what runs.
    Every method raises LabEnvironmentError when the engine doesn't answer or refuses.
    """

    async def resolve(self, target: str) -> Sequence[str]:
        """Name the instances that a target means.

        Raises:
            ConfigError: Nothing is called so; names the nearest.
        """

    async def look(self, instance: str, *, with_usage: bool) -> Look:
        """Look at it; what it uses of CPU and memory only when asked, since that may cost."""

    async def start(self, instance: str) -> None:
        """Start it unless it lives."""

    async def stop(self, instance: str) -> None:
        """End it with SIGTERM, after its grace period with SIGKILL; it stays down."""

    async def kill(self, instance: str) -> None:
        """End it with SIGKILL; it stays down."""

    async def pause(self, instance: str) -> None:
        """Freeze it."""

    async def resume(self, instance: str) -> None:
        """Let it go on."""

    async def limit_cpu(self, instance: str, cores: float | None, was: Mapping[str, int]) -> None:
        """Limit its CPU, or restore the limit it had (`Look.limits`)."""

    async def limit_memory(self, instance: str, mb: float | None, was: Mapping[str, int]) -> None:
        """Limit its memory, or restore the limit it had."""

    async def isolate(self, instance: str, for_s: float | None) -> None:
        """Cut a store node off from the others, or let everything pass again.

        Args:
            instance: A store node.
            for_s: When the cut ends by itself at the latest, should nobody be left to end it; None
                to end it now.
        """
