"""One run: one contender, one trace, real sockets; and again when the machine spoiled it.

A run counts when the client kept its schedule: lag p99 at most 50 ms and at least 0.99 of the
requests sent. Otherwise it is repeated, twice at most; the last is kept and marked. One in which a
process ended early is repeated as often.
Source: drills.md, R4 and R6 (a load that was not the load gives no verdict).
"""

import asyncio
import json
import time
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import psutil

from bench.limiters import envoy
from bench.limiters.contenders import Contender
from bench.limiters.processes import (
    END_LIMIT_S,
    Process,
    end_input,
    finished,
    free_port,
    python,
    result,
    running,
    tell,
    wait_answering,
    wait_ready,
)
from bench.limiters.records import UNSENT, Record, load
from bench.limiters.trace import DEADLINE_S, DURATION_S
from kit.errors import LabEnvironmentError
from kit.listen import bind

MOST_LAG_S = 0.05
LEAST_SENT_RATIO = 0.99
MOST_TRIES = 3
LEAD_S = 0.3  # between telling the begin and the begin: both ends have read it by then
FIRST_PORT = 28_700  # below the ports the kernel gives to clients
HOST = "127.0.0.1"


class Run(NamedTuple):
    """What one run showed.

    Args:
        contender: Its name.
        cv: Of the service times.
        records: Of the client.
        service: The service's own figures.
        proxy_cpu_s: CPU of Envoy; 0 without one.
        tries: How often it was run; more than 1 when the machine spoiled it.
    """

    contender: str
    cv: float
    records: tuple[Record, ...]
    service: dict[str, object]
    proxy_cpu_s: float = 0.0
    tries: int = 1

    @property
    def lag_p99_s(self) -> float:
        """How late requests left, at the 99th percentile."""
        lags_s = sorted(one.sent_s - one.at_s for one in self.records if one.sent_s is not None)
        return lags_s[int(0.99 * (len(lags_s) - 1))] if lags_s else float("inf")

    @property
    def sent_ratio(self) -> float:
        """Share of the trace that was sent."""
        sent = sum(one.status != UNSENT for one in self.records)
        return sent / len(self.records) if self.records else 0.0

    @property
    def is_sound(self) -> bool:
        """Whether the load was the trace's."""
        return self.lag_p99_s <= MOST_LAG_S and self.sent_ratio >= LEAST_SENT_RATIO


class Runner:
    """Carry out runs; several at once if asked to.

    Args:
        first_port: Where it looks for free ports from.
    """

    def __init__(self, first_port: int = FIRST_PORT) -> None:
        self._first_port = first_port
        self._ports: set[int] = set()

    async def run(self, contender: Contender, cv: float) -> Run:
        """Run until the client kept its schedule, ``MOST_TRIES`` times at most.

        Raises:
            LabEnvironmentError: A process did not start, or ended early.
        """
        for tries in range(1, MOST_TRIES):
            try:
                done = await self._once(contender, cv)
            except LabEnvironmentError:
                continue
            if done.is_sound:
                return done._replace(tries=tries)
        return (await self._once(contender, cv))._replace(tries=MOST_TRIES)

    async def _once(self, contender: Contender, cv: float) -> Run:
        ports = [free_port(self._ports, self._first_port)]
        if contender.is_envoy:
            ports.append(free_port(self._ports, self._first_port))
        try:
            return await self._with_ports(contender, cv, ports)
        finally:
            self._ports.difference_update(ports)

    async def _with_ports(self, contender: Contender, cv: float, ports: list[int]) -> Run:
        with bind(HOST, ports[0]) as listener:
            async with AsyncExitStack() as stack:
                enter = stack.enter_async_context
                folder = stack.enter_context(TemporaryDirectory(prefix="squall-limiters-"))
                path = Path(folder) / "records.json"
                command = python("bench.limiters.service", "--fd", str(listener.fileno()))
                command += ["--cv", f"{cv:g}", "--limiter", contender.name]
                service = await enter(running(command, listener.fileno()))
                command = python("bench.limiters.client", "--port", str(ports[-1]))
                command += ["--cv", f"{cv:g}", "--records", str(path)]
                client = await enter(running(command))
                await wait_ready(service, "service")
                proxy = None
                if contender.is_envoy:
                    proxy = await enter(running(envoy.command(_binary(), ports[1], ports[0])))
                    await wait_answering(proxy, ports[1], "Envoy")
                await wait_ready(client, "client")
                figures, proxy_cpu_s = await _measure(service, client, proxy)
                return Run(contender.name, cv, load(path), figures, proxy_cpu_s)


async def _measure(
    service: Process, client: Process, proxy: Process | None
) -> tuple[dict[str, object], float]:
    """Send the trace; return the service's figures and the proxy's CPU seconds."""
    begin_s = time.monotonic() + LEAD_S
    before_s = _cpu_s(proxy)
    await asyncio.gather(tell(service, repr(begin_s)), tell(client, repr(begin_s)))
    await finished(client, "client", LEAD_S + DURATION_S + 4 * DEADLINE_S)
    proxy_cpu_s = _cpu_s(proxy) - before_s
    end_input(service)
    figures = json.loads(await result(service, "service", END_LIMIT_S))
    await finished(service, "service", END_LIMIT_S)
    return figures, proxy_cpu_s


def _binary() -> Path:
    path = envoy.binary()
    if path is None:
        raise LabEnvironmentError(f"Envoy is not installed: {envoy.HOW_TO}")
    return path


def _cpu_s(process: Process | None) -> float:
    """Return the CPU seconds a child of ours has used; 0 for none."""
    if process is None:
        return 0.0
    times = psutil.Process(process.pid).cpu_times()
    return float(times.user + times.system)
