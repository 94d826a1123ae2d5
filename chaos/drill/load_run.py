"""Run a load on its own: start the generator, say how it goes, read what it found."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from chaos.drill.catalogue import ROOT
from chaos.drill.load_report import Expectation, build_report
from chaos.drill.loadgen import LOCUSTFILE, LoadProcess
from chaos.drill.records import read_records
from chaos.drill.report import make_folder
from kit.errors import LabEnvironmentError

TELL_EVERY_S = 5.0
POLL_S = 0.2
LOAD = "load"


def run_load(
    host: str,
    arguments: Sequence[str],
    expectations: Sequence[Expectation],
    out: Path | None,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """Run a load to its end.

    Args:
        host: The front door.
        arguments: For Locust.
        expectations: What the report is held against.
        out: Where the files go; None for ``runs/load/<utc>/``.
        tell: Told every few seconds how it goes.

    Raises:
        LabEnvironmentError: The generator doesn't start, or writes no results.
    """
    folder = out or make_folder(ROOT, LOAD)
    report = asyncio.run(_run(host, arguments, expectations, folder, tell))
    report["folder"] = str(folder)
    return report


async def _run(
    host: str,
    arguments: Sequence[str],
    expectations: Sequence[Expectation],
    folder: Path,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    load = LoadProcess(host, folder, arguments=tuple(arguments))
    try:
        await load.start()
        await _tell_progress(load, tell)
        summary = await load.wait()
    finally:
        await load.stop()
    return build_report(read_records(folder / "requests.csv"), summary, expectations)


async def _tell_progress(load: LoadProcess, tell: Callable[[str], None]) -> None:
    next_s = TELL_EVERY_S
    while not load.has_ended:
        await asyncio.sleep(POLL_S)
        if load.at_s >= next_s:
            next_s += TELL_EVERY_S
            progress = load.progress()
            kinds = progress.get("kinds", {})
            counts = ", ".join(f"{kind.replace('_', ' ')} {n}" for kind, n in kinds.items())
            tell(f"{load.at_s:4.0f} s: {counts}; in flight {progress.get('in_flight', 0)}")


def open_page(host: str, port: int, arguments: Sequence[str]) -> NoReturn:
    """Become Locust with its page on 127.0.0.1.

    Raises:
        LabEnvironmentError: The port is taken.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise LabEnvironmentError(
                f"port {port} is taken ({error.strerror}): end who holds it, or set "
                "SQUALL_LOCUST_PORT"
            ) from error
    command = [
        sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--host", host,
        "--web-host", "127.0.0.1", "--web-port", str(port), *arguments,
    ]  # fmt: skip
    os.execv(sys.executable, command)  # noqa: S606  Ctrl-C then ends Locust itself
