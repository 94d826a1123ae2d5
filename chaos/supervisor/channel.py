"""How commands reach the supervisor or a keeper: JSON lines over a socket in the state folder.

Why: `squall` and the drivers are processes of their own. One line asks, one line answers, and a
connection may ask many times. The socket's folder decides who may (mode 0600), and no port is
taken.
Not handled: commands at the same time on one connection (they queue).
"""

import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kit.errors import ConfigError, LabEnvironmentError

SOCKET_NAME = "supervisor.sock"
DEFAULT_TIMEOUT_S = 60.0  # longer than stopping everything with its grace period
LONGEST_LINE_BYTES = 1_000_000


def listen(folder: Path, name: str = SOCKET_NAME) -> socket.socket:
    """Bind a socket of a state folder, replacing one that a dead process left."""
    (folder / name).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        with _short_path(folder, name) as path:
            listener.bind(path)
    finally:
        os.umask(mask)
    listener.listen()
    return listener


def ask(folder: Path, do: str, *, timeout_s: float = DEFAULT_TIMEOUT_S, **fields: Any) -> Any:
    """Send one command and return its result.

    Args:
        folder: The lab's state folder.
        do: The command, e.g. ``status``.
        timeout_s: How long to wait for the answer.
        fields: The command's arguments.

    Raises:
        ConfigError: The supervisor says the command is wrong, e.g. names nothing that exists.
        LabEnvironmentError: No supervisor answers, or it couldn't carry the command out.
    """
    try:
        answer = exchange(folder, SOCKET_NAME, {"do": do, **fields}, timeout_s)
    except (OSError, ValueError) as error:
        raise LabEnvironmentError(
            f"the lab's supervisor doesn't answer ({error}): make up"
        ) from error
    return result_of(answer)


def result_of(answer: Mapping[str, Any]) -> Any:
    """Return what an answer holds, or raise what it says went wrong.

    Raises:
        ConfigError: The command was wrong.
        LabEnvironmentError: It couldn't be carried out.
    """
    if "error" in answer:
        kind = ConfigError if answer.get("usage") else LabEnvironmentError
        raise kind(str(answer["error"]))
    return answer["result"]


def exchange(
    folder: Path, name: str, request: Mapping[str, Any], timeout_s: float
) -> dict[str, Any]:
    """Send one line over a socket of the folder and return the line that answers.

    Raises:
        OSError: Nobody listens, or no answer comes in time.
        ValueError: The connection ended without a whole answer.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(timeout_s)
        with _short_path(folder, name) as path:
            client.connect(path)
        client.sendall(json.dumps(request).encode() + b"\n")
        with client.makefile("rb") as stream:
            answer = json.loads(stream.readline(LONGEST_LINE_BYTES))
    assert isinstance(answer, dict)
    return answer


@contextmanager
def _short_path(folder: Path, name: str) -> Iterator[str]:
    """Yield a path of the socket that fits the kernel's 107 bytes, however deep the folder lies."""
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{name}"
    finally:
        os.close(descriptor)
