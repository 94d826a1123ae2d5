"""A connection for one caller alone: commands that block, and keys that are watched.

Such a command holds up, or changes, everything behind it on its connection. So it gets one of its
own, lent by ``Nodes`` and given back afterwards; ended instead while something is still on it, by
which the node forgets a caller who has left.
"""

from shard.connection import Connection
from shard.link import Link
from shard.nodes import Nodes
from shard.policy.topology import Address


class OwnConnection:
    """At most one connection, to the node asked for last; ``release`` it in the end.

    Args:
        nodes: Lends it.
    """

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self._link: Link | None = None

    @property
    def connection(self) -> Connection | None:
        """The connection held; None when there is none or it broke."""
        return None if self._link is None else self._link.connection

    @property
    def address(self) -> Address | None:
        """Where it leads."""
        return None if self._link is None else self._link.address

    async def at(self, address: Address, timeout_s: float) -> Connection | None:
        """Return the connection to a node, the one held if it leads there; None: not now."""
        if self._link is not None and self._link.address != address:
            await self.release()
        if self.connection is None:
            await self.release()
            self._link = await self._nodes.lend(address, timeout_s)
        return self.connection

    async def release(self) -> None:
        """Give it back."""
        link, self._link = self._link, None
        if link is not None:
            await self._nodes.give_back(link)

    def drop(self) -> None:
        """End it, with whatever state it has at the node."""
        if self.connection is not None:
            self.connection.close()
