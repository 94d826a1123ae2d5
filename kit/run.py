"""Run a process of the lab: settings, log, node, admin port, its own work, and an orderly end.

Why: ``python -m services.video`` is two lines long, and every process starts, fails and stops in
the same way: a wrong setting is one line and exit code 2, a taken port one line and 3.
"""

import sys
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import uvloop

from kit import collector, compiled
from kit.admin import AdminServer
from kit.errors import LabError
from kit.log import set_up_log
from kit.node import Node
from kit.settings import Settings, load_settings

Main: TypeAlias = Callable[[Node], Awaitable[None]]


def run(main: Main, service: str) -> None:
    """Run a service until it is told to stop; ends the process with its exit code.

    Args:
        main: Serves; usually ends with ``serve_grpc``, ``serve_asgi`` or ``node.lifecycle.serve``.
        service: The compose service this process is.
    """
    failure: LabError | None = None
    try:
        settings = load_settings(service)
        set_up_log(settings.instance, settings.log_level)
        compiled.tell_in_use()
        uvloop.run(live(settings, main))
    except* LabError as group:  # a bare one too; raising in here would wrap what is raised
        failure = _first(group)
    if failure is not None:
        sys.stderr.write(f"{service}: {failure}\n")
        sys.exit(failure.exit_code)


async def live(settings: Settings, main: Main) -> None:
    """Run a service's whole life on the running loop."""
    node = Node(settings)
    admin = AdminServer(node)
    node.lifecycle.install_signals()
    try:
        await admin.start()
        if await node.lifecycle.unless_stopped(node.start()):
            collector.settle()
            await main(node)
    finally:
        node.lifecycle.remove_signals()
        await node.stop()
        await admin.stop()


def _first(group: BaseExceptionGroup[LabError]) -> LabError:
    for error in group.exceptions:
        return _first(error) if isinstance(error, BaseExceptionGroup) else error
    raise AssertionError("an exception group is never empty")
