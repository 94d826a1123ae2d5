"""A store of one's own, to be broken: six valkey processes on this machine, and wires between them.

Why: what is done to a store in order to check it must not be done to somebody's lab, and a check
must be able to stop any process and cut any link, which takes no rights here.
Options as in docker-compose.yml. Addresses are loopback networks of its own, so that a node that
was killed finds its port free. The nodes end with whoever started them, kill -9 included.
Source: ``deploy/store-node.sh`` (a node stays down until the election is over), tests/shard.
Linux only: 127.0.0.0/8 is all loopback there.
"""

import asyncio
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from chaos.parent import die_with_parent
from chaos.server_binary import find_server
from chaos.store.wires import PORTS, Wires
from kit.errors import LabEnvironmentError
from kit.listen import is_free
from shard.check.ending import ask
from shard.form import NotFormed, form
from shard.policy.topology import Address

NODE_COUNT = 6
NODE_TIMEOUT_S = 1.0
REJOIN_DELAY_S = 3.0  # deploy/store-node.sh
SERVE_LIMIT_S = 30.0  # a first start waits for the disk, which others may hold up for seconds
WHOLE_LIMIT_S = 60.0
POLL_S = 0.01
NETWORK, ANNOUNCED = 81, 82  # 127.81.N.1 to .6 listen, 127.82.N.1 to .6 are announced
OPTIONS = (
    "--cluster-enabled", "yes",
    "--cluster-node-timeout", "1000",
    "--cluster-require-full-coverage", "no",
    "--repl-diskless-sync-delay", "0",
    "--appendonly", "yes",
    "--appendfsync", "everysec",
    "--save", "",
    "--loglevel", "warning",
)  # fmt: skip


class OwnStore:
    """Six nodes by number, 0 to 5; ``start_store`` makes one.

    Args:
        program: The valkey-server to run.
        root: A folder for all nodes' files.
        network: The third part of their addresses.
    """

    def __init__(self, program: Path, root: Path, network: int) -> None:
        self._program = program
        self._root = root
        self.hosts = [f"127.{NETWORK}.{network}.{n + 1}" for n in range(NODE_COUNT)]
        self._announced = [f"127.{ANNOUNCED}.{network}.{n + 1}" for n in range(NODE_COUNT)]
        self.wires = Wires(dict(zip(self._announced, self.hosts, strict=True)))
        self.processes: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def addresses(self) -> list[Address]:
        """Where nodes listen, behind the wires."""
        return [Address(host, PORTS[0]) for host in self.hosts]

    @property
    def seeds(self) -> list[Address]:
        """What nodes announce, and clients are told."""
        return [Address(host, PORTS[0]) for host in self._announced]

    def dial(self, address: Address) -> Address:
        """Lead a client past the wires: a cut is between nodes."""
        if address.host not in self._announced:
            return address
        return Address(self.hosts[self._announced.index(address.host)], address.port)

    async def start(self, number: int) -> None:
        """Start a node, from its files if it has any, and wait until it serves.

        Raises:
            LabEnvironmentError: It ends, or doesn't within 30 s; with what it said last.
        """
        self.processes[number] = self._launch(number)
        await self._wait_served(number)

    def kill(self, number: int) -> None:
        """End a node as kill -9 does."""
        self.processes[number].kill()
        self.processes[number].wait()

    def pause(self, number: int) -> None:
        """Stop a node's process without ending it."""
        self.processes[number].send_signal(signal.SIGSTOP)

    def resume(self, number: int) -> None:
        """Let it go on."""
        self.processes[number].send_signal(signal.SIGCONT)

    def state(self, number: int) -> str:
        """Return what the kernel says of a node: ``running``, ``stopped`` or ``dead``."""
        process = self.processes[number]
        if process.poll() is not None:
            return "dead"
        stat = Path(f"/proc/{process.pid}/stat").read_text()
        return "stopped" if stat.rpartition(")")[2].split()[0] == "T" else "running"

    async def whole(self, limit_s: float = WHOLE_LIMIT_S) -> None:
        """Form the cluster, or wait until it is one again, every replica in step.

        Raises:
            LabEnvironmentError: It isn't within the limit; names what is missing.
        """
        try:
            await form(self.seeds, limit_s=limit_s)
        except NotFormed as error:
            raise LabEnvironmentError(
                f"the store is not whole after {limit_s:g} s: {error}"
            ) from error

    def stop(self) -> None:
        """End every node."""
        self.wires.close()
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait()

    def _launch(self, number: int) -> subprocess.Popen[bytes]:
        log = self._log(number)
        log.parent.mkdir(exist_ok=True)
        host = self.hosts[number]
        with log.open("ab") as said:
            return subprocess.Popen(  # noqa: S603 - the program is the one we found
                [
                    self._program, "--bind", host, "--bind-source-addr", host,
                    "--port", str(PORTS[0]), "--dir", str(log.parent),
                    "--cluster-announce-ip", self._announced[number], *OPTIONS,
                ],
                stdout=said,
                stderr=said,
                preexec_fn=die_with_parent,
            )  # fmt: skip

    def _log(self, number: int) -> Path:
        return self._root / str(number) / "valkey.log"

    async def _wait_served(self, number: int) -> None:
        until_s = time.monotonic() + SERVE_LIMIT_S
        while time.monotonic() < until_s and self.processes[number].poll() is None:
            try:
                (answer,) = await ask(self.addresses[number], ("PING",))
            except OSError:
                answer = None
            if answer == b"PONG":
                return
            await asyncio.sleep(POLL_S)
        code = self.processes[number].poll()
        how = f"did not serve within {SERVE_LIMIT_S:g} s" if code is None else f"ended with {code}"
        words = self._log(number).read_text(errors="replace").splitlines()[-1:]
        raise LabEnvironmentError(
            f"valkey-server at {self.addresses[number]} {how}; its last words: {' '.join(words)!r}"
        )


@asynccontextmanager
async def start_store() -> AsyncIterator[OwnStore]:
    """Run a store for the length of an ``async with``; its files go with it.

    Raises:
        LabEnvironmentError: No server to run, no free network, or the cluster doesn't form.
    """
    program = find_server().path
    with tempfile.TemporaryDirectory(prefix="squall-check-") as root:
        store = OwnStore(program, Path(root), _free_network())
        try:
            await store.wires.open()
            for number in range(NODE_COUNT):
                await store.start(number)
            await store.whole()
            yield store
        finally:
            store.stop()


def _free_network() -> int:
    """Find a number N so that nobody listens in 127.81.N.0 and 127.82.N.0."""
    for attempt in range(250):
        network = (os.getpid() + attempt) % 250
        hosts = [f"127.{each}.{network}.{n + 1}" for each in (NETWORK, ANNOUNCED)
                 for n in range(NODE_COUNT)]  # fmt: skip
        if all(is_free(host, port) for host in hosts for port in PORTS):
            return network
    raise LabEnvironmentError(f"every network 127.{NETWORK}.0 to 127.{NETWORK}.249 is taken")
