"""The ways round: which addresses this process is to dial through a link proxy just now.

Why: a fault of a link sits in a proxy between client and server, and is in the path only while it
stands. The links process says in its lease which listener stands in for which address
(``Member.via``); everybody else looks up what to dial here, and goes the direct way otherwise.

A way round is believed only while a fault of one of the own links lives by this process's own
clock. So everybody is back on the direct way when the fault ends, also with the links process or
control dead.
Source: design.md, "Control plane": link overrides.
Not handled: how a client moves its connections; each does it as its protocol allows.
"""

from collections.abc import Iterable, Mapping

from kit.members import Member
from kit.state import LabState

Address = tuple[str, int]


class Ways:
    """Look up what to dial; pure.

    Args:
        client: The own service, as links name it.
    """

    def __init__(self, client: str) -> None:
        self._client = client
        self._round: Mapping[Address, Address] = {}

    def __repr__(self) -> str:
        return f"<Ways of {self._client}, {len(self._round)} round>"

    def update(self, members: Iterable[Member], state: LabState) -> bool:
        """Take the newest leases and faults; True when something is to be dialled differently."""
        before = self._round
        links = (rule.link for rule in state.faults)
        is_disturbed = any(link is not None and link.client == self._client for link in links)
        self._round = self._read(members) if is_disturbed else {}
        return self._round != before

    def dial(self, host: str, port: int) -> Address:
        """Return where to connect in order to reach an address; O(1)."""
        return self._round.get((host, port), (host, port))

    def _read(self, members: Iterable[Member]) -> dict[Address, Address]:
        ways = {}
        for member in members:
            for key, value in member.via.items():
                client, _, address = key.partition(">")
                direct, instead = _address(address), _address(value)
                if client == self._client and direct is not None and instead is not None:
                    ways[direct] = instead
        return ways


def _address(text: str) -> Address | None:
    """Read ``host:port``; None for anything else, which a newer lab may have put there."""
    host, _, port = text.rpartition(":")
    return (host, int(port)) if host and port.isdecimal() else None
