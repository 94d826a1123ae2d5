"""A tiny lab of stand-ins, in a folder of its own, for tests of the supervisor and its driver."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from chaos.lab import Lab, LabPorts
from chaos.supervisor.launch import end_supervisor, find_supervisor, start_supervisor
from tests.ports import free_port

WAIT_LIMIT_S = 20.0
NETWORK = "127.77.9"

# Answers with its name and its environment's word for as long as it lives; ends well on SIGTERM.
SERVE = """\
import os, signal, socket, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("serving", os.environ["NAME"], flush=True)
with socket.create_server((os.environ["NAME"].split("/")[0], int(sys.argv[1]))) as server:
    while True:
        client, _ = server.accept()
        with client:
            client.sendall(os.environ["NAME"].encode())
"""
STUBBORN = """\
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
while True:
    signal.pause()
"""
# A shell whose child burns a core.
BUSY = """
  busy: {command: [sh, -c, "echo busy; while :; do :; done & wait"], restart: unless-stopped}
"""


def write_lab(root: Path, port: int, inner: int, *, busy: bool = False) -> None:
    """Write the compose file and the stand-ins' code."""
    (root / "serve.py").write_text(SERVE)
    (root / "stubborn.py").write_text(STUBBORN)
    (root / "docker-compose.yml").write_text(f"""\
services:
  web:
    command: [python, serve.py, "{inner}"]
    environment: {{NAME: "${{self_host:-}}/${{self_replica:-}}"}}
    deploy: {{replicas: 2}}
    restart: unless-stopped
    ports: ["127.0.0.1:{port}:{inner}"]
  stubborn: {{command: [python, stubborn.py], restart: unless-stopped, stop_grace_period: 1s}}
  once: {{command: [python, -c, "print('once')"], restart: on-failure}}
  fails: {{command: [python, -c, "print('no'); raise SystemExit(7)"], restart: "no"}}
{BUSY if busy else ""}""")


@contextmanager
def running_lab(root: Path, *, busy: bool = False) -> Iterator[tuple[Lab, int]]:
    """Run the tiny lab under a real supervisor; yields it and its published port.

    Args:
        root: Its folder.
        busy: Whether one more service burns a core.
    """
    port, inner = free_port(), free_port(f"{NETWORK}.1")
    root.mkdir(exist_ok=True)
    write_lab(root, port, inner, busy=busy)
    lab = Lab(root, "processes", LabPorts(port, free_port(), 1, 1), NETWORK)
    lab.save()
    start_supervisor(root, lab.state_folder)
    try:
        yield lab, port
    finally:
        end_supervisor(lab.state_folder)


def wait_for(what: str, condition: Callable[[], bool]) -> None:
    """Poll until a condition holds, for at most 20 s."""
    until_s = time.monotonic() + WAIT_LIMIT_S
    while not condition():
        assert time.monotonic() < until_s, f"not within {WAIT_LIMIT_S} s: {what}"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Return whether a process exists and isn't a zombie."""
    with suppress(OSError):
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    return False


def kill_supervisor(lab: Lab) -> None:
    """End the supervisor as the kernel would: with no chance to clean up."""
    pid = find_supervisor(lab.state_folder)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
