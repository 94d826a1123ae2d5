"""A crowd of slow clients for a drill: a process of its own, begun and ended with its fault.

Why a process: a thousand connections are work, and the engine has times to keep. What it did is
what it says it saw: how many connections stood open, were answered and were cut off.
"""

import asyncio
import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from chaos.drill.catalogue import ROOT
from chaos.drill.fault import Fault
from kit.errors import LabEnvironmentError

STOP_LIMIT_S = 3.0
SLACK_S = 5.0  # it ends by itself so long after its fault should have ended
LOG_FILE = "slowloris.log"


class Crowd:
    """Slow clients at the front door.

    Args:
        host: The front door.
        folder: Where its files go.
        name: Theirs, without a suffix.
    """

    def __init__(self, host: str, folder: Path, name: str) -> None:
        self._host = host
        self._folder = folder
        self._facts = folder.absolute() / f"{name}.json"
        self._process: asyncio.subprocess.Process | None = None

    async def begin(self, fault: Fault, seconds: float) -> None:
        """Start; returns at once, since the first byte is a matter of half a second."""
        given = fault.params()
        command = [
            sys.executable, "-m", "loadtests.slowloris", "--host", self._host,
            "--connections", str(given["connections"]), "--rate", str(given["rate"]),
            "--byte-ms", str(given["ms"]), "--for", f"{seconds + SLACK_S:.3f}s",
            "--out", str(self._facts), "--parent", str(os.getpid()),
        ]  # fmt: skip
        with (self._folder / LOG_FILE).open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                start_new_session=True,  # Ctrl-C is the engine's to pass on
            )

    async def end(self) -> dict[str, Any]:
        """Stop, and return the proof: its hits are the connections that it opened.

        Raises:
            LabEnvironmentError: It ended by itself; says what it wrote.
        """
        process = self._process
        assert process is not None, "begin it first"
        ended_alone = process.returncode is not None
        await self.stop()
        if ended_alone:
            raise LabEnvironmentError(f"the slow clients ended by themselves: {self._last_words()}")
        try:
            facts = json.loads(self._facts.read_text())
        except (OSError, ValueError) as error:
            raise LabEnvironmentError("the slow clients told nothing") from error
        told = ", ".join(f"{name} {facts[name]}" for name in ("opened", "peak", "answered"))
        return {"hits": facts["opened"], "instances": [], "detail": told, **facts}

    async def stop(self) -> None:
        """End it, kindly and then not; a second time does nothing."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), STOP_LIMIT_S)
        if process.returncode is None:
            process.kill()
            await process.wait()

    def _last_words(self) -> str:
        lines = (self._folder / LOG_FILE).read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"
