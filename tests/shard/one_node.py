"""A fake node that owns every slot and answers by a script, with a client of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

from shard.policy.topology import Address
from shard.store import StoreClient
from tests.shard.fake import FakeNode, bulk, echo, fake_node


def whole_cluster(address: Address) -> bytes:
    """Say as CLUSTER SHARDS that one node owns everything."""
    host = bulk(address.host.encode())
    node = (
        b"*8\r\n" + bulk(b"port") + b":%d\r\n" % address.port + bulk(b"endpoint") + host
        + bulk(b"role") + bulk(b"master") + bulk(b"health") + bulk(b"online")
    )  # fmt: skip
    slots = bulk(b"slots") + b"*2\r\n:0\r\n:16383\r\n"
    return b"*1\r\n*4\r\n" + slots + bulk(b"nodes") + b"*1\r\n" + node


class Answers:
    """A node that owns every slot and gives its data commands the answers of a script."""

    def __init__(self, *script: bytes | None) -> None:
        self.script = list(script)
        self.owner: Address | None = None
        self.seen: list[list[bytes]] = []

    def __call__(self, command: list[bytes]) -> bytes | None:
        if command[0] == b"CLUSTER":
            assert self.owner is not None
            return whole_cluster(self.owner)
        if command[0] in (b"PING", b"WAIT"):
            return echo(command)
        self.seen.append(command)
        return self.script.pop(0) if self.script else echo(command)


@asynccontextmanager
async def serving(
    *script: bytes | None, **options: object
) -> AsyncIterator[tuple[StoreClient, FakeNode, Answers]]:
    """Run one such node and a client of it."""
    answers = Answers(*script)
    async with fake_node(answers) as node:
        answers.owner = node.address
        client = StoreClient([node.address], rng=Random(1), **options)  # type: ignore[arg-type]
        await client.connect()
        try:
            yield client, node, answers
        finally:
            await client.close()
