"""Bind a listening socket, or say in one line why not.

Why: every server of the lab fails the same way when its port is taken, with the port in the
message, and a restarted process must get its port back while old connections linger (SO_REUSEADDR).
SO_REUSEPORT stays off unless it is asked for: two processes on one port would each get half of the
requests, silently.
"""

import errno
import socket
import struct

from kit.errors import LabEnvironmentError

BACKLOG = 1_024  # the kernel cuts it to net.core.somaxconn


def bind(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """Return a socket bound to an address; the server that gets it listens.

    Args:
        host: An address of this machine.
        port: 1..65535.
        shared: Whether other processes of this user may listen there too (SO_REUSEPORT).

    Raises:
        LabEnvironmentError: When the address can't be bound; names it and what to do.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setblocking(False)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise LabEnvironmentError(f"cannot listen on {host}:{port}: {_advice(error)}") from error
    return listener


def is_free(host: str, port: int) -> bool:
    """Return whether a server could listen there now."""
    with socket.socket() as probe:
        # As servers do: a connection that lingers from before is no hindrance, a listener is.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.errno not in (errno.EADDRINUSE, errno.EACCES)
    return True


def reset_on_close(fileno: int) -> None:
    """Make closing this socket a reset (RST) instead of an orderly end (FIN)."""
    # By a duplicate: uvloop's sockets take no options, and the option belongs to the connection.
    with socket.fromfd(fileno, socket.AF_INET, socket.SOCK_STREAM) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _advice(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "the port is taken; stop what listens there or choose another"
    if error.errno == errno.EADDRNOTAVAIL:
        return "this machine doesn't have that address"
    return error.strerror or str(error)
