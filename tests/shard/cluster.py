"""A real cluster that tests may break: kill, pause and bring back nodes, move slots by hand."""

import signal
from pathlib import Path

from hashing.slots import slot_of
from shard.policy.topology import Address
from tests.valkey import Valkey, launch

OPTIONS = (
    "--cluster-enabled", "yes",
    "--cluster-node-timeout", "1000",
    "--cluster-require-full-coverage", "no",
    "--appendonly", "yes",
)  # fmt: skip


class StoreCluster:
    """Six nodes; the list is the one whose owner stops what is in it at the end."""

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
        if empty:
            _clear(old.folder)
        options = (*OPTIONS, *(("--cluster-announce-ip", host) if host else ()))
        where = host or old.host
        self.nodes[number] = launch(old.port, *options, host=where, folder=old.folder)
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
        """Move an empty slot: the target claims it first, as the specification wants."""
        target_id = self.node_id(target)
        for address in (target, source):
            self.nodes[self.at(address)].cli("CLUSTER", "SETSLOT", str(slot), "NODE", target_id)


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
