"""Hold connections: what honest clients notice of ten thousand idle ones and a thousand slow heads.

The proxy runs from its file, with timeouts that let everybody stay: shorter ones (as it ships: 10 s
for a head) would send the slow ones away, and the question here is what they cost as long as they
are there. Honest clients send at a fixed rate before, with and after. Each phase is several windows
and its p99 the median of theirs: a moment in which the machine did something else counts once.
Source: issue 5 (10,000 idle and 1,000 slow heads, p99 within twice its value before); the C10K
problem (kegel.com/c10k).
Not handled: other proxies; connections from more than one address (28,000 ports are enough).
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

from bench.limiters.processes import (
    Process,
    free_port,
    python,
    result,
    running,
    tell,
    wait_answering,
    wait_ready,
)
from bench.proxies.backend import nginx_command, write_backend
from bench.proxies.contender import HOST
from bench.proxies.cores import cores, pinned, rss_bytes
from bench.proxies.honest import Honest, Window
from bench.proxies.run import FIRST_PORT, Tools
from kit.errors import LabEnvironmentError
from kit.open_files import SPARE_FILES, allow_open_files, hard_file_limit

IDLE = 10_000
SLOW = 1_000
RATE = 500.0  # requests a second: a twentieth of what one core can do
WINDOWS = 5
SECONDS = 4.0  # of a window: 2,000 requests, so that 20 lie above p99
MOST_RATIO = 2.0  # of p99 with the crowd to p99 without
OPEN_LIMIT_S = 120.0
LOOK_S = 0.2
STAY_S = 3600  # timeouts of the proxy: nobody is sent away while this lasts

OnPhase = Callable[[str], None]


class Phase(NamedTuple):
    """Some windows under the same circumstances."""

    name: str
    windows: Sequence[Window]

    @property
    def p50_s(self) -> float:
        """The median of the windows' medians."""
        return median(one.p50_s for one in self.windows)

    @property
    def p99_s(self) -> float:
        """The median of the windows' p99."""
        return median(one.p99_s for one in self.windows)

    @property
    def failed(self) -> int:
        """Requests that were not answered 200, unsent ones included."""
        return sum(one.failed + one.unsent for one in self.windows)


class Held(NamedTuple):
    """What was seen.

    Args:
        phases: ``before``, ``with`` and ``after``, in this order.
        idle: Idle connections still open when the crowd was dismissed.
        slow: Heads that were still being sent then.
        bytes_each: What the proxy grew by for each connection of the crowd.
    """

    phases: Sequence[Phase]
    idle: int
    slow: int
    bytes_each: float

    @property
    def ratio(self) -> float:
        """p99 with the crowd over p99 before; the phase after it only shows the machine's drift."""
        before, crowded, _ = self.phases
        return crowded.p99_s / before.p99_s

    def failures(self, idle: int, slow: int) -> list[str]:
        """Say what was not as it must be; nothing when all was."""
        found = []
        if self.ratio > MOST_RATIO:
            found.append(f"p99 is {self.ratio:.2f} times what it was; at most {MOST_RATIO:g}")
        if (self.idle, self.slow) != (idle, slow):
            found.append(f"{self.idle} of {idle} idle and {self.slow} of {slow} slow were held")
        failed = sum(one.failed for one in self.phases)
        if failed:
            found.append(f"{failed} honest requests failed")
        return found


def require_files(idle: int, slow: int) -> None:
    """Refuse where the machine doesn't allow so many connections.

    Raises:
        LabEnvironmentError: Says how many it must allow.
    """
    needed = idle + slow + 2 * SPARE_FILES
    if hard_file_limit() < needed:
        raise LabEnvironmentError(
            f"{idle + slow} connections need {needed} open files and {hard_file_limit():g} are "
            f"allowed: ulimit -Hn {needed} as root; squall doctor shows the limit"
        )


async def measure(
    found: Tools, idle: int, slow: int, rate: float, windows: int, on_phase: OnPhase
) -> Held:
    """Start everything, measure, and end it.

    Raises:
        LabEnvironmentError: Something didn't start, or connections were refused.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="squall-hold-")))
        allow_open_files(SPARE_FILES)
        port, proxy = await _serve(stack, found, folder, idle + slow)
        honest = await stack.enter_async_context(Honest(port, rate))
        await honest.window(1.0)  # the first requests make lists and pools
        phases = []

        async def phase(name: str) -> None:
            on_phase(name)
            phases.append(Phase(name, [await honest.window(SECONDS) for _ in range(windows)]))

        await phase("before")
        alone_bytes = rss_bytes(proxy.pid)
        on_phase(f"opening {idle:,} idle connections and {slow:,} slow heads")
        async with AsyncExitStack() as crowd:
            holder = await _hold(crowd, port, idle)
            out = folder / "slow.json"
            await _drip(crowd, port, slow, out)
            await phase("with")
            bytes_each = (rss_bytes(proxy.pid) - alone_bytes) / (idle + slow)
            await tell(holder, "how many?")
            still_idle = int(await result(holder, "holder of connections", OPEN_LIMIT_S))
            still_slow = _dripping(out)
        await phase("after")
        return Held(phases, still_idle, still_slow, bytes_each)


async def _serve(
    stack: AsyncExitStack, found: Tools, folder: Path, crowd: int
) -> tuple[int, Process]:
    """Start backend and proxy; return the proxy's port and process."""
    taken: set[int] = set()
    where = cores()
    backend_port = free_port(taken, FIRST_PORT)
    command = nginx_command(found.nginx, folder, write_backend(folder, backend_port))
    backend = await stack.enter_async_context(running(pinned(where.load, command)))
    await wait_answering(backend, backend_port, "the backend")
    port = free_port(taken, FIRST_PORT)
    config = folder / "l7.yaml"
    config.write_text(
        f"listen: {HOST}:{port}\nbackends: [{{address: '{HOST}:{backend_port}'}}]\n"
        f"clients: {{connections: {crowd + SPARE_FILES}}}\n"
        f"timeouts: {{header_s: {STAY_S}, idle_s: {STAY_S}}}\npolicies: {{checks: 'off'}}\n"
    )
    proxy = await stack.enter_async_context(
        running(pinned(where.proxy, python("lb.l7", str(config))))
    )
    await wait_answering(proxy, port, "the proxy")
    return port, proxy


async def _hold(stack: AsyncExitStack, port: int, idle: int) -> Process:
    """Have idle connections opened; return who holds them."""
    command = pinned(cores().load, python("bench.proxies.holder", str(port), str(idle)))
    holder = await stack.enter_async_context(running(command))
    async with asyncio.timeout(OPEN_LIMIT_S):
        await wait_ready(holder, "holder of connections")
    return holder


async def _drip(stack: AsyncExitStack, port: int, slow: int, out: Path) -> None:
    """Have slow heads begun; return when all are being sent."""
    words = ["--host", f"http://{HOST}:{port}", "--connections", str(slow), "--out", str(out)]
    command = python("loadtests.slowloris", *words, "--rate", "1000", "--for", "1h")
    process = await stack.enter_async_context(running(pinned(cores().load, command)))
    async with asyncio.timeout(OPEN_LIMIT_S):
        while _dripping(out) < slow:
            if process.returncode is not None:
                raise LabEnvironmentError("slow clients ended by themselves")
            await asyncio.sleep(LOOK_S)


def _dripping(out: Path) -> int:
    return int(json.loads(out.read_text())["open"]) if out.exists() else 0
