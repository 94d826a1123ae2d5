"""Several workers behind one port: ``workers: N`` in the proxy's file.

Why: one event loop is one core. The workers share nothing: each binds the port with SO_REUSEPORT
and the kernel deals new connections out among them, so there is no lock, and no process in the
path. This one starts them, starts again who dies, and passes signals on; it serves nothing itself.

- Who dies is started again after 0.1 s, twice as long each time, up to 5 s. Five deaths within 10 s
  are no accident: all end, with 1.
- A file or a machine that is wrong at the start (2, 3) ends all with that. Found wrong by a worker
  that is started again, it ends nobody who still serves: that one is tried every 5 s.
- SIGTERM and SIGINT drain all; SIGHUP has all look at the file and reopen the log.
- A worker whose parent is gone drains: its standard input ends then.

Source: nginx's master and workers with ``listen ... reuseport``; SO_REUSEPORT in socket(7).
Not handled: handing what waits in a dead worker's accept queue to another (the kernel resets it,
but for net.ipv4.tcp_migrate_req, since Linux 5.14); more workers by reload.
"""

import asyncio
import logging
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path

from kit.errors import ConfigError, LabEnvironmentError
from kit.listen import bind
from lb.l7.config import L7Config
from lb.l7.worker_share import divided, share_of

OPTION = "--worker"  # of the command line, between this process and its workers
FIRST_PAUSE_S = 0.1
MAX_PAUSE_S = 5.0
WELL_AFTER_S = 10.0  # a worker that lived so long had no trouble at its start
MAX_DEATHS = 5  # within WELL_AFTER_S, of all together
FAILED = 1

log = logging.getLogger(__name__)


class Restarts:
    """When a worker that died is started again, and when no more is."""

    def __init__(self) -> None:
        self._deaths_s: deque[float] = deque(maxlen=MAX_DEATHS)

    def on_death(self, now_s: float) -> float | None:
        """Return the pause until it is started again, seconds; None: these were too many."""
        while self._deaths_s and now_s - self._deaths_s[0] > WELL_AFTER_S:
            self._deaths_s.popleft()
        self._deaths_s.append(now_s)
        if len(self._deaths_s) == MAX_DEATHS:
            return None
        pause_s: float = FIRST_PAUSE_S * 2 ** (len(self._deaths_s) - 1)
        return min(MAX_PAUSE_S, pause_s)


class Workers:
    """Run so many workers with one file until told to stop.

    Args:
        path: The file.
        config: What it says.
        count: >= 2.

    Raises:
        LabEnvironmentError: A port is taken, or can't be shared on this machine.
    """

    def __init__(self, path: Path, config: L7Config, count: int) -> None:
        if not hasattr(socket, "SO_REUSEPORT"):
            raise LabEnvironmentError(
                "this machine has no SO_REUSEPORT, so workers can't share a port: write workers: 1"
            )
        for host, port in (config.address, *((config.tls.address,) if config.tls.is_on else ())):
            bind(host, port).close()  # alone: workers would share it with anybody
        self._path = path
        self._config = config
        self._count = count
        self._restarts = Restarts()
        self._workers: dict[int, asyncio.subprocess.Process] = {}
        self._is_stopping = asyncio.Event()
        self._exit_code = 0

    async def run(self) -> int:
        """Run them; returns the exit code."""
        self._say()
        loop = asyncio.get_running_loop()
        handlers: dict[signal.Signals, Callable[[], None]] = {
            signal.SIGTERM: self._on_stop,
            signal.SIGINT: self._on_stop,
            signal.SIGHUP: lambda: self._tell(signal.SIGHUP),
        }
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)
        keepers = [asyncio.create_task(self._keep(index)) for index in range(1, self._count + 1)]
        await asyncio.gather(*keepers)
        for number in handlers:
            loop.remove_signal_handler(number)
        return self._exit_code

    async def _keep(self, index: int) -> None:
        """Run one worker, again and again until all are to stop."""
        is_again = False
        while not self._is_stopping.is_set():
            worker = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "lb.l7", OPTION, f"{index}/{self._count}", str(self._path)),
                stdin=asyncio.subprocess.PIPE,
                start_new_session=True,  # or a terminal's Ctrl-C would reach it beside our signal
                preexec_fn=_ignore_hangup,
            )
            self._workers[index] = worker
            if self._is_stopping.is_set():
                worker.terminate()  # told while it was being made
            code = await worker.wait()
            del self._workers[index]
            if self._is_stopping.is_set():
                return
            await self._on_death(index, code, is_again=is_again)
            is_again = True

    async def _on_death(self, index: int, code: int, *, is_again: bool) -> None:
        """Wait until this one may be started again, or stop all."""
        loop = asyncio.get_running_loop()
        pause_s: float | None = MAX_PAUSE_S
        if code not in (ConfigError.exit_code, LabEnvironmentError.exit_code):
            pause_s = self._restarts.on_death(loop.time())
        elif not (is_again and self._workers):
            self._stop(code)  # it has said what is wrong
            return
        if pause_s is None:
            log.error("workers die again and again", extra={"worker": index, "code": code})
            self._stop(FAILED)
            return
        log.error("a worker died", extra={"worker": index, "code": code, "again_s": pause_s})
        await self._wait(pause_s)

    async def _wait(self, pause_s: float) -> None:
        try:
            async with asyncio.timeout(pause_s):
                await self._is_stopping.wait()
        except TimeoutError:
            pass

    def _on_stop(self) -> None:
        if self._is_stopping.is_set():
            self._tell(signal.SIGTERM)  # a second one ends them at once
        else:
            self._stop(0)

    def _stop(self, code: int) -> None:
        if not self._is_stopping.is_set():
            self._exit_code = code
            self._is_stopping.set()
            self._tell(signal.SIGTERM)

    def _tell(self, number: signal.Signals) -> None:
        for worker in self._workers.values():
            if worker.returncode is None:
                worker.send_signal(number)

    def _say(self) -> None:
        share = share_of(self._config, self._count)
        parts = {name: [whole, part] for name, whole, part in divided(self._config, share)}
        log.warning(
            "several workers: each keeps to its part of the limits, and has its own retry budget",
            extra={"workers": self._count, "whole_and_part": parts},
        )


def _ignore_hangup() -> None:
    """Until it can be asked to look at the file, a worker has nothing to look at anew."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def read_place(text: str) -> tuple[int, int]:
    """Read a worker's number and how many there are, ``2/4``."""
    index, _, count = text.partition("/")
    return int(index), int(count)


def follow_parent(on_gone: Callable[[], None]) -> None:
    """Have a worker told when its parent is gone: standard input ends."""
    loop = asyncio.get_running_loop()

    def ended() -> None:
        loop.remove_reader(sys.stdin.fileno())
        on_gone()

    loop.add_reader(sys.stdin.fileno(), ended)
