"""The parts of ``squall bench shard``: each measures one thing and gives a text and a section."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

import uvloop

from bench import lookups, moving
from bench.clients import report as clients
from bench.clients.cluster import FIRST_PORT, NODES, own_cluster
from bench.clients.run import measure
from bench.clients.summary import figures, missing_aims
from bench.redis_proxies import report as proxy_report
from bench.redis_proxies import run as proxies
from bench.timing import Stopwatch
from kit.errors import LabEnvironmentError
from shard.policy.topology import Address
from shard.store import StoreClient

CONNECT_LIMIT_S = 10.0
DEFAULT_ROUNDS = 7  # the best, or the median, of seven
DEFAULT_SECONDS = 1.0

Table = Callable[[Sequence[str], Sequence[tuple[str, ...]]], str]


class Options(NamedTuple):
    """What a caller chose.

    Args:
        rounds: Samples of each contender, >= 1.
        seconds: Of each sample under load, > 0.
        cluster: Nodes of a cluster that serves already; none: one is started.
        port: First of the ports of the one that is started.
        table: Lays out a table.
        report: Told what is going on.
    """

    rounds: int
    seconds: float
    cluster: Sequence[Address]
    port: int | None
    table: Table
    report: Callable[[str], None]


class Part(NamedTuple):
    """What a part found.

    Args:
        data: Its section of the JSON.
        text: Table and legend.
        verdicts: Such as ``held``, ``missed``, ``unknown``.
    """

    data: Mapping[str, object]
    text: str
    verdicts: frozenset[str]


def run_lookups(options: Options) -> Part:
    """Measure what finding a key's node costs."""
    with Stopwatch() as watch:
        found = lookups.measure_lookups(watch, options.rounds)
    text = f"{options.table(lookups.HEAD, lookups.rows(found))}\n\n{lookups.LEGEND}"
    return Part(lookups.as_json(found), text, frozenset(each.verdict for each in found))


def run_clients(options: Options) -> Part:
    """Measure what an operation costs each client.

    Raises:
        LabEnvironmentError: No cluster can be started, or the one named doesn't answer.
    """

    async def run() -> Part:
        async with cluster_of(options) as nodes:
            done = await measure(nodes, options.rounds, options.seconds, options.report)
        found = figures(done.samples)
        text = f"{options.table(clients.HEAD, clients.rows(found, done.absent))}\n\n"
        verdicts = {each.verdict for each in found}
        verdicts |= {"unknown"} if missing_aims(list(done.versions)) else set()
        data = clients.as_json(done, found, options.rounds, options.seconds)
        return Part(data, text + clients.LEGEND, frozenset(verdicts))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run())


def run_move(options: Options) -> Part:
    """Add a fourth shard under load.

    Raises:
        LabEnvironmentError: No cluster can be started.
    """
    if options.cluster:
        raise LabEnvironmentError("the part move starts a cluster of its own: leave --cluster out")
    done = asyncio.run(moving.measure(options.port or FIRST_PORT, options.report))
    text = f"{options.table(moving.HEAD, moving.rows(done))}\n\n{moving.LEGEND}"
    return Part(moving.as_json(done), text, frozenset(moving.verdicts(done)))


def run_proxies(options: Options) -> Part:
    """Measure what a command costs each Redis proxy; errors as ``run_clients``."""

    async def run() -> Part:
        async with cluster_of(options) as nodes:
            port = None if options.port is None else options.port + NODES
            done = await proxies.measure(
                nodes, options.rounds, options.seconds, port, options.report
            )
        found = proxy_report.figures(done)
        rows = proxy_report.rows(found, done.absent)
        text = f"{options.table(proxy_report.HEAD, rows)}\n\n{proxy_report.LEGEND}"
        data = proxy_report.as_json(done, found, options.seconds)
        return Part(data, text, proxy_report.verdicts(done, found))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run())


PARTS: Mapping[str, Callable[[Options], Part]] = {
    "lookups": run_lookups,
    "clients": run_clients,
    "proxies": run_proxies,
    "move": run_move,
}
DEFAULT_PARTS = ("lookups", "clients")  # a move takes a minute and a half: asked for by name


@asynccontextmanager
async def cluster_of(options: Options) -> AsyncIterator[Sequence[Address]]:
    """Give the nodes to measure on: those named, or a cluster started for it.

    Raises:
        LabEnvironmentError: As ``run_clients``.
    """
    if not options.cluster:
        options.report("starting a cluster of six nodes")
        async with own_cluster(options.port or FIRST_PORT) as nodes:
            yield nodes
        return
    store = StoreClient(options.cluster)
    try:
        async with asyncio.timeout(CONNECT_LIMIT_S):
            await store.connect()
    except (TimeoutError, PermissionError, ValueError) as error:
        named = ", ".join(map(str, options.cluster))
        why = str(error) or f"no answer within {CONNECT_LIMIT_S:g} s"
        raise LabEnvironmentError(f"no cluster at {named}: {why}") from error
    finally:
        await store.close()
    yield options.cluster
