"""A cluster of its own for a measurement: three primaries, three replicas, without a disk."""

import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from chaos.server_binary import find_server
from kit.errors import LabEnvironmentError
from shard.form import NotFormed, form
from shard.policy.topology import Address

HOST = "127.0.0.1"
NODES = 6
FIRST_PORT = 17_400  # the buses listen 10,000 above, below the ports the kernel gives to clients
BUS_OFFSET = 10_000
FORM_LIMIT_S = 30.0
STOP_LIMIT_S = 5.0


@asynccontextmanager
async def own_cluster(
    first_port: int = FIRST_PORT, fresh: int = 0
) -> AsyncIterator[Sequence[Address]]:
    """Run six nodes, formed, for the length of a with block.

    Args:
        first_port: The others follow it.
        fresh: That many more, which know nobody; the last ones yielded.

    Raises:
        LabEnvironmentError: There is no valkey-server, or the nodes don't come up.
    """
    server = find_server()
    nodes = [Address(HOST, first_port + number) for number in range(NODES + fresh)]
    _require_free(nodes)
    started: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory(prefix="squall-bench-") as folder:
        try:
            started += [_start(server.path, each, Path(folder)) for each in nodes]
            try:
                await form(nodes[:NODES], limit_s=FORM_LIMIT_S)
            except NotFormed as error:
                raise LabEnvironmentError(f"six nodes formed no cluster: {error}") from error
            yield nodes
        finally:
            for process in started:
                process.kill()
                process.wait(STOP_LIMIT_S)


def _require_free(nodes: Sequence[Address]) -> None:
    """Refuse to form a cluster of servers that are somebody else's."""
    for node in nodes:
        for port in (node.port, node.port + BUS_OFFSET):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((node.host, port))
                except OSError as error:
                    raise LabEnvironmentError(
                        f"port {port} is taken ({error.strerror}): --port takes others"
                    ) from error


def _start(path: Path, node: Address, folder: Path) -> subprocess.Popen[bytes]:
    home = folder / str(node.port)
    home.mkdir()
    command = [
        str(path), "--bind", node.host, "--port", str(node.port), "--dir", str(home),
        "--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--save", "",
        "--appendonly", "no",
    ]  # fmt: skip
    return subprocess.Popen(  # noqa: S603 - the server that was looked up
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
