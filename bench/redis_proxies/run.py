"""Measure the proxies: all started once, then rounds in which they take turns.

What counts is the CPU time of a proxy's process, all its threads, per command. The order is
shuffled in every round, by a seed; the load runs in this process.
Source: /proc/PID/task/*/schedstat: nanoseconds on a CPU.
"""

import asyncio
import random
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from bench.limiters.processes import Process, last_words, running
from bench.proxies.contender import HOST
from bench.redis_proxies.contenders import CACHE, CONTENDERS, STORE, Contender, Place
from bench.redis_proxies.load import Crowd, LoadError, fill
from chaos.server_binary import find_server
from kit.errors import LabEnvironmentError
from shard.policy.topology import Address

PIPELINES = (1, 16)
SEED = 20_261_123
WARM_UP_S = 0.2
CACHE_NODES = 3
FIRST_PORT = 17_500
START_LIMIT_S = 20.0
LOOK_EVERY_S = 0.05

Key = tuple[str, str, int]  # tier, contender, pipeline


class Spent(NamedTuple):
    """One sample.

    Args:
        cpu_us: Of the proxy, per command.
        commands_s: Per second.
    """

    cpu_us: float
    commands_s: float


class Measured(NamedTuple):
    """A run.

    Args:
        samples: By tier, contender and pipeline, one for each round.
        absent: Contenders that weren't measured, and why.
    """

    samples: Mapping[Key, Sequence[Spent]]
    absent: Mapping[str, str]


class _Standing(NamedTuple):
    contender: Contender
    where: Address
    pid: int


async def measure(
    cluster: Sequence[Address],
    rounds: int,
    seconds: float,
    port: int | None,
    report: Callable[[str], None],
) -> Measured:
    """Measure every proxy that is installed.

    Args:
        cluster: Nodes of a cluster; its keys ``squall-bench:*`` are overwritten.
        rounds: >= 1.
        seconds: Of each sample, > 0.
        port: First of the ports to use.
        report: Told each sample.

    Raises:
        LabEnvironmentError: A server or a proxy doesn't start, or answers wrongly.
    """
    samples: dict[Key, list[Spent]] = {}
    rng = random.Random(SEED)
    try:
        async with _all_standing(cluster, port or FIRST_PORT) as (standing, absent):
            for number in range(rounds):
                cells = [(each, pipeline) for each in standing for pipeline in PIPELINES]
                rng.shuffle(cells)
                for one, pipeline in cells:
                    spent = await _sample(one, pipeline, seconds)
                    key = one.contender.tier, one.contender.name, pipeline
                    samples.setdefault(key, []).append(spent)
                    told = f"{spent.cpu_us:.1f} µs, {spent.commands_s:,.0f}/s"
                    named = f"{key[1]} before a {key[0]} at {pipeline}"
                    report(f"round {number + 1} of {rounds}: {named}: {told}")
    except LoadError as wrong:
        raise LabEnvironmentError(f"a proxy answers wrongly: {wrong}") from wrong
    return Measured(samples, absent)


async def _sample(one: _Standing, pipeline: int, seconds: float) -> Spent:
    crowd = Crowd(one.where, pipeline)
    await crowd.begin()
    await asyncio.sleep(WARM_UP_S)
    loop = asyncio.get_running_loop()
    done, cpu_ns, began_s = crowd.done, _cpu_ns(one.pid), loop.time()
    await asyncio.sleep(seconds)
    done, cpu_ns = crowd.done - done, _cpu_ns(one.pid) - cpu_ns
    took_s = loop.time() - began_s
    crowd.end()
    if not done:
        raise LoadError(f"{one.contender.name} at {pipeline}: no answer in {seconds:g} s")
    return Spent(cpu_ns / done / 1000, done / took_s)


def _cpu_ns(pid: int) -> int:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((each / "schedstat").read_text().split()[0]) for each in tasks)


@asynccontextmanager
async def _all_standing(
    cluster: Sequence[Address], port: int
) -> AsyncIterator[tuple[Sequence[_Standing], Mapping[str, str]]]:
    standing, absent = [], {}
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="squall-bench-")))
        nodes = await _plain_nodes(stack, folder, port)
        for number, contender in enumerate(CONTENDERS):
            found = contender.find()
            if found is None:
                absent[contender.name] = f"not installed: {contender.how_to}"
                continue
            home = folder / f"{contender.tier}-{contender.name}"
            home.mkdir()
            behind = cluster if contender.tier == STORE else nodes
            place = Place(home, port + 10 + 2 * number, behind)
            process = await stack.enter_async_context(running(contender.start(found, place)))
            where = Address(HOST, place.port)
            await _wait_serving(process, contender, where)
            standing.append(_Standing(contender, where, process.pid))
        yield standing, absent


async def _plain_nodes(stack: AsyncExitStack, folder: Path, port: int) -> Sequence[Address]:
    server = str(find_server().path)
    nodes = [Address(HOST, port + number) for number in range(CACHE_NODES)]
    for node in nodes:
        command = [
            server, "--bind", HOST, "--port", str(node.port), "--dir", str(folder), "--save", "",
        ]  # fmt: skip
        process = await stack.enter_async_context(running(command))
        node_of = Contender("valkey-server", CACHE, "", lambda: None, lambda *_: [])
        await _wait_serving(process, node_of, node)
    return nodes


async def _wait_serving(process: Process, contender: Contender, where: Address) -> None:
    """Wait until every key can be written through it."""
    loop = asyncio.get_running_loop()
    end_s, why = loop.time() + START_LIMIT_S, "no answer"
    while loop.time() < end_s and process.returncode is None:
        try:
            await fill(where)
        except (OSError, LoadError, asyncio.IncompleteReadError) as error:
            why = str(error) or type(error).__name__
            await asyncio.sleep(LOOK_EVERY_S)
        else:
            return
    if process.returncode is not None:
        why = await last_words(process, START_LIMIT_S)
    raise LabEnvironmentError(f"{contender.name} at {where} doesn't serve: {why}")
