"""Contender: a proxy that can be measured, where it is found and how it is started.

Why: a comparison is only as fair as its settings. Each contender gets one worker, keep-alive on
both sides and no log of requests; whatever else differs from its defaults is written in its file,
beside the reason. Peers are found, never installed.
Not handled: several workers; a peer in a container.
"""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

HOST = "127.0.0.1"
KEPT_UPSTREAM = 256  # idle connections to the backend a proxy may keep: more than any cell opens
MOST_CONNECTIONS = 8192  # both sides together, of those that want a number


class Place(NamedTuple):
    """Where a proxy runs.

    Args:
        folder: Its own; config and temporary files go there.
        port: It listens on.
        backend_port: It sends everything to, on this machine.
    """

    folder: Path
    port: int
    backend_port: int


class Contender(NamedTuple):
    """One row of the table.

    Args:
        name: What ``--only`` takes.
        what: One line for a reader.
        how_to: How it is installed.
        find: Returns its program, None where it is not installed.
        start: Writes its config into the place; returns the command that runs it.
        is_http2: Whether it speaks HTTP/2 in the clear too, on the same port.
    """

    name: str
    what: str
    how_to: str
    find: Callable[[], Path | None]
    start: Callable[[Path, Place], list[str]]
    is_http2: bool = False


def program(name: str) -> Path | None:
    """Return a program: beside this Python (a wheel brought it), in PATH, or in Debian's sbin."""
    beside = Path(sys.executable).parent / name
    if beside.exists():
        return beside
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    return None if found is None else Path(found)


def module_exists(path: Path) -> bool:
    """Return whether a file of a peer is there; a function, so that a test may say otherwise."""
    return path.exists()
