"""Measure the clients: all connected to one cluster, taking turns."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from bench.clients.contenders import CONTENDERS, OURS, Client
from bench.clients.load import KEYS, LEVELS, Spent, fill, load, order_of
from shard.policy.topology import Address
from shard.store import StoreClient

Progress = Callable[[str], None]


class Measured(NamedTuple):
    """A run.

    Args:
        samples: By client and callers, one for each round.
        versions: Of the clients measured.
        absent: Clients that weren't, and why.
    """

    samples: Mapping[tuple[str, int], Sequence[Spent]]
    versions: Mapping[str, str]
    absent: Mapping[str, str]


async def measure(
    nodes: Sequence[Address], rounds: int, seconds: float, report: Progress
) -> Measured:
    """Let every client that is installed do the same, round by round.

    Args:
        nodes: Of a cluster that serves; its keys ``squall-bench:*`` are overwritten and deleted.
        rounds: >= 1.
        seconds: Of each sample, > 0.
        report: Told each sample.
    """
    samples: dict[tuple[str, int], list[Spent]] = {}
    async with _clients(nodes) as (clients, absent):
        await fill(clients[OURS])
        for number in range(rounds):
            for name, callers in order_of(number, list(clients)):
                spent = await load(clients[name], callers, seconds)
                samples.setdefault((name, callers), []).append(spent)
                report(f"round {number + 1} of {rounds}: {name} at {callers}: {_told(spent)}")
    await _clean(nodes)
    named = {name: CONTENDERS[name].version or "" for name in clients}
    return Measured(samples, named, absent)


@asynccontextmanager
async def _clients(
    nodes: Sequence[Address],
) -> AsyncIterator[tuple[Mapping[str, Client], Mapping[str, str]]]:
    clients: dict[str, Client] = {}
    absent: dict[str, str] = {}
    try:
        for name, contender in CONTENDERS.items():
            if contender.version is None:
                absent[name] = f"not installed: pip install {contender.package}"
            else:
                clients[name] = await contender.open(nodes, max(LEVELS))
        yield clients, absent
    finally:
        for client in reversed(list(clients.values())):
            await client.close()


async def _clean(nodes: Sequence[Address]) -> None:
    store = StoreClient(nodes)
    await store.connect()
    await store.delete(*KEYS)
    await store.close()


def _told(spent: Spent) -> str:
    return f"{spent.ops_s:,.0f}/s, {spent.cpu_us:.1f} µs"
