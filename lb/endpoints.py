"""What the balancers know of a backend: its name and where it answers."""

from typing import Protocol


class Endpoint(Protocol):
    """One replica that takes requests: ready, and not drained (``kit.directory`` has them)."""

    @property
    def instance(self) -> str:
        """Its name, e.g. ``gateway.1``."""

    @property
    def host(self) -> str:
        """Its address."""

    @property
    def port(self) -> int:
        """Where it listens."""
