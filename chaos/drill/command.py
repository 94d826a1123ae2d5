"""Run a `squall` command line beside a drill, as a person would, and time it.

Why also its wait for a CPU: wall seconds of a busy machine say little of a command. Linux counts
for each process how long it was ready to run and had to wait (the second figure of
``/proc/PID/schedstat``, kernel: Documentation/scheduler/sched-stats.rst); elsewhere nobody knows.
"""

import asyncio
import contextlib
import os
import shlex
import sys
import time
from pathlib import Path

from chaos.drill.catalogue import ROOT
from chaos.drill.readings import CommandRun

LIMIT_S = 10.0  # a command that needs longer has no answer worth waiting for
LOOK_EVERY_S = 0.02  # what a process waited for a CPU can be read only while it is there


async def run_command(command: str) -> CommandRun:
    """Run a command line; what it prints is nobody's business.

    Args:
        command: Without the word ``squall``, e.g. ``policy set limiter on --on video``.
    """
    began_s = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "squall.main", *shlex.split(command),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "cli")))},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    cpu_wait_s: float | None = None
    ended = asyncio.ensure_future(process.wait())
    try:
        while not ended.done() and time.monotonic() - began_s < LIMIT_S:
            cpu_wait_s = _cpu_wait_s(process.pid, cpu_wait_s)
            await asyncio.wait({ended}, timeout=LOOK_EVERY_S)
        exit_code = process.returncode
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await ended
    return CommandRun(command, time.monotonic() - began_s, exit_code, cpu_wait_s)


def _cpu_wait_s(pid: int, before_s: float | None) -> float | None:
    """Return how long a process has waited for a CPU; what was known when it can't be read."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return before_s
