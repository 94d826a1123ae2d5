"""Run kernel mode from its file to its end: SIGTERM and SIGINT end it, SIGHUP reads the file again.

Not handled: readiness by an admin port; the log says what happens, ``nft list`` what is.
"""

import asyncio
import logging
import signal
from collections.abc import Callable
from pathlib import Path

from kit.errors import LabError
from kit.log import set_up_log
from lb.l4.kernel.capabilities import require
from lb.l4.kernel.config import KernelConfig, load_kernel_config
from lb.l4.kernel.plane import Plane

log = logging.getLogger(__name__)


def run(
    config: KernelConfig,
    path: Path | None = None,
    *,
    load: Callable[[Path], KernelConfig] = load_kernel_config,
) -> None:
    """Forward connections until a signal says stop; leaves no rule behind.

    Args:
        config: The checked file.
        path: The file to read again at SIGHUP; None: it isn't.
        load: Reads it; raises LabError.

    Raises:
        LabEnvironmentError: When this machine can't, naming what it lacks.
    """
    require(config)
    set_up_log("l4-kernel", "INFO")
    asyncio.run(_serve(config, path, load))


async def _serve(
    config: KernelConfig, path: Path | None, load: Callable[[Path], KernelConfig]
) -> None:
    plane = Plane(config)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, plane.stop)
    if path is not None:
        loop.add_signal_handler(signal.SIGHUP, reload, plane, path, load)
    await plane.run()


def reload(
    plane: Plane, path: Path, load: Callable[[Path], KernelConfig] = load_kernel_config
) -> None:
    """Take the file as it is now; one with a mistake changes nothing."""
    try:
        plane.set_config(load(path))
    except LabError as error:
        log.error("the file is not taken: %s", error)
    else:
        log.info("took the file", extra={"file": str(path)})
