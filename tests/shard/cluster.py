"""A real cluster that tests may break: kill, pause and bring back nodes, move slots by hand.

Each cluster has loopback addresses of its own instead of ports, so that a port freed by a killed
node can't be taken by another test run before the node is back.
"""

import asyncio
import os
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hashing.slots import slot_of
from shard.policy.topology import Address
from shard.store import Durability, StoreClient, WriteStatus
from tests.valkey import Valkey, launch

NODE_COUNT = 6
PORT = 6379  # its bus listens 10,000 above
OPTIONS = (
    "--cluster-enabled", "yes",
    "--cluster-node-timeout", "1000",
    "--cluster-require-full-coverage", "no",
    "--appendonly", "yes",
)  # fmt: skip


@contextmanager
def start_cluster() -> Iterator["StoreCluster"]:
    """Run six empty nodes at free addresses for the length of a with block."""
    network = free_network(78)
    with tempfile.TemporaryDirectory(prefix="squall-cluster-") as root:
        cluster = StoreCluster([])
        try:
            for number in range(NODE_COUNT):
                folder = Path(root) / str(number)
                folder.mkdir()
                cluster.nodes.append(launch_node(f"{network}.{number + 1}", folder))
            yield cluster
        finally:
            for node in cluster.nodes:
                node.stop()


def launch_node(host: str, folder: Path) -> Valkey:
    """Start a node; its address is announced, since its own connections come from 127.0.0.1."""
    node = launch(PORT, *OPTIONS, "--cluster-announce-ip", host, host=host, folder=folder)
    assert node.process.poll() is None, f"{host}:{PORT} belongs to another server"
    return node


def free_network(second: int) -> str:
    """Find a loopback network 127.second.N in which nobody listens on a node's ports."""
    for attempt in range(250):
        network = f"127.{second}.{(os.getpid() + attempt) % 250}"
        try:
            for number in range(NODE_COUNT):
                for port in (PORT, PORT + 10_000):
                    with socket.socket() as probe:
                        probe.bind((f"{network}.{number + 1}", port))
        except OSError:
            continue
        return network
    raise RuntimeError(f"every network 127.{second}.0 to 127.{second}.249 is taken")


class StoreCluster:
    """The nodes, and what a test did to them."""

    def __init__(self, nodes: list[Valkey]) -> None:
        self.nodes = nodes
        self._down: set[int] = set()
        self._paused: set[int] = set()

    @property
    def addresses(self) -> list[Address]:
        """Where the nodes listen, in order."""
        return [Address(node.host, node.port) for node in self.nodes]

    @property
    def seeds_text(self) -> str:
        """The same as SQUALL_STORE takes it."""
        return ",".join(map(str, self.addresses))

    def at(self, address: Address) -> int:
        """Return the number of the node at an address."""
        return self.addresses.index(address)

    def kill(self, number: int) -> None:
        """End a node as kill -9 does."""
        self.nodes[number].process.kill()
        self.nodes[number].process.wait(timeout=10)
        self._down.add(number)

    def start(self, number: int, *, host: str | None = None, empty: bool = False) -> None:
        """Bring a node back, from its files or without them, at its address or at another."""
        old = self.nodes[number]
        assert old.process.poll() is not None, f"{old.host} runs already"
        if empty:
            _clear(old.folder)
        self.nodes[number] = launch_node(host or old.host, old.folder)
        self._down.discard(number)

    def pause(self, number: int) -> None:
        """Stop a node's process without ending it."""
        self.nodes[number].process.send_signal(signal.SIGSTOP)
        self._paused.add(number)

    def resume(self, number: int) -> None:
        """Let it go on."""
        self.nodes[number].process.send_signal(signal.SIGCONT)
        self._paused.discard(number)

    def mend(self) -> None:
        """Bring back and resume whatever a test left down."""
        for number in list(self._paused):
            self.resume(number)
        for number in list(self._down):
            self.start(number)

    def node_id(self, address: Address) -> str:
        """Return a node's own id."""
        return self.nodes[self.at(address)].cli("CLUSTER", "MYID")

    def hand_over(self, slot: int, source: Address, target: Address) -> None:
        """Move an empty slot: the target claims it first, as the specification wants.

        Only a target that was importing it takes a newer epoch. Without one, a heartbeat that the
        source had sent before takes the slot back, and then each names the other as its owner.
        """
        target_id, source_id = self.node_id(target), self.node_id(source)
        at_source, at_target = self.nodes[self.at(source)], self.nodes[self.at(target)]
        at_target.cli("CLUSTER", "SETSLOT", str(slot), "IMPORTING", source_id)
        at_source.cli("CLUSTER", "SETSLOT", str(slot), "MIGRATING", target_id)
        for node in (at_target, at_source):
            node.cli("CLUSTER", "SETSLOT", str(slot), "NODE", target_id)


def _clear(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file():
            path.unlink()
        else:
            path.rmdir()


def key_in(slots: set[int], prefix: str = "key") -> str:
    """Find a key whose slot is one of those."""
    return next(
        key for key in (f"{prefix}:{n}" for n in range(200_000)) if slot_of(key.encode()) in slots
    )


async def first_good(
    store: StoreClient, *command: str | bytes, durability: Durability, limit_s: float
) -> float:
    """Repeat a write until it is acknowledged; return the seconds that took."""
    began_s = time.monotonic()
    while time.monotonic() - began_s < limit_s:
        if (await store.write(*command, durability=durability)).status is WriteStatus.ACKNOWLEDGED:
            return time.monotonic() - began_s
        await asyncio.sleep(0.02)
    raise AssertionError(f"no {durability.value} write within {limit_s} s")
