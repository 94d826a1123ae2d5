"""What the store tells, and where faults may be laid: Protocols that others implement.

``shard`` imports neither metrics nor fault rules: whoever uses it hands them in. Both are called on
the hot path, so they must be quick; an observer must not block and must not raise.
"""

from typing import Protocol

from shard.policy.topology import Address, Topology


class StoreObserver(Protocol):
    """Hear of what the client did."""

    def on_operation(self, operation: str, result: str, duration_s: float) -> None:
        """Note an operation's end.

        Args:
            operation: ``read``, ``write-local`` or ``write-replicated``.
            result: ``ok`` or the reason in UPPER_SNAKE; ``UNKNOWN:`` precedes it where a write
                may have happened.
            duration_s: From the call to its end, retries included.
        """

    def on_connection(self, address: Address, event: str) -> None:
        """Note a connection that was ``connected``, ``failed`` or ``lost``."""

    def on_topology(self, topology: Topology) -> None:
        """Note a new belief about who serves what."""


class SilentStoreObserver:
    """Hear and forget: the default."""

    __slots__ = ()

    def on_operation(self, operation: str, result: str, duration_s: float) -> None:
        """Do nothing."""

    def on_connection(self, address: Address, event: str) -> None:
        """Do nothing."""

    def on_topology(self, topology: Topology) -> None:
        """Do nothing."""


class StoreFaults(Protocol):
    """Interfere with a command before it leaves for a node."""

    async def before_send(self, address: Address) -> str | None:
        """Delay by awaiting; return an error text to be answered in the node's stead, or None.

        The text is as a node would say it, e.g. ``LOADING the dataset is being loaded``.
        """


SILENT = SilentStoreObserver()
