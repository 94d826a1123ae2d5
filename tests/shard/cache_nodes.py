"""Three cache nodes on real servers that a test may kill, freeze and start again."""

import asyncio
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from shard.cache import CacheClient, Hit, Miss
from shard.policy.coherence import STALE_BOUND_S
from tests.ports import free_port
from tests.shard.fake import until
from tests.valkey import Valkey, launch


class CacheNodes:
    """Servers by the name that clients give them."""

    def __init__(self, folder: Path, count: int = 3) -> None:
        self.names = [f"cache-{number}" for number in range(1, count + 1)]
        self._folder = folder
        self.addresses = [("127.0.0.1", free_port()) for _ in self.names]
        self.servers: dict[str, Valkey] = {}
        for name in self.names:
            (folder / name).mkdir()
            self.start(name)

    def start(self, name: str) -> None:
        """Start a node where it was."""
        host, port = self.addresses[self.names.index(name)]
        self.servers[name] = launch(port, host=host, folder=self._folder / name)

    def kill(self, name: str) -> None:
        """Kill a node."""
        self.servers[name].stop()

    def freeze(self, name: str) -> None:
        """Stop a node: its kernel still takes what is sent."""
        self.servers[name].process.send_signal(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """Let it go on."""
        self.servers[name].process.send_signal(signal.SIGCONT)

    def mend(self) -> None:
        """Have every node run again, empty."""
        for name, server in self.servers.items():
            if server.process.poll() is None:
                self.thaw(name)
                server.cli("FLUSHALL")
            else:
                (self._folder / name / "dump.rdb").unlink(missing_ok=True)
                self.start(name)

    def stop(self) -> None:
        """End all."""
        for server in self.servers.values():
            server.stop()


@contextmanager
def start_cache_nodes() -> Iterator[CacheNodes]:
    """Run three nodes for the length of a with block."""
    with tempfile.TemporaryDirectory(prefix="squall-cache-") as folder:
        nodes = CacheNodes(Path(folder))
        try:
            yield nodes
        finally:
            nodes.stop()


def node_of(client: CacheClient, name: str) -> Mapping[str, object]:
    """Return what a client says of one node."""
    nodes = client.snapshot()["nodes"]
    assert isinstance(nodes, dict)
    node = nodes[name]
    assert isinstance(node, dict)
    return node


async def until_state(client: CacheClient, name: str, state: str, limit_s: float = 15.0) -> None:
    """Wait until a client sees a node so."""
    await until(lambda: node_of(client, name)["state"] == state, limit_s)


async def until_up(client: CacheClient) -> None:
    """Wait until a client reads from every node."""
    nodes = client.snapshot()["nodes"]
    assert isinstance(nodes, dict)
    for name in nodes:
        await until_state(client, name, "up")


async def missed(client: CacheClient, key: str) -> Miss:
    """Read a key that isn't there, once a node can say so."""
    answer: Hit | Miss = Miss(None)
    async for answer in _answers(client, key):
        if isinstance(answer, Hit) or answer.token is not None:
            break
    assert isinstance(answer, Miss), answer
    return answer


async def found(client: CacheClient, key: str) -> Hit:
    """Read a key that is there; on a busy machine a single get may be late."""
    async for answer in _answers(client, key):
        if isinstance(answer, Hit):
            return answer
    raise AssertionError(f"{key} is nowhere")


async def put(client: CacheClient, key: str, value: bytes, ttl_s: float = STALE_BOUND_S) -> str:
    """Fill a key that isn't there; return the node it is on."""
    async for answer in _answers(client, key):
        if isinstance(answer, Hit):  # a fill whose answer was late
            assert answer.value == value
            place = client._placement.place(key, time.monotonic())
            if place is not None:
                return place.node.name
        elif answer.token is not None and await client.fill(answer, key, value, ttl_s):
            return answer.token.node
    raise AssertionError(f"{key} can't be stored")


async def _answers(client: CacheClient, key: str) -> AsyncIterator[Hit | Miss]:
    """Ask for a key again and again, for as long as a test may wait."""
    end_s = time.monotonic() + 15.0
    while time.monotonic() < end_s:
        yield await client.get(key)
        await asyncio.sleep(0.002)
