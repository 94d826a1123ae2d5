"""Stands in for the target while a source hands keys over by MIGRATE, and answers when it is safe.

MIGRATE deletes what its target has confirmed, and the target confirms alone: killed or cut off
before its replica has heard, it takes the key with it. So the source is given this address instead.
What it sends goes on to the target, and it is answered once the target's replica has it, too. The
source stands still meanwhile: no client sees a key at both nodes, or at neither.

In the same breath copies go whose keys were deleted on the source after they had been copied. Their
places come as the password that MIGRATE may send ahead (AUTH2), behind a word that only the mover
and its script know; who doesn't begin with it is sent away.
Source: valkey: cluster.c, migrateCommand (AUTH, SELECT, then RESTORE-ASKING for each key; a key is
deleted when its reply is no error); design, "Moving a slot must keep that promise".
Not handled: TLS. A source that can't connect to this machine: it speaks to the target itself then.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import cast
from uuid import uuid4

import hiredis

from shard.guard import Guard, TooMuchError
from shard.move.node import NodeLink, NodeTrouble
from shard.move.scripts import DROP
from shard.policy.topology import Address
from shard.resp import Argument

USER = "squall"
PORTS = range(20_000, 30_000)  # below those that a kernel gives to outgoing connections
PORT_ATTEMPTS = 50
MAX_COMMAND_BYTES = 512 << 20  # valkey: proto-max-bulk-len
MAX_STRANGER_BYTES = 1 << 16  # from who hasn't said the word yet
READ_BYTES = 1 << 18
WAIT_TIMEOUT_MS = 300  # the replica's time
TAKE_LIMIT_S = (
    0.4  # since the source was told; it gives up 0.5 s after it has begun, at the earliest
)

_NOT_ENOUGH = object()
_OK = b"+OK\r\n"


@dataclass(slots=True)
class Parcel:
    """What may come for one slot.

    Args:
        target: Where it goes on to; nobody else's until it has come.
        carrier: A key that is sent only so that something is: it goes no further.
        digests: Of each key that was copied, the SHA-1 of its DUMP; the order gives the places.
        sent_s: When the source was told to, monotonic seconds; what comes too late is refused,
            since the source may have given up and spoken to the target itself.
        has_come: Whether the source has been here with it.
    """

    target: NodeLink
    carrier: bytes
    digests: Mapping[bytes, str]
    sent_s: float = field(default_factory=time.monotonic)
    has_come: bool = False


class StrangerError(Exception):
    """Who calls isn't a source with a parcel that is expected; the message goes back to it."""


