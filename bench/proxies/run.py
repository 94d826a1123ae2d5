"""Run a session: start backend and proxies, put the load on each in turn, end them all.

CPU is the proxy's own (threads and children too) from before wrk starts until it has ended, over
what wrk says was answered.
Not handled: a peer that needs root; load from another machine.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from bench.limiters.processes import HOST, Process, free_port, last_words, running, wait_answering
from bench.proxies import h2load, wrk
from bench.proxies.backend import nginx_command, write_backend
from bench.proxies.cells import Cell
from bench.proxies.contender import Contender, Place, program
from bench.proxies.cores import Cores, cores, cpu_s, pinned
from bench.proxies.idle import FILES, Idle, measure_idle
from bench.proxies.session import DURATION_S, Planned, Sample
from kit.errors import LabEnvironmentError
from kit.open_files import allow_open_files

FIRST_PORT = 28_100  # below the ports the kernel gives to clients
WRK_GRACE_S = 20.0  # beyond its duration: its own timeout, and a busy machine

OnSample = Callable[[int, Sample], None]


class Tools(NamedTuple):
    """What every session needs besides a proxy.

    Args:
        wrk: The load.
        nginx: The backend.
        h2load: The load over HTTP/2; None where it is not installed.
    """

    wrk: Path
    nginx: Path
    h2load: Path | None = None


class Standing(NamedTuple):
    """A contender that serves; no process where nobody stands between."""

    port: int
    process: Process | None


def tools() -> Tools:
    """Find load and backend.

    Raises:
        LabEnvironmentError: One is not installed; says how.
    """
    load, backend = program("wrk"), program("nginx")
    if load is None:
        raise LabEnvironmentError(f"the load is wrk, which is not installed: {wrk.HOW_TO}")
    if backend is None:
        raise LabEnvironmentError(
            "the backend is nginx, which is not installed: apt-get install nginx-light"
        )
    return Tools(load, backend, program("h2load"))


class Session:
    """A backend and some proxies, all running; an async context manager.

    Args:
        found: Load and backend.
        contenders: Who is measured; all are installed.
        first_port: Where it looks for free ports from.
        where: Which cores whom.
    """

    def __init__(
        self,
        found: Tools,
        contenders: Sequence[Contender],
        first_port: int = FIRST_PORT,
        where: Cores | None = None,
    ) -> None:
        self._tools = found
        self._contenders = contenders
        self._first_port = first_port
        self._cores = cores() if where is None else where
        self._taken: set[int] = set()
        self._stack = AsyncExitStack()
        self._standing: dict[str, Standing] = {}
        self._folder = Path()
        self._backend_port = 0

    async def __aenter__(self) -> "Session":
        allow_open_files(FILES)
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def sample(self, planned: Planned, duration_s: int = DURATION_S) -> Sample:
        """Put one cell's load on one contender.

        Raises:
            LabEnvironmentError: wrk failed, or the proxy ended.
        """
        standing = self._standing[planned.contender]
        before_s = _cpu_s(standing)
        seen = await self._load(planned.cell, standing.port, duration_s)
        used_s = _cpu_s(standing) - before_s
        units = planned.cell.units(seen.requests)
        cpu_us = used_s * 1e6 / units if standing.process is not None and units else None
        return Sample(planned.round, planned.contender, planned.cell.name, seen, cpu_us)

    async def samples(
        self, planned: Sequence[Planned], duration_s: int, on_sample: OnSample
    ) -> list[Sample]:
        """Carry out a plan; ``on_sample`` is told each with how many are done."""
        done = []
        for each in planned:
            done.append(await self.sample(each, duration_s))
            on_sample(len(done), done[-1])
        return done

    async def idle(self, connections: int) -> dict[str, Idle]:
        """Return what idle connections cost each contender, on a fresh process of it."""
        found = {}
        for each in self._contenders:
            async with AsyncExitStack() as stack:
                folder = stack.enter_context(TemporaryDirectory(prefix="squall-proxy-"))
                standing = await self._stand(stack, each, Path(folder))
                if standing.process is not None:
                    pid = standing.process.pid
                    found[each.name] = await measure_idle(pid, standing.port, connections)
        return found

    async def _start(self) -> None:
        folder = self._stack.enter_context(TemporaryDirectory(prefix="squall-proxies-"))
        self._folder = Path(folder)
        (self._folder / "upload.lua").write_text(wrk.UPLOAD_SCRIPT)
        self._backend_port = free_port(self._taken, self._first_port)
        config = write_backend(self._folder, self._backend_port)
        command = nginx_command(self._tools.nginx, self._folder, config)
        backend = await self._stack.enter_async_context(running(pinned(self._cores.load, command)))
        await wait_answering(backend, self._backend_port, "the backend")
        for each in self._contenders:
            own = self._folder / each.name
            own.mkdir()
            self._standing[each.name] = await self._stand(self._stack, each, own)

    async def _stand(self, stack: AsyncExitStack, each: Contender, folder: Path) -> Standing:
        """Start a contender and wait until it serves."""
        binary = each.find()
        if binary is None:
            raise LabEnvironmentError(f"{each.name} is not installed: {each.how_to}")
        port = free_port(self._taken, self._first_port)
        command = each.start(binary, Place(folder, port, self._backend_port))
        if not command:
            return Standing(self._backend_port, None)
        process = await stack.enter_async_context(running(pinned(self._cores.proxy, command)))
        await wait_answering(process, port, each.name)
        return Standing(port, process)

    async def _load(self, cell: Cell, port: int, duration_s: int) -> wrk.Wrk:
        url = f"http://{HOST}:{port}{cell.path}"
        if cell.is_http2:
            return await self._load_http2(url, duration_s)
        script = self._folder / "upload.lua" if cell.is_upload else None
        command = wrk.command(
            self._tools.wrk, url, duration_s, script=script, is_closing=cell.is_closing
        )
        return wrk.parse(await self._run(command, duration_s))

    async def _load_http2(self, url: str, duration_s: int) -> wrk.Wrk:
        assert self._tools.h2load is not None
        log = self._folder / "h2load.log"
        log.write_text("")
        said = await self._run(h2load.command(self._tools.h2load, url, duration_s, log), duration_s)
        return h2load.parse(said, log.read_text())

    async def _run(self, command: Sequence[str], duration_s: int) -> str:
        """Run a load to its end; returns what it said."""
        async with running(pinned(self._cores.load, command)) as process:
            try:
                async with asyncio.timeout(duration_s + WRK_GRACE_S):
                    out, _ = await process.communicate()
            except TimeoutError:
                raise LabEnvironmentError("the load did not end in time") from None
            if process.returncode:
                raise LabEnvironmentError(f"the load failed: {await last_words(process)}")
        return out.decode(errors="replace")


def _cpu_s(standing: Standing) -> float:
    """Return the CPU seconds used so far; 0 where nobody stands between."""
    if standing.process is None:
        return 0.0
    if standing.process.returncode is not None:
        raise LabEnvironmentError(
            f"a proxy ended by itself (exit code {standing.process.returncode})"
        )
    return cpu_s(standing.process.pid)
