"""Free TCP ports below 32768, where the lab's own servers may listen."""

import os
import socket

FIRST_PORT = 20_000
LAST_PORT = 32_000

_next = FIRST_PORT + (os.getpid() * 97) % (LAST_PORT - FIRST_PORT)


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that nobody listens on now; another one on each call."""
    global _next
    for _ in range(LAST_PORT - FIRST_PORT):
        _next = _next + 1 if _next < LAST_PORT else FIRST_PORT
        with socket.socket() as probe:
            try:
                probe.bind((host, _next))
            except OSError:
                continue
            return _next
    raise RuntimeError(f"no free port between {FIRST_PORT} and {LAST_PORT} on {host}")


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Return that many different free ports."""
    return [free_port(host) for _ in range(count)]
