"""Ports for the listeners of link proxies, handed out in turn.

Why: a client may keep dialling a listener that has just closed; a port that comes round again late
belongs to nobody else meanwhile.
"""

import socket

from kit.errors import LabEnvironmentError
from kit.listen import bind

# Below the range from which the kernel takes ports for outgoing connections (32768 and up), as
# Toxiproxy's README advises, and away from everything the lab publishes.
FIRST_PORT = 15_000
LAST_PORT = 15_999


class PortRange:
    """Bind sockets on one address.

    Args:
        host: Address to bind.
        first: Lowest port.
        last: Highest port.
    """

    def __init__(self, host: str, first: int = FIRST_PORT, last: int = LAST_PORT) -> None:
        self._host = host
        self._first = first
        self._last = last
        self._next = first

    def listen(self) -> socket.socket:
        """Return a socket bound to the next free port.

        Raises:
            LabEnvironmentError: When all are taken.
        """
        failure: LabEnvironmentError | None = None
        for _ in range(self._last - self._first + 1):
            port, self._next = self._next, self._next + 1
            if self._next > self._last:
                self._next = self._first
            try:
                return bind(self._host, port)
            except LabEnvironmentError as error:
                failure = error
        raise LabEnvironmentError(
            f"no port from {self._first} to {self._last} is free on {self._host}: {failure}"
        )
