"""What is asked when everything is whole again: every key, every owner, and who holds what."""

import asyncio
import time
from collections.abc import Sequence

from resilience.errors import ServiceError
from shard.check.events import Found, Slots
from shard.check.recorder import Recorder
from shard.check.workload import Keys, number_in
from shard.connection import Connection, Limits
from shard.policy.assignment import ranges
from shard.policy.topology import Address
from shard.policy.view import Row, parse_row
from shard.resp import Answer, Argument, pack
from shard.store import StoreClient

LIMITS = Limits(connect_timeout_s=0.5, reply_timeout_s=5.0)
FINAL_LIMIT_S = 10.0
RETRY_S = 0.05
SCAN_COUNT = 1000


class NotAsked(Exception):
    """A key or a node gave no answer; the message says which."""


async def ask(address: Address, *commands: tuple[Argument, ...]) -> list[Answer]:
    """Ask one node by itself; a Failure or None stands for no answer.

    Raises:
        OSError: Nobody listens there, or not in time.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(LIMITS.connect_timeout_s):
        _, connection = await loop.create_connection(lambda: Connection(LIMITS), *address)
    try:
        deadline_s = time.monotonic() + LIMITS.reply_timeout_s
        return [await connection.send(pack(each), deadline_s) for each in commands]
    finally:
        connection.close()


async def role_of(address: Address) -> Row | None:
    """Return a node's own line of CLUSTER NODES; None when it doesn't say it."""
    try:
        (text,) = await ask(address, ("CLUSTER", "NODES"))
    except OSError:
        return None
    if not isinstance(text, bytes):
        return None
    rows = map(parse_row, text.decode().splitlines())
    return next((row for row in rows if row is not None and "myself" in row.flags), None)


async def record_end(
    store: StoreClient, nodes: Sequence[Address], keys: Keys, prefix: str, recorder: Recorder
) -> None:
    """Write down every key's value, and each primary's slots and keys.

    Raises:
        NotAsked: Somebody doesn't answer within 10 s.
    """
    for key in keys.registers:
        recorder.final(key, number_in(await _read(store, "GET", key)))
    for key in keys.sets:
        recorder.final(key, _elements(await _read(store, "SMEMBERS", key)))
    for key in keys.counters:
        recorder.final(key, number_in(await _read(store, "GET", key)))
    for address in nodes:
        await _record_node(address, prefix, recorder)
    recorder.finish()


async def _read(store: StoreClient, *command: str) -> object:
    until_s = time.monotonic() + FINAL_LIMIT_S
    while True:
        try:
            return await store.read(*command)
        except ServiceError as error:
            if time.monotonic() >= until_s:
                raise NotAsked(f"{command[1]} gives no answer: {error}") from error
            await asyncio.sleep(RETRY_S)


async def _record_node(address: Address, prefix: str, recorder: Recorder) -> None:
    row = await role_of(address)
    if row is None:
        raise NotAsked(f"{address} does not say which slots it owns")
    if row.is_replica:
        return
    recorder.owner(str(address), slots_of(row))
    recorder.holds(str(address), sorted(await _keys_at(address, prefix)))


async def _keys_at(address: Address, prefix: str) -> set[str]:
    found: set[str] = set()
    cursor: Argument = 0
    while True:
        (reply,) = await ask(address, ("SCAN", cursor, "MATCH", f"{prefix}*", "COUNT", SCAN_COUNT))
        if not isinstance(reply, list) or len(reply) != 2:
            raise NotAsked(f"{address} does not say which keys it holds: {reply!r:.80}")
        found.update(key.decode() for key in reply[1])
        cursor = reply[0]
        if cursor == b"0":
            return found


def slots_of(row: Row) -> Slots:
    """Return what a node owns, as bounds."""
    return tuple((first, last) for first, last in ranges(row.slots))


def _elements(reply: object) -> Found:
    return tuple(sorted(map(int, reply))) if isinstance(reply, list | set) else ()
