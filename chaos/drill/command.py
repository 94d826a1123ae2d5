"""Run a `squall` command line beside a drill, as a person would, and time it."""

import asyncio
import contextlib
import os
import shlex
import sys
import time

from chaos.drill.catalogue import ROOT
from chaos.drill.readings import CommandRun

LIMIT_S = 10.0  # a command that needs longer has no answer worth waiting for


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
    exit_code: int | None = None
    try:
        exit_code = await asyncio.wait_for(process.wait(), LIMIT_S)
    except TimeoutError:
        exit_code = None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return CommandRun(command, time.monotonic() - began_s, exit_code)
