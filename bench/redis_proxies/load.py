"""Load of a Redis proxy: pipelines whose answers are known to the byte, so counting them is cheap.

90 % GET and 10 % SET of 100-byte values, over keys that are there already. Every answer's length is
known beforehand, so this side only adds up bytes: what runs beside a proxy on two cores must cost
little. An error would have another length: a run whose bytes don't come out even is refused.
Source: redis-benchmark's ``-P`` (commands in one write) and ``-c`` (connections).
Not handled: latency: cost is what is compared.
"""

import asyncio
import random
from collections.abc import Sequence
from itertools import cycle
from typing import NamedTuple, cast

from shard.policy.topology import Address
from shard.resp import pack

VALUE = b"v" * 100
KEYS = tuple(f"squall-bench:{number}" for number in range(1000))
CONNECTIONS = 50  # redis-benchmark's default
BATCHES = 64  # different ones, gone through in turn
SET_EVERY = 10
STALL_S = 5.0

_GOT, _SET = len(b"$100\r\n") + len(VALUE) + 2, len(b"+OK\r\n")


class Batch(NamedTuple):
    """One write of a client.

    Args:
        payload: Its commands.
        answer_bytes: What all its answers are together.
    """

    payload: bytes
    answer_bytes: int


class LoadError(RuntimeError):
    """The proxy's answers aren't those of the commands."""


def batches(pipeline: int, seed: int) -> Sequence[Batch]:
    """Make the writes of one client."""
    rng = random.Random(seed)
    made = []
    for _ in range(BATCHES):
        sets = [rng.randrange(SET_EVERY) == 0 for _ in range(pipeline)]
        commands = [
            pack(("SET", rng.choice(KEYS), VALUE) if is_set else ("GET", rng.choice(KEYS)))
            for is_set in sets
        ]
        answers = sum(_SET if is_set else _GOT for is_set in sets)
        made.append(Batch(b"".join(commands), answers))
    return made


class _Client(asyncio.Protocol):
    """Writes a batch, waits for as many bytes as its answers have, writes the next."""

    def __init__(self, pipeline: int, seed: int) -> None:
        self.done = 0  # commands answered
        self.received = 0  # bytes
        self.wrong = ""
        self._pipeline = pipeline
        self._next = cycle(batches(pipeline, seed)).__next__
        self._due = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._write()

    def data_received(self, data: bytes) -> None:
        if data[:1] == b"-":
            self.wrong = data[:200].decode("utf-8", "replace")
        self.received += len(data)
        self._due -= len(data)
        if self._due < 0:
            self.wrong = self.wrong or f"{-self._due} bytes more than the answers have"
        elif self._due == 0:
            self.done += self._pipeline
            self._write()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def stop(self) -> None:
        """Close."""
        if self._transport is not None:
            self._transport.abort()

    def _write(self) -> None:
        assert self._transport is not None
        batch = self._next()
        self._due = batch.answer_bytes
        self._transport.write(batch.payload)


class Crowd:
    """Clients of one proxy.

    Args:
        where: It listens.
        pipeline: Commands in one write.
        connections: How many clients.
    """

    def __init__(self, where: Address, pipeline: int, connections: int = CONNECTIONS) -> None:
        self._where = where
        self._clients = [_Client(pipeline, seed) for seed in range(connections)]

    @property
    def done(self) -> int:
        """Commands answered."""
        return sum(each.done for each in self._clients)

    @property
    def received(self) -> int:
        """Bytes answered."""
        return sum(each.received for each in self._clients)

    async def begin(self) -> None:
        """Connect them all; they write at once."""
        loop = asyncio.get_running_loop()
        for client in self._clients:
            await loop.create_connection(lambda one=client: one, *self._where)  # type: ignore[misc]

    def end(self) -> None:
        """Close them.

        Raises:
            LoadError: An answer was wrong, or nothing came back.
        """
        for client in self._clients:
            client.stop()
        wrong = next((each.wrong for each in self._clients if each.wrong), "")
        if wrong or not self.done:
            raise LoadError(f"{self._where}: {wrong or 'no answers'}")


async def fill(where: Address) -> None:
    """Write every key once.

    Raises:
        LoadError: One wasn't taken.
    """
    reader, writer = await asyncio.open_connection(*where)
    writer.write(b"".join(pack(("SET", key, VALUE)) for key in KEYS))
    async with asyncio.timeout(STALL_S):
        answer = await reader.readexactly(_SET * len(KEYS))
    writer.close()
    if answer != b"+OK\r\n" * len(KEYS):
        raise LoadError(f"{where}: {answer[:100]!r}")
