"""What the cache's client tells: a Protocol that others implement (metrics, logs, ``explain``)."""

from typing import Protocol


class CacheObserver(Protocol):
    """Hear of what the client did; quick, never blocking, never raising."""

    def on_operation(self, operation: str, result: str, duration_s: float) -> None:
        """Note an operation's end.

        Args:
            operation: ``get``, ``fill`` or ``delete``.
            result: get: ``hit``, ``local`` (a hit, and no node was asked), ``stale`` (a hit past
                its time), ``miss``, ``off`` (no node could say). fill: ``stored``, ``refused``,
                ``off``. delete: ``done``, ``barred`` (a node was barred instead),
                ``unproven`` (a node may answer others with the old value, see Coherence).
            duration_s: From the call to its end.
        """

    def on_node(self, node: str, event: str) -> None:
        """Note what became of a node.

        Args:
            node: Such as ``cache-2``.
            event: ``connected``, ``failed``, ``lost`` (its connection), ``ejected``, ``returned``,
                ``barred``, ``flushed``.
        """


class SilentCacheObserver:
    """Hear and forget: the default."""

    __slots__ = ()

    def on_operation(self, operation: str, result: str, duration_s: float) -> None:
        """Do nothing."""

    def on_node(self, node: str, event: str) -> None:
        """Do nothing."""


SILENT_CACHE = SilentCacheObserver()
