"""How a service's clients of store and cache find their way: as the registry says now.

Why: neither client knows of the control plane (``shard`` stands alone), so who runs them hands in
where to connect, and tells them when that has changed.
"""

from kit.directory import Directory
from shard.link import Dial
from shard.policy.topology import Address


def dial_of(directory: Directory) -> Dial:
    """Return where to connect for a node's address: there, or round through the links process.

    Whoever uses it calls ``redial`` of the client on each ``directory.on_dial_change``.
    """

    def dial(address: Address) -> Address:
        """Look it up; O(1)."""
        return Address(*directory.dial(address.host, address.port))

    return dial
