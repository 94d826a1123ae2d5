"""L4's kernel mode: what the kernel moves, against connections without a balancer.

Client, balancer and backend are three network namespaces. The same load goes through the balancer's
rules (``kernel``), through its namespace as through any router (``routed``), and over a link of
client and backend alone (``straight``), in shuffled rounds. The first over the second is what the
rules cost; over the third also what it costs that packets pass one more machine, which on this one
takes from the cores that load and backend need.
The balancer's process must not work for a byte: its CPU while load runs is told too.
Source: issue 5 (0.9 of a direct connection, no user-space CPU per byte).
Not handled: several backends; machines with cables between them.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

from bench.limiters.processes import Process, python, running
from bench.proxies import netns, wrk
from bench.proxies.backend import nginx_command, write_backend
from bench.proxies.cells import BULK, SMALL, Cell
from bench.proxies.cores import cores, cpu_s, pinned
from bench.proxies.run import WRK_GRACE_S, OnSample, Tools
from bench.proxies.session import Planned, Sample, plan
from kit.errors import LabEnvironmentError

KERNEL, ROUTED, STRAIGHT = "kernel", "routed", "straight"
PORT, BACKEND_PORT = 80, 8000
PATHS = {
    KERNEL: f"{netns.VIP}:{PORT}",
    ROUTED: f"{netns.BACKENDS[0]}:{BACKEND_PORT}",
    STRAIGHT: f"{netns.STRAIGHT}:{BACKEND_PORT}",
}
CELLS: Sequence[Cell] = (SMALL, BULK)
LEAST_OF_DIRECT = 0.9
MOST_CPU_SHARE = 0.02  # of a core: checks of the backend go on while load runs
START_LIMIT_S = 20.0
LOOK_S = 0.05


class KernelCell(NamedTuple):
    """One kind of load, by all three ways.

    Args:
        name: The cell's.
        rps: Medians by way.
        of_routed: Kernel's throughput over the router's, the median of the rounds.
        of_straight: And over the link's of their own.
        cpu_share: Of one core, what the balancer's process used.
    """

    name: str
    rps: dict[str, float]
    of_routed: float
    of_straight: float
    cpu_share: float


async def measure(found: Tools, rounds: int, seconds: int, on_sample: OnSample) -> list[Sample]:
    """Build the network, start everything, put the load on each way in turn, and end it.

    Raises:
        LabEnvironmentError: The machine lacks something; says what.
    """
    if reason := await asyncio.to_thread(netns.lacks):
        raise LabEnvironmentError(f"kernel mode: {reason}")
    planned = plan(list(PATHS), CELLS, rounds)
    async with AsyncExitStack() as stack:
        net = stack.enter_context(netns.network())
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="squall-kernel-")))
        plane = await _start(stack, net, found, folder)
        done = []
        for each in planned:
            done.append(await _sample(net, found, plane, each, seconds))
            on_sample(len(done), done[-1])
        return done


def summaries(samples: Sequence[Sample]) -> list[KernelCell]:
    """Return the table's rows; ratios are taken in each round."""
    return [
        _summary(cell.name, [one for one in samples if one.cell == cell.name]) for cell in CELLS
    ]


def _summary(name: str, samples: Sequence[Sample]) -> KernelCell:
    by_way = {way: [one for one in samples if one.contender == way] for way in PATHS}
    rounds = {(one.round, one.contender): one.wrk.rps for one in samples}

    def ratio(way: str) -> float:
        return median(one.wrk.rps / rounds[one.round, way] for one in by_way[KERNEL])

    shares = [(one.cpu_us or 0.0) * one.wrk.requests / 1e6 / one.wrk.duration_s for one in samples]
    return KernelCell(
        name,
        {way: median(one.wrk.rps for one in found) for way, found in by_way.items()},
        ratio(ROUTED),
        ratio(STRAIGHT),
        max(shares),
    )


async def _start(stack: AsyncExitStack, net: netns.Network, found: Tools, folder: Path) -> Process:
    """Start backend and control plane; return the plane once it has filled its table."""
    config = write_backend(folder, BACKEND_PORT, "0.0.0.0")  # noqa: S104  its own namespace
    command = _inside(net, "backends", nginx_command(found.nginx, folder, config))
    await stack.enter_async_context(running(pinned(cores().proxy, command)))
    path = folder / "kernel.yaml"
    backend = f"{netns.BACKENDS[0]}:{BACKEND_PORT}"
    path.write_text(f"listen: {netns.VIP}:{PORT}\nbackends: [{{address: '{backend}'}}]\n")
    plane = await stack.enter_async_context(
        running(_inside(net, "lb", python("lb.l4.kernel", str(path))))
    )
    try:
        async with asyncio.timeout(START_LIMIT_S):
            while netns.BACKENDS[0] not in await asyncio.to_thread(_rules, net):  # noqa: ASYNC110
                await asyncio.sleep(LOOK_S)
    except TimeoutError:
        raise LabEnvironmentError("kernel mode did not start: no backend in its table") from None
    return plane


def _rules(net: netns.Network) -> str:
    return net.run("lb", "nft", "list", "ruleset")


async def _sample(
    net: netns.Network, found: Tools, plane: Process, planned: Planned, seconds: int
) -> Sample:
    url = f"http://{PATHS[planned.contender]}{planned.cell.path}"
    command = _inside(net, "client", wrk.command(found.wrk, url, seconds))
    before_s = cpu_s(plane.pid)
    async with running(pinned(cores().load, command)) as process:
        async with asyncio.timeout(seconds + WRK_GRACE_S):
            out, _ = await process.communicate()
    used_s = cpu_s(plane.pid) - before_s
    seen = wrk.parse(out.decode(errors="replace"))
    cpu_us = used_s * 1e6 / seen.requests if seen.requests else None
    return Sample(planned.round, planned.contender, planned.cell.name, seen, cpu_us)


def _inside(net: netns.Network, role: str, command: Sequence[str]) -> list[str]:
    return ["ip", "netns", "exec", net.names[role], *command]


HEAD = (
    "kernel mode", "kernel/s", "routed/s", "straight/s", "of routed", "of straight", "CPU of ours",
)  # fmt: skip


def rows(found: Sequence[KernelCell]) -> list[tuple[str, ...]]:
    """Return the rows below ``HEAD``."""
    return [
        (
            one.name,
            *(f"{one.rps[way]:,.0f}" for way in PATHS),
            f"{one.of_routed:.2f}",
            f"{one.of_straight:.2f}",
            f"{one.cpu_share:.1%}",
        )
        for one in found
    ]


def as_json(found: Sequence[KernelCell]) -> dict[str, object]:
    """Return everything that was seen, by cell."""
    return {one.name: one._asdict() for one in found}
