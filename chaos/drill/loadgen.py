"""The load generator's process: start it with a plan, follow it, end it.

Locust runs in a process of its own because gevent patches the world. It is told everything in one
plan file and answers in files; nothing of it is imported here.
"""

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chaos.drill.catalogue import ROOT
from chaos.drill.records import Record, parse_records
from kit.errors import EXIT_USAGE, ConfigError, LabEnvironmentError, LabError

LOCUSTFILE = ROOT / "loadtests" / "locustfile.py"
START_LIMIT_S = 20.0  # it takes 1 to 2 s; a loaded machine gets ten times that
STOP_LIMIT_S = 3.0
POLL_S = 0.05
LOG_FILE = "locust.log"


def locust_command(host: str, out: Path, *arguments: str) -> list[str]:
    """Return the command that runs a load without a page and without talk."""
    return [
        sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--only-summary",
        "--loglevel", "WARNING", "--exit-code-on-error", "0", "--host", host, "--out", str(out),
        *arguments,
    ]  # fmt: skip


class LoadProcess:
    """One run of the generator.

    Args:
        host: The front door.
        folder: Where its files go.
        plan: What to send; None when the arguments say it.
        arguments: For Locust, instead of a plan.
    """

    def __init__(
        self,
        host: str,
        folder: Path,
        plan: Mapping[str, Any] | None = None,
        arguments: tuple[str, ...] = (),
    ) -> None:
        self._host = host
        self._folder = folder
        self._plan = plan
        self._arguments = arguments
        self._process: asyncio.subprocess.Process | None = None
        self._tail = _Tail(folder / "requests.csv")
        self.t0_s = 0.0

    async def start(self) -> None:
        """Start it; returns when the time of its first arrival is known, ``t0_s``.

        Raises:
            ConfigError: The plan or the arguments are wrong.
            LabEnvironmentError: It ended at once or took too long; says what it wrote.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "progress.json").unlink(missing_ok=True)
        arguments = self._arguments
        if self._plan is not None:
            (self._folder / "plan.json").write_text(json.dumps(self._plan, indent=1))
            arguments = ("--plan", str(self._folder / "plan.json"), *arguments)
        log = (self._folder / LOG_FILE).open("wb")
        with log:
            self._process = await asyncio.create_subprocess_exec(
                *locust_command(self._host, self._folder, *arguments),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is ours to pass on
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        await self._wait_started()

    async def _wait_started(self) -> None:
        limit_s = time.monotonic() + START_LIMIT_S
        while time.monotonic() < limit_s:
            progress = self.progress()
            if progress:
                self.t0_s = float(progress["t0_monotonic_s"])
                return
            if self.has_ended:
                raise self._failure()
            await asyncio.sleep(POLL_S)
        await self.stop()
        raise LabEnvironmentError(f"the load generator didn't start within {START_LIMIT_S:.0f} s")

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self._process is not None and self._process.returncode is not None

    @property
    def at_s(self) -> float:
        """Seconds since the run's start; negative before it."""
        return time.monotonic() - self.t0_s

    async def sleep_until(self, at_s: float) -> None:
        """Sleep until a moment of the run."""
        await asyncio.sleep(max(0.0, at_s - self.at_s))

    def progress(self) -> dict[str, Any]:
        """Return the newest progress; {} before the first."""
        try:
            data: dict[str, Any] = json.loads((self._folder / "progress.json").read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return data

    def records_so_far(self) -> list[Record]:
        """Return the arrivals that have ended, read on from the last time."""
        return self._tail.read()

    async def wait(self) -> dict[str, Any]:
        """Wait for the end; returns what load.json says.

        Raises:
            LabEnvironmentError: It ended without writing its results.
        """
        assert self._process is not None, "start it first"
        await self._process.wait()
        try:
            data: dict[str, Any] = json.loads((self._folder / "load.json").read_text())
        except (FileNotFoundError, ValueError) as error:
            raise LabEnvironmentError(
                f"the load generator wrote no results: {self._last_words()}"
            ) from error
        return data

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

    def _failure(self) -> LabError:
        """Say why it ended before it began; code 2 is its word for wrong arguments."""
        if self._process is not None and self._process.returncode == EXIT_USAGE:
            return ConfigError(self._last_words())
        return LabEnvironmentError(f"the load generator ended at once: {self._last_words()}")

    def _last_words(self) -> str:
        try:
            lines = (self._folder / LOG_FILE).read_text(errors="replace").strip().splitlines()
        except FileNotFoundError:
            return "it said nothing"
        return lines[-1] if lines else "it said nothing"


class _Tail:
    """Read a growing requests.csv, each row once; its final version is another file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._header = ""
        self._inode = 0
        self._records: list[Record] = []

    def read(self) -> list[Record]:
        try:
            with self._path.open(encoding="utf-8") as file:
                inode = os.fstat(file.fileno()).st_ino
                if self._inode not in (0, inode):
                    return self._records
                self._inode = inode
                file.seek(self._offset)
                text = file.read()
        except FileNotFoundError:
            return self._records
        whole = text[: text.rfind("\n") + 1]
        if not whole:
            return self._records
        self._offset += len(whole.encode())
        if not self._header:
            self._header, _, whole = whole.partition("\n")
        self._records.extend(parse_records(f"{self._header}\n{whole}"))
        return self._records