class Relay:
    """Listens where sources are, as soon as something is expected; ``close`` after it."""

    def __init__(self) -> None:
        self._servers: dict[str, asyncio.Server] = {}
        self._opening = asyncio.Lock()
        self._expected: dict[bytes, Parcel] = {}
        self._unreached: set[Address] = set()
        self._callers: set[asyncio.Task[None]] = set()

    def reaches(self, source: Address) -> bool:
        """Whether a source can connect, as far as is known."""
        return source not in self._unreached

    def set_unreached(self, source: Address) -> None:
        """Remember that a source has tried in vain."""
        self._unreached.add(source)

    async def address(self, host: str) -> Address:
        """Listen at one of this machine's addresses, once, and return where.

        Raises:
            NodeTrouble: No port could be taken.
        """
        async with self._opening:
            if host not in self._servers:
                self._servers[host] = await self._listen(host)
        return Address(host, self._servers[host].sockets[0].getsockname()[1])

    @contextmanager
    def expecting(self, parcel: Parcel) -> Iterator[str]:
        """Hand out the word for a parcel, good for the length of a with block."""
        word = uuid4().hex
        self._expected[word.encode()] = parcel
        try:
            yield word
        finally:
            del self._expected[word.encode()]

    def close(self) -> None:
        """Hear nobody any more, until the next is expected."""
        for server in self._servers.values():
            server.close()
        self._servers.clear()
        for caller in self._callers:
            caller.cancel()

    async def _listen(self, host: str) -> asyncio.Server:
        for port in random.sample(PORTS, PORT_ATTEMPTS):
            with contextlib.suppress(OSError):
                return await asyncio.start_server(self._called, host, port, limit=READ_BYTES)
        raise NodeTrouble(f"of {PORT_ATTEMPTS} ports of {host} none could be listened on")

    def _called(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        caller = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._callers.add(caller)
        caller.add_done_callback(self._callers.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take what comes and answer it, until the source closes or says what it shouldn't."""
        commands, call = _Commands(), _Call(self._expected)
        try:
            while data := await reader.read(READ_BYTES):
                writer.writelines(await call.take(commands.of(data)))
                if call.is_strange(commands.bytes_taken):
                    break
                await writer.drain()
        except StrangerError as error:
            writer.write(b"-ERR %b\r\n" % str(error).encode())
        except (OSError, ValueError, IndexError, TypeError, hiredis.ProtocolError, TooMuchError):
            pass  # it has gone, or says what nobody understands
        finally:
            writer.close()


class _Commands:
    """Cuts what comes into commands."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader(notEnoughData=_NOT_ENOUGH)
        self._guard = Guard(self._reader, MAX_COMMAND_BYTES)
        self.bytes_taken = 0

    def of(self, data: bytes) -> list[object]:
        """Return the commands whose last byte is in the data."""
        self.bytes_taken += len(data)
        found: list[object] = []
        for piece in self._guard.pieces(data):
            self._reader.feed(piece)
            while (command := self._reader.gets()) is not _NOT_ENOUGH:
                found.append(command)
                self._guard.on_reply()
        return found


class _Call:
    """One connection of a source, which keeps it for the next slot."""

    def __init__(self, expected: Mapping[bytes, Parcel]) -> None:
        self._expected = expected
        self._parcel: Parcel | None = None

    def is_strange(self, bytes_taken: int) -> bool:
        """Whether it has sent too much for one who hasn't said the word."""
        return self._parcel is None and bytes_taken > MAX_STRANGER_BYTES

    async def take(self, commands: Sequence[object]) -> list[bytes]:
        """Carry out what came together, all or none; the answers.

        Raises:
            StrangerError: It isn't what MIGRATE sends, or nobody expects it.
        """
        work: list[tuple[Argument, ...]] = []
        for command in commands:
            match command:
                case [b"AUTH", _, bytes(password)]:
                    work += self._opened(password)
                case [b"SELECT", b"0"]:
                    pass
                case [b"RESTORE-ASKING", bytes(key), *_] if self._parcel is not None:
                    if key != self._parcel.carrier:
                        work.append(cast(tuple[Argument, ...], tuple(command)))
                case _:
                    raise StrangerError("only a node that a mover expects is heard here")
        answer = _OK
        if work and self._parcel is not None:
            try:
                await _deliver(self._parcel.target, work)
            except NodeTrouble as error:
                answer = b"-ERR %b\r\n" % str(error).encode().replace(b"\n", b" ")
        return [answer] * len(commands)

    def _opened(self, password: bytes) -> list[tuple[Argument, ...]]:
        """Take the word, and return what to do about the keys that are gone."""
        word, _, places = password.partition(b":")
        parcel = self._parcel = self._expected.get(word)
        if parcel is None:
            raise StrangerError("nobody expects that")
        parcel.has_come = True
        if time.monotonic() - parcel.sent_s > TAKE_LIMIT_S:
            raise StrangerError("that is too late")
        copied = list(parcel.digests.items())
        gone = [copied[int(place)] for place in places.split(b",") if place]
        return [("EVAL", DROP, 1, key, digest) for key, digest in gone]


async def _deliver(target: NodeLink, work: Sequence[tuple[Argument, ...]]) -> None:
    """Have a target and its replica do it.

    Raises:
        NodeTrouble: One of them didn't.
    """
    *_, acknowledged = await target.ask_all([*work, ("WAIT", 1, WAIT_TIMEOUT_MS)], asking=True)
    if not acknowledged:
        raise NodeTrouble(f"{target.address} has no replica in step: a key can't be moved safely")
