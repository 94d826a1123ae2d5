"""Observer: hear of each decision a policy took, for metrics and event streams.

Why a Protocol: telemetry is data handed out, not calls made from here, so this package needs no
metrics library. An observer must not block and must not raise.
"""

from collections.abc import Mapping
from typing import Protocol

Detail = float | int | str | bool | None


class Observer(Protocol):
    """Hear of a decision: who took it (``limiter``), what (``rejected``), where, with figures."""

    def on_decision(self, policy: str, what: str, scope: str, detail: Mapping[str, Detail]) -> None:
        """Take note; called on the hot path, so O(1)."""


class SilentObserver:
    """Hear and forget: the default."""

    __slots__ = ()

    def on_decision(self, policy: str, what: str, scope: str, detail: Mapping[str, Detail]) -> None:
        """Do nothing."""


SILENT = SilentObserver()
