"""Load: callers that never pause, nine reads to a write, and what they cost the client's process.

Closed loop on purpose: the question is what an operation costs a client, not how a store behaves
under overload. CPU is the whole process's, threads that a package starts included, so a client in
another language pays for its own; the callers themselves, the same for everyone, are in it too.
"""

import asyncio
from collections.abc import Sequence
from time import monotonic, process_time_ns
from typing import NamedTuple

from bench.clients.contenders import Client

LEVELS = (1, 64, 512)  # issue 6: concurrency
WRITE_EVERY = 10  # 90 % GET, 10 % SET
VALUE_BYTES = 100
KEYS = tuple(f"squall-bench:{number}" for number in range(1009))  # a prime: none is only written
WARM_UP_S = 0.2  # connections, caches, the peers' pools

_STRIDE = 7919  # each caller walks all keys, from a place of its own
_VALUE = b"v" * VALUE_BYTES


class Spent(NamedTuple):
    """What a client did in one sample.

    Args:
        ops_s: Operations per second of wall time.
        cpu_us: CPU microseconds per operation.
    """

    ops_s: float
    cpu_us: float


async def fill(client: Client) -> None:
    """Write every key once."""
    for key in KEYS:
        await client.set(key, _VALUE)


async def load(client: Client, callers: int, seconds: float) -> Spent:
    """Let so many callers use a client at once."""
    await _run(client, callers, WARM_UP_S)
    began_s, began_ns = monotonic(), process_time_ns()
    done = await _run(client, callers, seconds)
    spent_s, spent_ns = monotonic() - began_s, process_time_ns() - began_ns
    return Spent(done / spent_s, spent_ns / 1000 / done)


async def _run(client: Client, callers: int, seconds: float) -> int:
    ends_s = monotonic() + seconds
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_call(client, each, ends_s)) for each in range(callers)]
    return sum(task.result() for task in tasks)


async def _call(client: Client, number: int, ends_s: float) -> int:
    get, put, keys, done = client.get, client.set, KEYS, 0
    at, count = number * _STRIDE, len(KEYS)
    while monotonic() < ends_s:
        at += _STRIDE
        key = keys[at % count]
        done += 1
        if done % WRITE_EVERY:
            await get(key)
        else:
            await put(key, _VALUE)
    return done


def order_of(round_number: int, names: Sequence[str]) -> list[tuple[str, int]]:
    """Return a round's cells: each level for everyone in turn, each round begun by another one."""
    first = round_number % len(names)
    turned = [*names[first:], *names[:first]]
    return [(name, callers) for callers in LEVELS for name in turned]
