"""What the balancers ask of a registry: which endpoints a service has, and when that changes."""

from collections.abc import Callable, Sequence
from typing import Protocol


class Endpoint(Protocol):
    """One replica that takes requests: ready, and not drained."""

    @property
    def instance(self) -> str: ...  # e.g. "gateway.1"
    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...


class Directory(Protocol):
    """The registry's view (``kit.directory`` implements it)."""

    def endpoints(self, service: str) -> Sequence[Endpoint]: ...
    def on_change(self, service: str, callback: Callable[[], None]) -> None: ...
