"""Read the two errors by which a node sends a client elsewhere: MOVED and ASK.

MOVED: the slot belongs to another node from now on; correct the map and go there. ASK: the slot is
on its way and this key has left already; go there once, announced by ASKING, and keep the map.
Source: Redis Cluster specification, "MOVED Redirection" and "ASK redirection".
"""

from typing import NamedTuple

from hashing.slots import SLOT_COUNT
from shard.policy.topology import LAST_PORT, Address


class Redirect(NamedTuple):
    """Where to go.

    Args:
        slot: Which slot it is about.
        address: The node that serves it.
        asking: True for ASK: once, and after ASKING.
    """

    slot: int
    address: Address
    asking: bool


def parse_redirect(error: str, asked: Address) -> Redirect | None:
    """Read an error such as ``MOVED 3999 127.0.0.1:6381``; None when it isn't a redirection.

    Args:
        error: The text of the error reply.
        asked: The node that answered; it stands in for an empty host ("same host, other port").

    Raises:
        ValueError: When it begins as a redirection and doesn't go on as one.
    """
    kind, _, rest = error.partition(" ")
    if kind not in ("MOVED", "ASK"):
        return None
    slot, _, endpoint = rest.strip().partition(" ")
    host, colon, port = endpoint.rpartition(":")  # from the right: IPv6 has colons of its own
    numbers = slot.isdecimal() and port.isdecimal() and len(slot) <= 5 and len(port) <= 5
    if not (numbers and colon and int(slot) < SLOT_COUNT and 0 < int(port) <= LAST_PORT):
        raise ValueError(f"malformed redirection: {error!r:.80}")
    known = host if host not in ("", "?") else asked.host
    return Redirect(int(slot), Address(known, int(port)), kind == "ASK")
